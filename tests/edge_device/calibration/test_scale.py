"""The scale from red cells: right within 15 % where they are clear, refused where they are not."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_device.calibration.scale import RED_CELL_UM, ScaleUnknownError, estimate_um_per_px
from edge_device.simulator.field import render_field
from edge_device.simulator.slide import draw_slide


def discs(diameter_px: int, count: int = 30, pallor: bool = True) -> NDArray[np.uint8]:
    """Pale discs with a bright centre on a bright field, as red cells look."""
    rng = np.random.default_rng(diameter_px)
    picture = np.full((480, 640, 3), (232, 228, 230), np.float32)
    y, x = np.mgrid[0:480, 0:640]
    places = [(r, c) for r in range(45, 440, 78) for c in range(45, 600, 78)][:count]
    for row, column in places:
        away = np.hypot(y - row - rng.random(), x - column - rng.random())
        body = np.clip(diameter_px / 2 - away + 0.5, 0, 1)[..., None]
        colour = np.where((away < diameter_px / 6)[..., None] & pallor, 215, (205, 160, 165))
        picture = picture * (1 - body) + body * colour
    noisy = cv2.GaussianBlur(picture, (0, 0), 1) + rng.normal(0, 2, picture.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("diameter_px", [20, 36, 60])
def test_plain_discs_give_the_scale_of_a_red_cell(diameter_px: int) -> None:
    estimate = estimate_um_per_px(discs(diameter_px))
    assert estimate.um_per_px == pytest.approx(RED_CELL_UM / diameter_px, rel=0.05)
    assert estimate.red_cells >= 20 and estimate.spread < 0.05


@pytest.mark.parametrize("um_per_px", [0.2, 0.3])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_simulated_fields_give_their_scale_within_15_percent(um_per_px: float, seed: int) -> None:
    field = render_field(draw_slide(seed), "AML" if seed else "healthy", 0, um_per_px=um_per_px)
    assert estimate_um_per_px(field.image).um_per_px == pytest.approx(um_per_px, rel=0.15)


def test_a_larger_picture_of_the_same_field_has_a_finer_scale() -> None:
    picture = discs(36)
    larger = np.asarray(cv2.resize(picture, None, fx=2, fy=2), np.uint8)
    fine, coarse = estimate_um_per_px(larger), estimate_um_per_px(picture)
    assert fine.um_per_px == pytest.approx(coarse.um_per_px / 2, rel=0.03)


def test_too_few_red_cells_are_refused_with_what_is_needed() -> None:
    with pytest.raises(ScaleUnknownError, match="at least 10 needed"):
        estimate_um_per_px(discs(36, count=4))


@pytest.mark.parametrize("level", [0, 128, 255])
def test_an_empty_picture_is_refused(level: int) -> None:
    with pytest.raises(ScaleUnknownError):
        estimate_um_per_px(np.full((480, 640, 3), level, np.uint8))


def test_noise_is_refused() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    with pytest.raises(ScaleUnknownError):
        estimate_um_per_px(noise)


def test_real_fields_of_one_microscope_give_one_scale() -> None:
    if not (data := os.environ.get("HEMOWIRE_REAL_DATA")):
        pytest.skip("HEMOWIRE_REAL_DATA is not set: no real images here")
    files = sorted(Path(data, "chula_fields").glob("*/*.jpg"))[::4]
    found: list[float] = []
    for file in files:
        bgr = cv2.imread(str(file))
        assert bgr is not None
        try:
            rgb = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
            found.append(estimate_um_per_px(rgb).um_per_px)
        except ScaleUnknownError:
            continue
    assert len(found) >= 0.8 * len(files)
    assert np.median(found) == pytest.approx(0.100, rel=0.1)
    assert max(found) / min(found) < 1.5
