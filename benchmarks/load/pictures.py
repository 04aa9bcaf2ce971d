"""Makes the images that a load captures: rendered fields of about a size, each capture with bytes of its own.

A few fields are rendered once. The JPEG's quality is lowered until it is no larger than asked for,
and a little sensor noise fills up the rest. Every capture has its number drawn into a corner, since
equal bytes would be stored once and classified as one image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.load.scenario import ImageSettings
from edge_device.simulator import DiagnosisClass, draw_slide, render_field, slide_seed

Pixels = npt.NDArray[np.uint8]
#: Fields of a load come from a stream of their own.
_STREAM = 99
#: JPEG bytes per pixel: a crop of one cell is compressed harder than a camera's field.
_SMALL_BYTES, _SMALL_BYTES_PER_PX, _BYTES_PER_PX = 60_000, 0.29, 1.4
_QUALITY, _LEAST_QUALITY = 99, 20
#: Sigma in grey levels; more would hide the cells from the gate.
_NOISIEST = 6.0
#: The number in the corner: so many squares of 8 x 8 pixels a row.
_SQUARE_PX, _SQUARES_A_ROW, _BITS = 8, 8, 32


@dataclass(frozen=True, slots=True)
class Picture:
    """A field with the JPEG quality that gives it its size."""

    bgr: Pixels
    quality: int

    def numbered(self, number: int) -> bytes:
        """The JPEG of this field with a number in its corner."""
        marked = self.bgr.copy()
        for bit in range(_BITS):
            row, column = divmod(bit, _SQUARES_A_ROW)
            top, left = row * _SQUARE_PX, column * _SQUARE_PX
            grey = 215 if number >> bit & 1 else 165
            marked[top : top + _SQUARE_PX, left : left + _SQUARE_PX] = grey
        return _encode(marked, self.quality)


def make_pictures(settings: ImageSettings, seed: int) -> tuple[Picture, ...]:
    """The different fields of a load."""
    return tuple(_make(settings, seed, number) for number in range(settings.distinct))


def write_images(
    pictures: Sequence[Picture], captures: Sequence[int], folder: Path, first: int
) -> list[list[Path]]:
    """Files for each device's captures, below `folder`, in the order in which it takes them.

    `captures` says how many each device makes; `first` is the number of the first image, so that
    repetitions have bytes of their own too.
    """
    numbers = count(first)
    written = []
    for device, wanted in enumerate(captures, start=1):
        own = folder / f"scope-{device}"
        own.mkdir(parents=True)
        files = []
        for place in range(wanted):
            number = next(numbers)
            path = own / f"{place:06d}.jpg"
            path.write_bytes(pictures[number % len(pictures)].numbered(number))
            files.append(path)
        written.append(files)
    return written


def size_px(size_bytes: int) -> tuple[int, int]:
    """Width and height of a 4:3 field of about this many bytes."""
    per_px = _SMALL_BYTES_PER_PX if size_bytes < _SMALL_BYTES else _BYTES_PER_PX
    width = round((size_bytes / per_px * 4 / 3) ** 0.5 / 16) * 16
    return max(width, 160), max(round(width * 3 / 4), 120)


def _make(settings: ImageSettings, seed: int, number: int) -> Picture:
    kinds = tuple(DiagnosisClass)
    width_px, height_px = size_px(settings.size_bytes)
    rgb = render_field(
        draw_slide(slide_seed(seed, _STREAM, number)),
        kinds[number % len(kinds)],
        number,
        width_px=width_px,
        height_px=height_px,
        um_per_px=settings.um_per_px,
    ).image
    bgr = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), np.uint8)
    quality = _QUALITY
    while quality > _LEAST_QUALITY and len(_encode(bgr, quality)) > settings.size_bytes:
        quality -= 1
    noise = np.random.default_rng([seed, number]).standard_normal(bgr.shape, np.float32)
    sigma = _bisect(
        lambda s: len(_encode(_noisy(bgr, noise, s), quality)), 0.0, _NOISIEST, settings.size_bytes
    )
    return Picture(_noisy(bgr, noise, sigma), quality)


def _bisect(size_of: Callable[[float], int], low: float, high: float, wanted: int) -> float:
    for _ in range(8):
        middle = (low + high) / 2
        low, high = (middle, high) if size_of(middle) < wanted else (low, middle)
    return low


def _noisy(bgr: Pixels, noise: npt.NDArray[np.float32], sigma: float) -> Pixels:
    return np.asarray(np.clip(bgr + noise * np.float32(sigma), 0, 255), np.uint8)


def _encode(bgr: Pixels, quality: int) -> bytes:
    _, data = cv2.imencode(
        ".jpg",
        bgr,
        [
            cv2.IMWRITE_JPEG_QUALITY, quality,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
        ],
    )  # fmt: skip
    return data.tobytes()
