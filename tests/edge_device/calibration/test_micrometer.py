"""A micrometer gives its scale within half a percent at any angle; other pictures are refused."""

from __future__ import annotations

import numpy as np
import pytest

from edge_device.calibration import CalibrationError
from edge_device.calibration.micrometer import scale_of_micrometer
from tests.edge_device.calibration.frames import Image, field, micrometer


@pytest.mark.parametrize("angle_deg", [0, 3, 45, 107])
@pytest.mark.parametrize("spacing_px", [25.0, 61.3, 100.0])
def test_the_scale_is_right_at_any_angle(spacing_px: float, angle_deg: float) -> None:
    scale = scale_of_micrometer(micrometer(spacing_px, angle_deg), 10)
    assert scale.um_per_px == pytest.approx(10 / spacing_px, rel=0.005)
    assert scale.source == "micrometer" and scale.count >= 4 and scale.spread < 0.03


def test_a_noisy_and_soft_picture_still_gives_it() -> None:
    scale = scale_of_micrometer(micrometer(60, 17, noise=8, blur_px=3), 10)
    assert scale.um_per_px == pytest.approx(10 / 60, rel=0.01)


@pytest.mark.parametrize(
    "image",
    [
        field(0),
        np.full((400, 600, 3), 200, np.uint8),
        np.random.default_rng(0).integers(0, 256, (400, 600, 3), np.uint8),
        np.zeros((3, 4, 3), np.uint8),
    ],
    ids=["a blood field", "plain", "noise", "far too small"],
)
def test_what_is_no_micrometer_is_refused(image: Image) -> None:
    with pytest.raises(CalibrationError, match=r"micrometer|divisions"):
        scale_of_micrometer(image, 10)


def test_a_picture_that_shows_too_few_divisions_says_how_many_are_needed() -> None:
    with pytest.raises(CalibrationError, match="at least 4 needed"):
        scale_of_micrometer(micrometer(400, 0), 10)
