"""Noise, contours and soft shapes on small patches: geometry only, no biology and no colour."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.float32]

ANGLES = 256
_BANK_PX = 320
_GRAIN_STEP = 1.15  # grains are rounded to powers of this, so that few banks are made
ANGLE_GRID = np.arange(ANGLES, dtype=np.float32) * np.float32(2 * np.pi / ANGLES)


@lru_cache(maxsize=64)
def _noise_bank(step: int) -> Plane:
    """A tileable plane of smooth noise, mean 0 and deviation 1, stored twice in each direction."""
    sigma_px = _GRAIN_STEP**step
    rng = np.random.default_rng([0x5EED, step + 1000])
    white = rng.standard_normal((_BANK_PX, _BANK_PX), dtype=np.float32)
    pad = int(min(_BANK_PX - 1, 4 * sigma_px + 2))
    wrapped = cv2.copyMakeBorder(white, pad, pad, pad, pad, cv2.BORDER_WRAP)
    smooth = cv2.GaussianBlur(wrapped, (0, 0), sigma_px)[pad:-pad, pad:-pad]
    smooth = (smooth - smooth.mean()) / smooth.std()
    return np.tile(smooth.astype(np.float32), (2, 2))


def noise(rng: np.random.Generator, height: int, width: int, sigma_px: float) -> Plane:
    """A random crop of smooth noise of about this grain, mean 0 and deviation 1."""
    bank = _noise_bank(round(np.log(max(sigma_px, 0.3)) / np.log(_GRAIN_STEP)))
    top, left = (int(v) for v in rng.integers(0, _BANK_PX, 2))
    repeats = (-(-(top + height) // len(bank)), -(-(left + width) // len(bank)))
    plane = bank if repeats == (1, 1) else np.tile(bank, repeats)
    crop = plane[top : top + height, left : left + width]
    return crop[::-1, :] if rng.random() < 0.5 else crop


@lru_cache(maxsize=256)
def polar_grid(half: int) -> tuple[Plane, npt.NDArray[np.uint8]]:
    """Distance from the centre and angle index of each pixel of a (2 half + 1) square patch."""
    axis = np.arange(-half, half + 1, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    angle = np.arctan2(y, x) % np.float32(2 * np.pi)
    index = np.round(angle * (ANGLES / (2 * np.pi))).astype(np.int64) % ANGLES
    return np.hypot(x, y).astype(np.float32), index.astype(np.uint8)


def contour(
    rng: np.random.Generator,
    radius: float,
    *,
    elongation: float = 0.0,
    roughness: float = 0.0,
    lobes: tuple[int, ...] = (2, 3, 4, 5, 7),
) -> Plane:
    """Radius by angle of a roundish outline: an ellipse with decaying random harmonics."""
    phase = rng.uniform(0, 2 * np.pi)
    a, b = 1.0 + elongation, 1.0 / (1.0 + elongation)
    turned = ANGLE_GRID - np.float32(phase)
    outline = a * b / np.sqrt((b * np.cos(turned)) ** 2 + (a * np.sin(turned)) ** 2)
    if roughness > 0:
        for lobe in lobes:
            size = rng.normal(0, roughness / lobe**0.5)
            outline = outline + size * np.cos(lobe * ANGLE_GRID + rng.uniform(0, 2 * np.pi))
    return np.asarray(radius * outline, np.float32)


def inside(distance_px: Plane, edge_px: float = 1.0) -> Plane:
    """A soft mask from a signed distance that is positive inside."""
    mask: Plane = np.clip(distance_px / np.float32(edge_px) + np.float32(0.5), 0, 1)
    return mask


def disks_distance(
    half: int, points: npt.NDArray[np.float64], radii: npt.NDArray[np.float64]
) -> Plane:
    """Signed distance to a union of disks; points (n, 2) are px from the patch centre."""
    axis = np.arange(-half, half + 1, dtype=np.float32)
    best: Plane | None = None
    for (x, y), radius in zip(points, radii, strict=True):
        dx = (axis - np.float32(x)) ** 2
        dy = (axis - np.float32(y)) ** 2
        distance = np.float32(radius) - np.sqrt(dy[:, None] + dx[None, :])
        best = distance if best is None else np.maximum(best, distance)
    if best is None:
        raise ValueError("a union of no disks has no distance")
    return best


def spots(
    rng: np.random.Generator, mask: Plane, count: int, radius_px: float, spread: float = 0.25
) -> Plane:
    """About `count` round granules of this radius on the pixels where the mask is set, 0 to 1."""
    side = mask.shape[1]
    plane = np.zeros_like(mask)
    free = np.flatnonzero(mask > 0.6)
    if count <= 0 or free.size == 0:
        return plane
    picked = free[rng.integers(0, free.size, count)]
    radii = radius_px * np.exp(rng.normal(0, spread, count))
    if radius_px < 1.2:
        # Too small for a disk on this grid: put its area on one pixel and let the blur spread it.
        np.add.at(plane.ravel(), picked, (np.pi * radii**2).astype(np.float32))
        return np.minimum(cv2.GaussianBlur(plane, (0, 0), max(0.5, radius_px * 0.6)), 1.0)
    shift = 4
    for flat, radius in zip(picked, radii, strict=True):
        y, x = divmod(int(flat), side)
        cv2.circle(
            plane, (x << shift, y << shift), int(radius * (1 << shift)), 1.0, -1, cv2.LINE_8, shift
        )
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), 0.6), np.float32)


def scallops(rng: np.random.Generator, count: int, depth: float) -> Plane:
    """Relative radius by angle of a rim with about this many small bumps."""
    phase, bend = rng.uniform(0, 2 * np.pi, 2)
    uneven = 0.5 * np.sin(ANGLE_GRID + np.float32(bend))
    wave = np.cos(count * ANGLE_GRID + np.float32(phase) + uneven)
    size = depth * (1 + 0.4 * np.cos(3 * ANGLE_GRID + np.float32(bend)))
    return np.asarray(1 + size * wave, np.float32)


def bumps(rng: np.random.Generator, count: int, depth: float, width: float) -> Plane:
    """Relative radius by angle with this many smooth bumps: blebs where positive, dents where not."""
    outline = np.ones(ANGLES, np.float32)
    for _ in range(count):
        away = (
            ANGLE_GRID - np.float32(rng.uniform(0, 2 * np.pi)) + np.float32(np.pi)
        ) % np.float32(2 * np.pi) - np.float32(np.pi)
        size = np.float32(depth * rng.uniform(0.4, 1.0))
        outline = outline + size * np.exp(-np.square(away / np.float32(width)))
    return outline


def off_centre(
    half: int, shift_px: npt.NDArray[np.float64], stretch: npt.NDArray[np.float64]
) -> Plane:
    """Distance of each pixel of a (2 half + 1) patch from a shifted centre, slightly elliptic."""
    axis = np.arange(-half, half + 1, dtype=np.float32)
    dx = np.square((axis - np.float32(shift_px[0])) * np.float32(1 + stretch[0]))
    dy = np.square((axis - np.float32(shift_px[1])) * np.float32(1 + stretch[1]))
    return np.asarray(np.sqrt(dy[:, None] + dx[None, :]), np.float32)


def paste(target: Plane, patch: Plane, x_px: float, y_px: float) -> None:
    """Add a square patch at this centre, cut at the borders."""
    to, of = overlap(target.shape[:2], patch.shape[0] // 2, x_px, y_px)
    target[to] += patch[of]


def overlap(
    size: tuple[int, ...], half: int, x_px: float, y_px: float
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where a (2 half + 1) patch at this centre lies on a plane, and which part of it does."""
    side = 2 * half + 1
    top, left = round(y_px) - half, round(x_px) - half
    y0, x0 = min(max(top, 0), size[0]), min(max(left, 0), size[1])
    y1 = max(min(top + side, size[0]), y0)
    x1 = max(min(left + side, size[1]), x0)
    to = (slice(y0, y1), slice(x0, x1))
    return to, (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
