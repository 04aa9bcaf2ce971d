"""Red cells and platelets: where they lie and how much dye they hold; never white cells."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge_device.simulator import texture
from edge_device.simulator.slide import AZURE_BLUE, AZURE_VIOLET, EOSIN, HAEMOGLOBIN, Slide
from edge_device.simulator.texture import Plane

DIAMETER_UM = 7.2
DIAMETER_DEVIATION_UM = 0.5
_MARGIN_UM = 4.5
_PROFILE_STEPS = 256
_PROFILE_REACH = 1.3  # the profile table covers 0 to 1.3 radii


@dataclass(frozen=True, slots=True)
class Disc:
    """A red cell or platelet to be drawn: centre and radius in um."""

    x_um: float
    y_um: float
    radius_um: float


def scatter_red_cells(
    slide: Slide, width_um: float, height_um: float, rng: np.random.Generator
) -> list[Disc]:
    """Positions of red cells: denser in clumps, mostly side by side, some on top of each other."""
    wide, high = width_um + 2 * _MARGIN_UM, height_um + 2 * _MARGIN_UM
    target = int(slide.red_cell_cover * wide * high / (np.pi * (DIAMETER_UM / 2) ** 2))
    clumps = texture.noise(rng, 64, 64, 9.0) * np.float32(slide.red_cell_clumping)
    xs, ys = np.empty(target), np.empty(target)
    radii = rng.normal(DIAMETER_UM / 2, DIAMETER_DEVIATION_UM / 2, target)
    placed = 0
    for _ in range(12 * target):
        if placed == target:
            break
        u, v, accept, overlap = rng.random(4)
        if accept > 1.0 / (1.0 + np.exp(-1.0 - 2.5 * clumps[int(v * 64), int(u * 64)])):
            continue
        x, y = u * wide, v * high
        if placed:
            gap = np.hypot(xs[:placed] - x, ys[:placed] - y) - radii[:placed] - radii[placed]
            closest = float(gap.min())
            # Touching cells deform instead of overlapping, so a small overlap is always allowed.
            if closest < -0.35 and not (overlap < slide.red_cell_overlap and closest > -4.5):
                continue
        xs[placed], ys[placed] = x, y
        placed += 1
    return [
        Disc(float(x) - _MARGIN_UM, float(y) - _MARGIN_UM, float(max(r, 2.4)))
        for x, y, r in zip(xs[:placed], ys[:placed], radii[:placed], strict=True)
    ]


def scatter_platelets(
    slide: Slide, width_um: float, height_um: float, rng: np.random.Generator
) -> list[Disc]:
    """Positions of platelets, alone or in small clumps."""
    found: list[Disc] = []
    for _ in range(int(rng.poisson(slide.platelets_per_mm2 * width_um * height_um / 1e6))):
        x, y = rng.uniform(0, width_um), rng.uniform(0, height_um)
        for _ in range(1 if rng.random() < 0.85 else int(rng.integers(2, 6))):
            radius = float(np.clip(rng.normal(1.2, 0.3), 0.7, 2.2))
            found.append(Disc(float(x), float(y), radius))
            x, y = x + rng.normal(0, 2.2), y + rng.normal(0, 2.2)
    return found


def _thickness_profile(pallor: float, flatness: float) -> npt.NDArray[np.float32]:
    """Relative thickness over radius: the biconcave disc of Evans and Fung, flattened by drying."""
    rho = np.linspace(0, _PROFILE_REACH, _PROFILE_STEPS)
    inner = np.sqrt(np.clip(1 - rho**2, 0, 1))
    disc = inner * (0.2072 + 2.0026 * rho**2 - 1.1228 * rho**4)
    disc = (disc / disc.max()) ** 1.4  # absorbed stain follows thickness more than in proportion
    flat = np.clip((1 - rho) / 0.12, 0, 1) * (1 - 0.1 * rho)
    solid = flatness * flat + (1 - flatness) * np.clip((1.02 - rho) / 0.2, 0, 1)
    return np.asarray(pallor * disc + (1 - pallor) * solid, np.float32)


def add_red_cell(
    dyes: Plane, disc: Disc, slide: Slide, um_per_px: float, rng: np.random.Generator
) -> None:
    """Add one red cell's dyes (H, W, 4) in place."""
    radius_px = disc.radius_um / um_per_px
    half = int(radius_px * 1.35) + 2
    distance, angle = texture.polar_grid(half)
    outline = texture.contour(
        rng,
        radius_px,
        elongation=abs(rng.normal(0, 0.06)),
        roughness=0.012 + rng.exponential(0.008),
    )
    pallor = float(np.clip(slide.red_cell_pallor + rng.normal(0, 0.15), 0, 1))
    profile = _thickness_profile(pallor, rng.uniform(0.2, 1.0))
    if rng.random() < 0.03:  # a target cell: pallor with a filled centre
        steps = np.linspace(0, _PROFILE_REACH, _PROFILE_STEPS)
        profile = np.maximum(profile, (0.8 * np.exp(-((steps / 0.22) ** 2))).astype(np.float32))
    reach = (_PROFILE_STEPS - 1) / _PROFILE_REACH
    steps_in = np.minimum(distance * (reach / outline)[angle], _PROFILE_STEPS - 1)
    thickness = profile[steps_in.astype(np.int32)]
    thickness = thickness * np.float32(0.62 * np.exp(rng.normal(0, 0.10)))
    eosin, azure = slide.red_cell_tint
    shares = np.zeros(4, np.float32)
    shares[HAEMOGLOBIN], shares[EOSIN], shares[AZURE_BLUE] = 1.0, eosin, azure
    if rng.random() < 0.01:  # a young cell, bluish all over
        shares[AZURE_BLUE] += 0.4
    paste(dyes, thickness[:, :, None] * shares, disc.x_um / um_per_px, disc.y_um / um_per_px)


def add_platelet(dyes: Plane, disc: Disc, um_per_px: float, rng: np.random.Generator) -> None:
    """Add one platelet's dyes in place: a pale violet scrap with a granular core."""
    radius_px = max(disc.radius_um / um_per_px, 1.0)
    half = int(radius_px * 1.6) + 3
    distance, angle = texture.polar_grid(half)
    outline = texture.contour(rng, radius_px, elongation=abs(rng.normal(0, 0.2)), roughness=0.08)
    body = texture.inside(outline[angle] - distance, 1.5)
    core = texture.inside(outline[angle] * np.float32(0.65) - distance, 0.4 * radius_px)
    grain = texture.noise(rng, 2 * half + 1, 2 * half + 1, max(0.3 / um_per_px, 0.5))
    patch = np.zeros((2 * half + 1, 2 * half + 1, 4), np.float32)
    patch[:, :, AZURE_BLUE] = 0.25 * body
    patch[:, :, AZURE_VIOLET] = core * np.clip(0.75 + 0.35 * grain, 0.1, 1.6)
    paste(dyes, patch, disc.x_um / um_per_px, disc.y_um / um_per_px)


def add_dirt(dyes: Plane, slide: Slide, um_per_px: float, rng: np.random.Generator) -> None:
    """Add stain precipitate: small dark violet grains, in patches."""
    height, width = dyes.shape[:2]
    for _ in range(int(rng.poisson(1.5 * slide.dirt))):
        cx, cy = rng.uniform(0, width), rng.uniform(0, height)
        for _ in range(int(rng.integers(3, 25))):
            x, y = rng.normal(cx, 4 / um_per_px), rng.normal(cy, 3 / um_per_px)
            half = 3
            spot = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
            size = max(rng.uniform(0.1, 0.45) / um_per_px, 0.4)
            cv2.circle(spot, (half, half), round(size), 1.0, -1)
            patch = np.zeros((2 * half + 1, 2 * half + 1, 4), np.float32)
            patch[:, :, AZURE_VIOLET] = spot * np.float32(rng.uniform(0.4, 1.8))
            paste(dyes, patch, x, y)


def paste(target: Plane, patch: Plane, x_px: float, y_px: float) -> None:
    """Add a square patch at this centre, cut at the borders."""
    half = patch.shape[0] // 2
    top, left = round(y_px) - half, round(x_px) - half
    y0, x0 = max(top, 0), max(left, 0)
    y1 = min(top + patch.shape[0], target.shape[0])
    x1 = min(left + patch.shape[1], target.shape[1])
    if y0 < y1 and x0 < x1:
        target[y0:y1, x0:x1] += patch[y0 - top : y1 - top, x0 - left : x1 - left]
