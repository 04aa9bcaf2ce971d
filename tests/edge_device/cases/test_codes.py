"""Labels are read, never misread, seen where they cannot be read; real fields are neither, and cost little."""

from __future__ import annotations

import os
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_device.cases.codes import CodeKind, may_hold_code, read_code
from edge_device.simulator import draw_slide, render_field
from tests.edge_device.cases.labels import (
    Picture,
    View,
    ean,
    photograph,
    printed,
    qr_code,
    smudged,
)

CASE = "C7F3K2"
NUMBER = "200123456789"
NUMBER_READ = NUMBER + "3"
REAL_DATA = os.environ.get("HEMOWIRE_REAL_DATA", "")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    cv2.setNumThreads(1)


@pytest.mark.parametrize("turned_deg", [0, 15, 90, 137, 180, 270, 333])
@pytest.mark.parametrize(("size", "blur_px"), [(0.2, 0.8), (0.3, 2), (0.5, 4), (0.9, 6)])
def test_a_qr_code_is_read_turned_small_blurred_and_shaded(
    size: float, blur_px: float, turned_deg: float
) -> None:
    view = View(size=size, blur_px=blur_px, turned_deg=turned_deg, shading=0.35)
    read = read_code(photograph(qr_code(CASE), view, seed=int(turned_deg)))
    assert (read.kind, read.text) == (CodeKind.TEXT, CASE)


@pytest.mark.parametrize("turned_deg", [0, 20, 90, 180])
@pytest.mark.parametrize(("size", "blur_px"), [(0.5, 0.8), (0.9, 2)])
def test_a_barcode_is_read_with_its_check_digit(
    size: float, blur_px: float, turned_deg: float
) -> None:
    view = View(size=size, blur_px=blur_px, turned_deg=turned_deg)
    read = read_code(photograph(ean(NUMBER), view, seed=3))
    assert (read.kind, read.text) == (CodeKind.TEXT, NUMBER_READ)


@pytest.mark.parametrize("turned_deg", [0, 20, 90, 180])
def test_the_codes_of_slide_printers_are_read(turned_deg: float) -> None:
    view = View(size=0.6, turned_deg=turned_deg)
    square = photograph(printed("S24-00417", zxingcpp.BarcodeFormat.DataMatrix), view)
    bars = photograph(printed("S24-00417", zxingcpp.BarcodeFormat.Code128), view)
    assert [read_code(label).text for label in (square, bars)] == ["S24-00417"] * 2


def test_two_codes_that_differ_open_no_case() -> None:
    one = photograph(qr_code(CASE), View(size=0.4, words=False))
    other = photograph(qr_code("C7F3K9"), View(size=0.4, words=False))
    read = read_code(np.asarray(np.hstack([one, other]), np.uint8))
    assert (read.kind, read.text) == (CodeKind.UNREADABLE, "")


def test_bars_that_made_opencvs_detector_end_the_program_are_harmless() -> None:
    view = View(720, 450, 0.25, 328.6559634927386, 2, 0.6461600510716372)
    assert read_code(photograph(ean(NUMBER), view, 2748)).text in ("", NUMBER_READ)


def test_a_short_barcode_is_a_label_and_no_number() -> None:
    read = read_code(photograph(ean("1234567"), View(size=0.6)))
    assert (read.kind, read.text) == (CodeKind.UNREADABLE, "")


def test_faint_ink_in_a_dark_picture_is_read() -> None:
    view = View(size=0.5, ink=35, paper=110, shading=0.5, blur_px=1.5)
    assert read_code(photograph(qr_code(CASE), view)).text == CASE


def test_a_label_in_a_twelve_megapixel_frame_is_read() -> None:
    view = View(width_px=4056, height_px=3040, size=0.15, blur_px=2)
    assert read_code(photograph(qr_code(CASE), view)).text == CASE


def test_a_qr_code_goes_before_the_barcode_beside_it() -> None:
    both = photograph(qr_code(CASE), View(size=0.4, words=False))
    bars = photograph(ean(NUMBER), View(size=0.4, words=False))
    wide = np.asarray(np.hstack([bars, both]), np.uint8)
    assert read_code(wide).text == CASE


@pytest.mark.parametrize(
    "label",
    [
        photograph(qr_code(CASE), View(size=0.3, blur_px=5)),
        photograph(smudged(qr_code(CASE)), View(size=0.5)),
        photograph(ean(NUMBER), View(size=0.9, blur_px=5)),
    ],
    ids=["blurred", "smudged", "blurred bars"],
)
def test_a_code_that_cannot_be_read_is_seen_all_the_same(label: Picture) -> None:
    assert read_code(label).kind is CodeKind.UNREADABLE


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.floats(0.1, 1.3),
    blur_px=st.floats(0, 8),
    turned_deg=st.floats(0, 360),
    shading=st.floats(0.2, 1),
)
@settings(max_examples=25, deadline=None)
def test_a_code_is_read_right_or_not_at_all(
    seed: int, size: float, blur_px: float, turned_deg: float, shading: float
) -> None:
    view = View(720, 450, size, turned_deg, blur_px, shading)
    assert read_code(photograph(qr_code(CASE), view, seed)).text in ("", CASE)
    assert read_code(photograph(ean(NUMBER), view, seed)).text in ("", NUMBER_READ)


@pytest.mark.parametrize(
    ("seed", "view"),
    [
        (826338, View(720, 450, 0.2, 2.0, 0.0, 1.0)),  # read as the EAN-8 95507101 by one look
        (131, View(720, 450, 0.3, 178, 0, 0.575)),  # 02236971
        (333, View(720, 450, 0.5, 3, 1, 0.355)),  # 1001044567893
    ],
)
def test_bars_that_one_look_misreads_open_no_wrong_case(seed: int, view: View) -> None:
    assert read_code(photograph(ean(NUMBER), view, seed)).text in ("", NUMBER_READ)


def test_what_a_label_says_is_in_no_log() -> None:
    assert "MEIER" not in repr(read_code(photograph(qr_code("ANNA MEIER"), View())))


@pytest.mark.parametrize("seed", range(3))
def test_a_simulated_field_is_no_label(seed: int) -> None:
    field = render_field(draw_slide(seed), "ALL", seed, width_px=720, height_px=450)
    assert read_code(np.asarray(field.image[:, :, ::-1], np.uint8)).kind is CodeKind.NONE


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("shape", [(1, 1), (3, 900), (900, 3), (450, 720)])
def test_empty_pictures_of_any_shape_are_no_labels(value: int, shape: tuple[int, int]) -> None:
    assert read_code(np.full((*shape, 3), value, np.uint8)).kind is CodeKind.NONE


# --- real fields -------------------------------------------------------------------------------

needs_real_data = pytest.mark.skipif(not REAL_DATA, reason="HEMOWIRE_REAL_DATA is not set")


def pictures(folder: str, step: int) -> list[Picture]:
    paths = sorted(Path(REAL_DATA, folder).rglob("*.jp*g"))[::step]
    read = (cv2.imread(str(path)) for path in paths)
    return [np.asarray(picture, np.uint8) for picture in read if picture is not None]


@needs_real_data
@pytest.mark.parametrize(
    ("folder", "step"), [("chula_fields", 1), ("ball4/original", 60), ("pbc", 30)]
)
def test_no_real_field_is_a_label(folder: str, step: int) -> None:
    found = pictures(folder, step)
    assert found
    assert [read_code(field).kind for field in found] == [CodeKind.NONE] * len(found)


@needs_real_data
def test_a_whole_real_field_costs_under_five_ms_of_one_core() -> None:
    costs_ms = []
    for field in pictures("chula_fields", 4):
        began = time.thread_time()
        read_code(field)
        costs_ms.append((time.thread_time() - began) * 1e3)
    assert sorted(costs_ms)[len(costs_ms) // 2] < 5


@needs_real_data
def test_a_real_field_with_a_code_on_it_passes_the_first_look() -> None:
    field = pictures("chula_fields", 40)[0]
    label = photograph(qr_code(CASE), View(size=0.3, words=False))
    field[300:600, 500:800] = label[300:600, 570:870]
    assert may_hold_code(field)
    assert read_code(field).text == CASE
