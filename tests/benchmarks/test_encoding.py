"""The parts that the encoding benchmark's figures and its choice rest on."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from benchmarks.encoding import MOVED, Tally, Way, choose, measure_way, moved, ways
from benchmarks.image_distance import psnr_db, ssim
from edge_device.encoding.encode import EncodeSettings, open_pixels

NOISE = np.random.default_rng(0).integers(0, 256, (80, 90, 3), np.uint8)
FIELD = np.asarray(cv2.GaussianBlur(NOISE, (0, 0), 2), np.uint8)


def test_equal_pictures_have_no_distance_and_worse_ones_more() -> None:
    assert psnr_db(FIELD, FIELD) == math.inf and ssim(FIELD, FIELD) == pytest.approx(1)
    assert psnr_db(np.zeros_like(FIELD), np.full_like(FIELD, 255)) == 0.0
    one_off = np.clip(FIELD.astype(int) + 1, 0, 255).astype(np.uint8)
    assert psnr_db(FIELD, one_off) == pytest.approx(20 * math.log10(255), abs=0.01)
    blurred = [np.asarray(cv2.GaussianBlur(FIELD, (0, 0), s), np.uint8) for s in (0.5, 1, 2)]
    for measure in (psnr_db, ssim):
        assert sorted((measure(FIELD, b) for b in blurred), reverse=True) == [
            measure(FIELD, b) for b in blurred
        ]


def test_the_yardstick_is_the_same_field_one_pixel_further() -> None:
    further = moved(FIELD)
    assert further.shape == FIELD.shape
    assert np.array_equal(further[:, 1:], FIELD[:, :-1])


def test_what_is_called_lossless_is() -> None:
    for way in ways():
        tally = Tally()
        back = measure_way(way, NOISE, open_pixels(NOISE), tally)
        assert np.array_equal(back, NOISE) is (not way.name.startswith("JPEG")), way.name
        assert tally.bytes_per_px[0] > 0 and tally.psnr_db[0] > 5


def tallies(**by_name: tuple[float, float, int, int]) -> dict[str, Tally]:
    """(bytes per pixel, logit change, labels and answers changed of ten) by name."""
    return {
        name: Tally(
            bytes_per_px=[size] * 10,
            logit_change=[change] * 10,
            label_changed=[i < labels for i in range(10)],
            answer_changed=[i < answers for i in range(10)],
        )
        for name, (size, change, labels, answers) in by_name.items()
    }


@pytest.mark.parametrize(
    ("small", "chosen"),
    [
        ((0.1, 0.9, 0, 1), "small"),
        ((0.1, 1.1, 0, 0), "large"),  # a larger change of the logits than by one pixel
        ((0.1, 0.5, 1, 1), "large"),  # another label
        ((0.1, 0.5, 0, 2), "large"),  # more answers than by one pixel
        ((3.0, 0.5, 0, 0), "large"),  # harmless, and larger
    ],
)
def test_the_smallest_is_chosen_that_does_less_than_one_pixel(
    small: tuple[float, float, int, int], chosen: str
) -> None:
    both = [Way(name, EncodeSettings()) for name in ("small", "large")]
    yardstick = {MOVED: (0.0, 1.0, 0, 1)}
    sets = {
        "one": tallies(**yardstick, small=(0.1, 0.1, 0, 0), large=(2.0, 0.0, 0, 0)),
        "two": tallies(**yardstick, small=small, large=(2.0, 0.0, 0, 0)),
    }
    assert choose(sets, both, ["two"]).name == chosen
