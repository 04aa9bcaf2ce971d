"""Images that a bundle should refuse, and its own ones with nuisances it should bear: pixels in, pixels out.

All random choices come from the generator that is handed in. It reads and writes no file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]
Mask = NDArray[np.bool_]

MATCHED_QUALITY = 90
"""JPEG quality that foreign and own images are both given where they are matched."""


def white_balance(image: Rgb, gains: tuple[float, float, float]) -> Rgb:
    """Each channel times its gain."""
    changed: Rgb = np.clip(np.rint(image * np.array(gains)), 0, 255).astype(np.uint8)
    return changed


def through_jpeg(image: Rgb, quality: int) -> Rgb:
    """The pixels after encoding and decoding."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, data = cv2.imencode(".jpg", image[..., ::-1], options)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), np.uint8)


def blurred(image: Rgb, sigma_px: float) -> Rgb:
    """Out of focus by a Gaussian."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px), np.uint8)


NUISANCES: dict[str, Callable[[Rgb], Rgb]] = {
    "red +10 %, blue -10 %": lambda image: white_balance(image, (1.1, 1.0, 0.9)),
    "red -10 %, blue +10 %": lambda image: white_balance(image, (0.9, 1.0, 1.1)),
    "JPEG quality 70": lambda image: through_jpeg(image, 70),
    "blur, sigma 0.8 px": lambda image: blurred(image, 0.8),
}
"""What must not be rejected: test (e)."""


@dataclass(frozen=True, slots=True)
class Look:
    """Mean and standard deviation of an image's R, G and B."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]


def look_of(image: Rgb) -> Look:
    """The six numbers of an image."""
    pixels = image.reshape(-1, 3).astype(np.float64)
    return Look(pixels.mean(axis=0), pixels.std(axis=0))


def matched(image: Rgb, to: Look, height_px: int, width_px: int) -> Rgb:
    """The image with this size, these means and deviations, and the common JPEG quality."""
    same = through_jpeg(with_look(resized(image, height_px, width_px), to), MATCHED_QUALITY)
    return with_look(same, to)


def with_look(image: Rgb, to: Look) -> Rgb:
    """Means and deviations per channel as given, as far as 0 to 255 holds them."""
    own = look_of(image)
    scaled = (image - own.mean) * (to.deviation / np.maximum(own.deviation, 1.0)) + to.mean
    changed: Rgb = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return changed


def resized(image: Rgb, height_px: int, width_px: int) -> Rgb:
    """The largest part in the middle of this shape, at this size."""
    height, width = image.shape[:2]
    share = min(height / height_px, width / width_px)
    own_h, own_w = round(height_px * share), round(width_px * share)
    top, left = (height - own_h) // 2, (width - own_w) // 2
    part = image[top : top + own_h, left : left + own_w]
    how = cv2.INTER_AREA if share > 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(part, (width_px, height_px), interpolation=how), np.uint8)


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell cut out, as the light that it lets through."""

    passed: NDArray[np.float32]
    """H,W,3: its colour over that of the empty background around it."""
    mask: Mask


def cut_cells(image: Rgb, mask: Mask, *, least_px: int = 60) -> list[Cell]:
    """The connected parts of a mask that no border cuts, each with a rim of what surrounds it."""
    count, marks, facts, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    background = np.maximum(np.percentile(image.reshape(-1, 3), 90, axis=0), 1.0)
    found = []
    height, width = mask.shape
    for number in range(1, count):
        left, top, w, h, area = (int(v) for v in facts[number])
        rim = max(3, round(0.12 * max(w, h)))
        x0, y0, x1, y1 = left - rim, top - rim, left + w + rim, top + h + rim
        if area < least_px or min(x0, y0) < 0 or x1 > width or y1 > height:
            continue
        passed = np.clip(image[y0:y1, x0:x1] / background, 0.0, 1.0).astype(np.float32)
        found.append(Cell(passed, marks[y0:y1, x0:x1] == number))
    return found


def without_cells(image: Rgb, mask: Mask) -> Rgb:
    """The image with the masked cells painted over from what surrounds them."""
    wide = cv2.dilate(mask.astype(np.uint8), np.ones((7, 7), np.uint8))
    return np.asarray(cv2.inpaint(image, wide, 4, cv2.INPAINT_TELEA), np.uint8)


def transplanted(
    image: Rgb, mask: Mask, cells: Sequence[Cell], scale: float, rng: np.random.Generator
) -> Rgb:
    """The image with each of its cells painted over and another one, `scale` times as large in
    pixels, laid in its place. Unchanged where it has no cells.

    A cell takes its share of the light of the place that it comes to (Beer-Lambert), with a soft edge:
    no seam and no foreign background tells of it.
    """
    count, _, facts, centres = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    made = without_cells(image, mask)
    light = np.percentile(image.reshape(-1, 3), 90, axis=0)
    for number in range(1, count):
        if facts[number][cv2.CC_STAT_AREA] >= 60:
            cell = cells[int(rng.integers(len(cells)))]
            turned = Cell(
                np.rot90(cell.passed, turns := int(rng.integers(4))), np.rot90(cell.mask, turns)
            )
            x, y = (float(v) for v in centres[number])
            _lay(made, turned, scale, (x, y), light)
    return made


def _lay(
    image: Rgb, cell: Cell, scale: float, centre: tuple[float, float], light: NDArray[np.float64]
) -> None:
    height, width = (max(6, round(side * scale)) for side in cell.mask.shape)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    passed = cv2.resize(cell.passed, (width, height), interpolation=how)
    solid = cv2.resize(cell.mask.astype(np.float32), (width, height), interpolation=how)
    alpha = cv2.GaussianBlur(solid, (0, 0), 0.8)[..., None]
    left, top = round(centre[0] - width / 2), round(centre[1] - height / 2)
    y0, x0 = max(top, 0), max(left, 0)
    y1, x1 = min(top + height, image.shape[0]), min(left + width, image.shape[1])
    if y1 <= y0 or x1 <= x0:
        return
    there = image[y0:y1, x0:x1].astype(np.float32)
    inside = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
    mixed = there * (1 - alpha[inside]) + passed[inside] * light * alpha[inside]
    image[y0:y1, x0:x1] = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
