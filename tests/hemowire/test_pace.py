"""The demo's default rate leaves the engine half idle, counted in what the network really sees."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from cloud_worker.models.card import Preprocessing
from hemowire.demo.options import DemoOptions, add_arguments, read_options
from hemowire.demo.pace import MESSAGES_S, SHARE, rate_per_device, work_per_image

TO = Preprocessing(height_px=100, width_px=100, um_per_px=0.4, mean=(0, 0, 0), std=(1, 1, 1))


def options(*arguments: str) -> DemoOptions:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return read_options(parser.parse_args(arguments))


def test_a_large_field_of_many_tiles_is_captured_less_often(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "field.png"), np.full((400, 600, 3), 200, np.uint8))
    asked = options("--images", str(tmp_path), "--um-per-px", "0.4")
    tiles = work_per_image(asked, TO).tiles
    assert tiles >= 24
    # An engine this slow is all that counts.
    assert rate_per_device(asked, TO, 0.048, 2) == pytest.approx(0.048 / tiles / 2 / 2, rel=0.01)


def test_a_fast_engine_does_not_hide_what_all_else_takes_from_the_processor(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "field.png"), np.full((400, 600, 3), 200, np.uint8))
    asked = options("--images", str(tmp_path), "--um-per-px", "0.4")
    rate = rate_per_device(asked, TO, 1e9, 1)
    assert rate is not None
    assert rate <= SHARE * (os.cpu_count() or 1) / MESSAGES_S


def test_images_that_the_network_will_not_see_count_as_one(tmp_path: Path) -> None:
    (tmp_path / "field.jpg").write_text("not an image")
    work = work_per_image(options("--images", str(tmp_path)), TO)
    assert work.tiles == 1
    assert work.drawing_s == 0


def test_a_simulated_field_is_drawn_on_the_same_processor() -> None:
    work = work_per_image(options("--camera", "simulated"), TO)
    assert work.drawing_s > 0
    assert work.tiles >= 1


def test_an_asked_rate_is_shared_by_the_devices_and_max_has_no_limit() -> None:
    asked = options("--rate", "6")
    assert rate_per_device(asked, TO, None, 3) == 2
    assert rate_per_device(replace(asked, rate="max"), TO, None, 3) is None
