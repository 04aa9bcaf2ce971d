"""Estimates um per pixel from the red cells of a field, when asked; refuses where too few are clear.

A red cell is 7.2 um across (6.7 to 7.7 um in health), so the median diameter of the red cells in
pixels gives the scale. It is an estimate: microcytic or macrocytic blood shifts it by the same
share, and the result says how widely the cells spread.

Method: every edge pixel votes for the centre of a circle on its DARK side, at each radius (a Hough
transform that knows the sign of the edge, so pallor and halo rings do not vote for a smaller cell).
Touching and overlapping cells keep enough of their outline to be found.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

RED_CELL_UM = 7.2
FEWEST_RED_CELLS = 10
"""Below it the median of a field is not worth a scale."""
WORKING_SIDE_PX, MOST_ENLARGED = 640, 2.0
SMALLEST_RADIUS_PX = 5.0
LARGEST_RADIUS_SHARE = 0.14
"""Of the shorter side: a larger red cell would leave no room for FEWEST_RED_CELLS."""
RADIUS_STEP = 1.07
LEAST_OUTLINE = 0.6
"""Share of a circle's outline that must vote for it."""
NUCLEUS_DARKNESS, NUCLEUS_COLOUR = 0.65, 0.75
"""A nucleus lets through less than these shares of red light: of the bright field's, of its blue."""
FAINTEST_EDGE = 0.006
"""Change of brightness per pixel, as a share of the bright field's, below which it is noise."""
RIM_SHARE = 0.85
"""Share of a body's rim that must be nearer to its dark than to the bright field."""
SPREAD_LIMIT = 0.2
LEAST_SIDE_PX = 32
"""Of the shorter side in the working scale: less has no room for FEWEST_RED_CELLS."""

Plane = npt.NDArray[np.float32]


class ScaleUnknownError(ValueError):
    """The field does not show enough red cells of one size."""


@dataclass(frozen=True, slots=True)
class ScaleEstimate:
    """A scale and how far to trust it."""

    um_per_px: float
    spread: float
    """Half of the interquartile range of the diameters over their median."""
    red_cells: int
    """Red cells that were measured."""


@dataclass(frozen=True, slots=True)
class Circle:
    """One body's outline, in working pixels."""

    x: float
    y: float
    radius: float
    outline: float
    """Share of the outline that was seen."""


def estimate_um_per_px(rgb: npt.NDArray[np.uint8]) -> ScaleEstimate:
    """The scale of an RGB field H,W,3, or ScaleUnknownError."""
    factor = min(MOST_ENLARGED, WORKING_SIDE_PX / max(rgb.shape[:2]))
    if factor * min(rgb.shape[:2]) < LEAST_SIDE_PX:
        height, width = rgb.shape[:2]
        raise ScaleUnknownError(
            f"{width} x {height} pixels are no field of red cells. Give the scale in um per pixel."
        )
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    small = cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=how)
    flat = flat_field(np.asarray(small, np.uint8))
    circles = [c for c in find_circles(flat) if _is_one_body(flat, c) and not _is_nucleus(flat, c)]
    diameters = _of_one_size(np.array([2 * c.radius for c in circles]))
    if len(diameters) < FEWEST_RED_CELLS:
        raise ScaleUnknownError(
            f"{len(diameters)} clear red cells found, at least {FEWEST_RED_CELLS} needed. "
            "Give the scale in um per pixel."
        )
    median = float(np.median(diameters))
    low, high = np.percentile(diameters, (25, 75))
    spread = float((high - low) / 2 / median)
    if spread > SPREAD_LIMIT:
        raise ScaleUnknownError(
            f"red cells differ in size by {spread:.0%}, at most {SPREAD_LIMIT:.0%} allowed. "
            "Give the scale in um per pixel."
        )
    return ScaleEstimate(RED_CELL_UM * factor / median, spread, len(diameters))


def flat_field(rgb: npt.NDArray[np.uint8]) -> Plane:
    """H,W,3 with slow shading divided out: 1 is the bright field."""
    quarter = cv2.resize(rgb, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    reach = max(quarter.shape[:2]) // 4 | 1
    bright = cv2.morphologyEx(quarter, cv2.MORPH_CLOSE, np.ones((reach, reach), np.uint8))
    bright = cv2.GaussianBlur(bright.astype(np.float32), (0, 0), reach / 4)
    bright = cv2.resize(bright, (rgb.shape[1], rgb.shape[0]))
    return np.asarray(rgb.astype(np.float32) / np.maximum(bright, 1), np.float32)


def find_circles(flat: Plane) -> list[Circle]:
    """Round bodies that are darker than what surrounds them, best outline first, none twice."""
    height, width = flat.shape[:2]
    grey = cv2.GaussianBlur(flat[:, :, 1], (0, 0), 1.0)
    dx = cv2.Sobel(grey, cv2.CV_32F, 1, 0, scale=1 / 8)
    dy = cv2.Sobel(grey, cv2.CV_32F, 0, 1, scale=1 / 8)
    strength = np.hypot(dx, dy)
    y, x = np.nonzero(strength > max(FAINTEST_EDGE, float(np.percentile(strength, 65))))
    edges = np.stack([x, y, dx[y, x] / strength[y, x], dy[y, x] / strength[y, x]])
    steps = np.log(LARGEST_RADIUS_SHARE * min(height, width) / SMALLEST_RADIUS_PX)
    radii = SMALLEST_RADIUS_PX * RADIUS_STEP ** np.arange(max(1, int(steps / np.log(RADIUS_STEP))))
    stack = np.stack([_votes(edges, float(r), (height, width)) for r in radii])
    best = stack.argmax(axis=0)
    outline = np.take_along_axis(stack, best[None], axis=0)[0]
    found: list[Circle] = []
    peaks = (outline >= LEAST_OUTLINE) & (outline == cv2.dilate(outline, np.ones((3, 3))))
    rows, columns = np.nonzero(peaks)
    for at in np.argsort(-outline[rows, columns], kind="stable"):
        cy, cx = int(rows[at]), int(columns[at])
        index = int(best[cy, cx])
        radius = float(radii[index] * RADIUS_STEP ** _peak(stack[:, cy, cx], index))
        if not (radius < cx < width - radius and radius < cy < height - radius):
            continue
        if all(np.hypot(c.x - cx, c.y - cy) > 0.7 * max(c.radius, radius) for c in found):
            found.append(Circle(cx, cy, radius, float(outline[cy, cx])))
    return found


def _votes(edges: npt.NDArray[np.float64], radius: float, shape: tuple[int, int]) -> Plane:
    """Share of a circle's outline that points to each pixel as the centre, for one radius.

    `edges` 4,N: x, y and the unit vector towards the bright side.
    """
    x, y, ux, uy = edges
    cx, cy = np.rint(x - radius * ux).astype(np.intp), np.rint(y - radius * uy).astype(np.intp)
    inside = (cx >= 0) & (cx < shape[1]) & (cy >= 0) & (cy < shape[0])
    flat = cy[inside] * shape[1] + cx[inside]
    votes = np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float32)
    sigma = max(0.8, 0.15 * radius)
    gathered = cv2.GaussianBlur(votes, (0, 0), sigma) * (2 * np.pi * sigma**2)
    return np.asarray(gathered / (2 * np.pi * radius), np.float32)


def _peak(values: Plane, index: int) -> float:
    """Where a parabola through the best radius and its neighbours peaks, in steps from the best."""
    if not 0 < index < len(values) - 1:
        return 0.0
    before, here, after = (float(v) for v in values[index - 1 : index + 2])
    bend = before - 2 * here + after
    return 0.0 if bend >= 0 else 0.5 * (before - after) / bend


def _is_one_body(flat: Plane, circle: Circle) -> bool:
    """Whether the rim's inside is dark all around; between the cells of a group it is not."""
    reach = int(circle.radius)
    x, y = round(circle.x), round(circle.y)
    top, left = max(0, y - reach), max(0, x - reach)
    green = flat[top : y + reach + 1, left : x + reach + 1, 1]
    rows, columns = np.ogrid[: green.shape[0], : green.shape[1]]
    away = np.hypot(rows + top - circle.y, columns + left - circle.x) / circle.radius
    rim = green[(away > 0.6) & (away < 0.9)]
    if len(rim) == 0:
        return False
    dark = np.percentile(rim, 20)
    return bool(dark < 1 and (rim < (1 + dark) / 2).mean() >= RIM_SHARE)


def _is_nucleus(flat: Plane, circle: Circle) -> bool:
    """Whether the body's inside lacks red light as a stained nucleus does."""
    reach = max(1, round(0.6 * circle.radius))
    x, y = round(circle.x), round(circle.y)
    patch = flat[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
    red, blue = np.median(patch[:, :, 0]), np.median(patch[:, :, 2])
    return bool(red < NUCLEUS_DARKNESS and red < NUCLEUS_COLOUR * blue)


def _of_one_size(diameters: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The most crowded band of sizes, within a third of its centre; clutter and pairs left out."""
    if len(diameters) == 0:
        return diameters
    logs = np.log(diameters)
    near = np.abs(logs[:, None] - logs[None, :]) < np.log(1.2)
    # Larger bodies weigh more: clutter is small, and there can be more of it than of cells.
    centre = logs[int(np.argmax((near * diameters**1.5).sum(axis=1)))]
    kept: npt.NDArray[np.float64] = diameters[np.abs(logs - centre) < np.log(4 / 3)]
    return kept
