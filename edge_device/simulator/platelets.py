"""What lies between the cells: platelets, stain precipitate and dust; it knows no class."""

from __future__ import annotations

import cv2
import numpy as np

from edge_device.simulator import texture
from edge_device.simulator.red_cells import Disc
from edge_device.simulator.slide import AZURE_BLUE, AZURE_VIOLET, DYES, EOSIN, HAEMOGLOBIN, Slide
from edge_device.simulator.texture import Plane


def scatter_platelets(
    slide: Slide, width_um: float, height_um: float, rng: np.random.Generator
) -> list[Disc]:
    """Positions of platelets, alone or in small clumps."""
    found: list[Disc] = []
    for _ in range(int(rng.poisson(slide.platelets_per_mm2 * width_um * height_um / 1e6))):
        x, y = rng.uniform(0, width_um), rng.uniform(0, height_um)
        for _ in range(1 if rng.random() < 0.85 else int(rng.integers(2, 6))):
            radius = float(np.clip(rng.normal(1.15, 0.3), 0.7, 2.2))
            found.append(Disc(float(x), float(y), radius))
            x, y = x + rng.normal(0, 2.0), y + rng.normal(0, 2.0)
    return found


def add_platelet(dyes: Plane, disc: Disc, um_per_px: float, rng: np.random.Generator) -> None:
    """Add one platelet's dyes in place: a pale violet scrap with a granular core."""
    radius_px = max(disc.radius_um / um_per_px, 1.0)
    half = int(radius_px * 1.6) + 3
    distance, angle = texture.polar_grid(half)
    outline = texture.contour(rng, radius_px, elongation=abs(rng.normal(0, 0.2)), roughness=0.08)
    body = texture.inside(outline[angle] - distance, 1.5)
    core = texture.inside(outline[angle] * np.float32(0.7) - distance, 0.4 * radius_px)
    grain = texture.noise(rng, 2 * half + 1, 2 * half + 1, max(0.22 / um_per_px, 0.5))
    patch = np.zeros((2 * half + 1, 2 * half + 1, DYES), np.float32)
    depth = np.float32(rng.uniform(0.6, 1.2))
    patch[:, :, AZURE_BLUE] = 0.12 * body
    patch[:, :, EOSIN] = 0.18 * body
    patch[:, :, AZURE_VIOLET] = depth * (0.15 * body + core * np.clip(0.6 + 0.5 * grain, 0, 1.6))
    texture.paste(dyes, patch, disc.x_um / um_per_px, disc.y_um / um_per_px)


def add_dirt(dyes: Plane, slide: Slide, um_per_px: float, rng: np.random.Generator) -> None:
    """Add stain precipitate, small dark violet grains in patches, and dust far out of focus."""
    height, width = dyes.shape[:2]
    for _ in range(int(rng.poisson(1.5 * slide.dirt))):
        cx, cy = rng.uniform(0, width), rng.uniform(0, height)
        for _ in range(int(rng.integers(3, 25))):
            x, y = rng.normal(cx, 4 / um_per_px), rng.normal(cy, 3 / um_per_px)
            half = 3
            spot = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
            size = max(rng.uniform(0.1, 0.45) / um_per_px, 0.4)
            cv2.circle(spot, (half, half), round(size), 1.0, -1)
            patch = np.zeros((2 * half + 1, 2 * half + 1, DYES), np.float32)
            patch[:, :, AZURE_VIOLET] = spot * np.float32(rng.uniform(0.4, 1.8))
            texture.paste(dyes, patch, x, y)
    for _ in range(int(rng.poisson(2.0 * slide.dirt))):
        radius_px = rng.uniform(1.0, 4.0) / um_per_px
        half = int(2.2 * radius_px) + 2
        distance, _ = texture.polar_grid(half)
        patch = np.zeros((2 * half + 1, 2 * half + 1, DYES), np.float32)
        shade = np.float32(rng.uniform(0.02, 0.09))
        patch[:, :, HAEMOGLOBIN] = shade * np.exp(-np.square(distance / np.float32(radius_px)))
        texture.paste(dyes, patch, rng.uniform(0, width), rng.uniform(0, height))
