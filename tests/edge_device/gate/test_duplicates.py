"""A field that was just taken is known again through noise and drift; other fields of the slide are not it."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edge_device.gate import Duplicates, Gate, GateSettings, WarningKind
from edge_device.simulator import draw_slide, render_field
from wire_protocol.json_messages import Reason

Image = npt.NDArray[np.uint8]


def field(index: int, seed: int = 1) -> Image:
    rgb = render_field(draw_slide(seed), "healthy", index).image
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), np.uint8)


def again(image: Image, seed: int, drift_px: int = 5) -> Image:
    """The same field a moment later: new noise, a little drift."""
    drifted = np.roll(image, (drift_px, -drift_px), (0, 1))
    noise = np.random.default_rng(seed).normal(0, 4, image.shape)
    return np.clip(drifted + noise, 0, 255).astype(np.uint8)


def test_a_stage_that_did_not_move_is_noticed_and_the_picture_before_is_named() -> None:
    duplicates = Duplicates()
    assert duplicates.check(field(0)) is None
    assert duplicates.check(field(1)) is None
    warning = duplicates.check(again(field(0), 1))
    assert warning is not None and warning.kind is WarningKind.DUPLICATE
    assert (
        warning.text.startswith("Same field as the picture 2 before") and warning.score is not None
    )


def test_the_fields_of_one_slide_are_not_each_other() -> None:
    duplicates = Duplicates()
    assert [duplicates.check(field(index)) for index in range(12)] == [None] * 12


def test_what_lies_too_far_back_or_on_another_slide_is_forgotten() -> None:
    duplicates = Duplicates(remembered=2)
    for index in range(3):
        duplicates.check(field(index))
    assert duplicates.check(field(0)) is None
    duplicates.forget()
    assert duplicates.check(field(0)) is None


def test_a_picture_that_was_refused_may_be_taken_again() -> None:
    gate = Gate(GateSettings())
    blurred = np.asarray(cv2.GaussianBlur(field(0), (0, 0), 6), np.uint8)
    assert gate.examine(blurred, 0.2).verdict.refusal is not None
    assert gate.examine(field(0), 0.2).verdict.warnings == ()
    assert [w.kind for w in gate.examine(field(0), 0.2).verdict.warnings] == [WarningKind.DUPLICATE]


def test_the_settings_say_whether_a_duplicate_is_warned_of_refused_or_let_be() -> None:
    for wish, reason, warnings in (
        ("warn", None, 1),
        ("refuse", Reason.DUPLICATE, 0),
        ("off", None, 0),
    ):
        gate = Gate(GateSettings.model_validate({"duplicates": wish}))
        gate.examine(field(0), 0.2)
        verdict = gate.examine(again(field(0), 2), 0.2).verdict
        assert (verdict.refusal and verdict.refusal.reason, len(verdict.warnings)) == (
            reason,
            warnings,
        )


def test_real_fields_are_known_again_and_told_apart() -> None:
    root = os.environ.get("HEMOWIRE_REAL_DATA")
    if root is None:
        pytest.skip("HEMOWIRE_REAL_DATA is not set: no real fields to tell apart")
    paths = sorted(Path(root, "chula_fields").glob("*/*.jpg"))[::3]
    images = [np.asarray(cv2.imread(str(path)), np.uint8) for path in paths]
    duplicates = Duplicates()
    # The set itself holds four pairs that show one field twice.
    assert sum(duplicates.check(image) is not None for image in images) <= 1
    duplicates = Duplicates()
    for seed, image in enumerate(images):
        duplicates.check(image)
        assert duplicates.check(again(image, seed)) is not None
