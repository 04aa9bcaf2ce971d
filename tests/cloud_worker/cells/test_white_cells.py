"""White cells are found, counted and outlined on simulated and on real fields of other makers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cloud_worker.cells import Box, WhiteCells, find_white_cells, look_at
from tests.cloud_worker.cells.truth import CLASSES, TrueField, true_field

REAL_DATA = os.environ.get("HEMOWIRE_REAL_DATA")
NUCLEUS, CYTOPLASM, RED_CELL, GROUND = (
    (90, 45, 140),
    (175, 195, 230),
    (215, 160, 160),
    (240, 235, 230),
)


@pytest.fixture(scope="module")
def fields() -> list[TrueField]:
    return [true_field(700 + n, CLASSES[n % 5]) for n in range(15)]


@pytest.fixture(scope="module")
def found(fields: list[TrueField]) -> list[WhiteCells]:
    return [find_white_cells(field.rgb, 0.2) for field in fields]


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    (ax, ay, aw, ah), (bx, by, bw, bh) = one, other
    width = min(ax + aw, bx + bw) - max(ax, bx)
    height = min(ay + ah, by + bh) - max(ay, by)
    shared = max(0, width) * max(0, height)
    return shared / (aw * ah + bw * bh - shared)


def disc_field(*discs: tuple[int, int, float, tuple[int, int, int]]) -> NDArray[np.uint8]:
    """300 x 260 pixels at 0.2 um with discs of x, y, radius in um and colour, over two rows of red cells."""
    rgb = np.full((260, 300, 3), GROUND, np.uint8)
    rows = [(x, y, 3.6, RED_CELL) for y in (205, 240) for x in range(20, 300, 40)]
    for x, y, radius_um, colour in [*rows, *discs]:
        cv2.circle(rgb, (x, y), round(radius_um / 0.2), colour, -1, cv2.LINE_AA)
    return rgb


def test_the_mask_covers_the_true_white_cells(
    fields: list[TrueField], found: list[WhiteCells]
) -> None:
    shared = sum(int((w.mask & (f.labels > 0)).sum()) for f, w in zip(fields, found, strict=True))
    either = sum(int((w.mask | (f.labels > 0)).sum()) for f, w in zip(fields, found, strict=True))
    assert shared / either >= 0.85


def test_nearly_every_cell_is_found_and_nearly_nothing_else(
    fields: list[TrueField], found: list[WhiteCells]
) -> None:
    missed = invented = cells = 0
    for field, white_cells in zip(fields, found, strict=True):
        true = list(_true_boxes(field))
        cells += len(true)
        missed += sum(
            max((overlap(t, b) for b in white_cells.boxes), default=0) < 0.5 for t in true
        )
        everywhere = [*true, *_true_boxes(field, least_um2=0)]
        invented += sum(max(overlap(t, b) for t in everywhere) < 0.5 for b in white_cells.boxes)
    assert missed <= 0.05 * cells
    assert invented <= 0.05 * cells


def _true_boxes(field: TrueField, least_um2: float = 15.0) -> Iterator[Box]:
    """Of cells of which the field shows more than a sliver."""
    for number in range(1, field.white_cells + 1):
        y, x = np.nonzero(field.labels == number)
        if len(x) and len(x) * 0.04 >= least_um2:
            yield int(x.min()), int(y.min()), int(np.ptp(x)) + 1, int(np.ptp(y)) + 1


def test_the_same_cells_are_found_at_every_scale_and_whatever_the_corners_lose() -> None:
    for scale in (0.1, 0.3, 0.45):
        size = round(640 * 0.2 / scale), round(480 * 0.2 / scale)
        field = true_field(731, "AML", um_per_px=scale, size=size)
        assert abs(len(find_white_cells(field.rgb, scale).boxes) - field.white_cells) <= 1
    field = true_field(731, "AML")
    plain = find_white_cells(field.rgb, 0.2)
    y, x = np.mgrid[-1:1:480j, -1:1:640j]
    gains = [1 - loss * (x**2 + y**2) / 2 for loss in (0.05, 0.2, 0.3)]  # a pink, dark corner
    shaded = np.rint(field.rgb * np.stack(gains, axis=2)).astype(np.uint8)
    dark = find_white_cells(shaded, 0.2)
    assert len(plain.boxes) == len(dark.boxes) == field.white_cells
    # One box may grow by a red cell that the dark corner made its neighbour.
    assert np.mean([max(overlap(b, d) for d in dark.boxes) for b in plain.boxes]) > 0.8


def test_a_field_without_white_cells_has_none() -> None:
    for seed in range(3):
        empty = true_field(740 + seed, "healthy", background_only=True)
        assert find_white_cells(empty.rgb, 0.2).boxes == ()
    assert find_white_cells(np.full((400, 600, 3), 230, np.uint8), 0.2).boxes == ()
    assert find_white_cells(np.zeros((400, 600, 3), np.uint8), 0.2).boxes == ()


def test_touching_nuclei_are_two_cells_and_lobes_of_one_nucleus_are_one() -> None:
    touching = disc_field((100, 100, 4.5, NUCLEUS), (143, 100, 4.5, NUCLEUS))
    assert len(find_white_cells(touching, 0.2).boxes) == 2
    lobes = [(100 + dx, 100 + dy, 2.0, NUCLEUS) for dx, dy in ((-13, -8), (9, -10), (0, 12))]
    one = find_white_cells(disc_field((100, 100, 6.0, CYTOPLASM), *lobes), 0.2)
    [(x, y, width, height)] = one.boxes
    assert (x, y, width, height) == pytest.approx((70, 70, 61, 61), abs=5)


def test_platelets_and_red_cells_are_not_counted() -> None:
    platelets = [(40 + 60 * n, 40, 1.2, NUCLEUS) for n in range(4)]
    red_cells = [(40 + 60 * n, 120, 3.6, RED_CELL) for n in range(4)]
    assert find_white_cells(disc_field(*platelets, *red_cells), 0.2).boxes == ()


def test_the_box_holds_the_cytoplasm_and_not_the_red_cell_beside_it() -> None:
    rgb = disc_field((172, 100, 3.6, RED_CELL), (100, 100, 7.0, CYTOPLASM), (104, 98, 4.0, NUCLEUS))
    [(x, y, width, height)] = find_white_cells(rgb, 0.2).boxes
    assert (x, y, width, height) == pytest.approx((65, 65, 71, 71), abs=5)


def test_boxes_stay_within_the_picture() -> None:
    rgb = disc_field((0, 100, 5.0, NUCLEUS), (299, 150, 5.0, NUCLEUS), (150, 0, 5.0, NUCLEUS))
    boxes = find_white_cells(rgb, 0.2).boxes
    assert len(boxes) == 3
    for x, y, width, height in boxes:
        assert x >= 0 and y >= 0 and width >= 1 and height >= 1
        assert x + width <= 300 and y + height <= 260


def test_a_scale_that_cannot_serve_is_refused_and_an_unknown_one_not_guessed() -> None:
    rgb = disc_field((100, 100, 5.0, NUCLEUS))
    for scale in (0.0, 0.001, 1.5, float("nan")):
        with pytest.raises(ValueError, match="um per pixel"):
            find_white_cells(rgb, scale)
    for unknown in (None, 1.5, float("nan")):
        assert look_at(rgb, unknown).boxes is None and look_at(rgb, unknown).white_cells is None
    assert look_at(rgb, 0.2).white_cells == 1
    assert look_at(rgb, 0.2, count=False).boxes is None


@pytest.mark.skipif(REAL_DATA is None, reason="HEMOWIRE_REAL_DATA is not set")
def test_nine_tenths_of_the_marked_cells_of_a_raspberry_pi_microscope_are_hit() -> None:
    hit = []
    for marks in sorted((Path(REAL_DATA or "") / "chula_fields").glob("*/*.txt")):
        bgr = cv2.imread(str(marks.with_suffix(".jpg")), cv2.IMREAD_REDUCED_COLOR_2)
        assert bgr is not None
        high, wide = bgr.shape[:2]
        boxes = find_white_cells(np.ascontiguousarray(bgr[:, :, ::-1], np.uint8), 0.2).boxes
        for line in marks.read_text(encoding="utf-8").splitlines():
            _, x, y, w, h = (float(part) for part in line.split())
            marked = (
                round((x - w / 2) * wide),
                round((y - h / 2) * high),
                round(w * wide),
                round(h * high),
            )
            hit.append(max((overlap(marked, box) for box in boxes), default=0) >= 0.5)
    assert len(hit) == 40 and np.mean(hit) >= 0.9
