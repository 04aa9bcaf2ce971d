"""What fills a nucleus: chromatin from fine lace to coarse blocks, and pale nucleoli."""

from __future__ import annotations

import numpy as np

from edge_device.simulator import texture
from edge_device.simulator.texture import Plane
from edge_device.simulator.white_cell_looks import CellParameters


def chromatin(
    cell: CellParameters, signed: Plane, um_per_px: float, rng: np.random.Generator
) -> Plane:
    """Relative density with mean about 1 on a nucleus of this signed distance in px."""
    height, width = signed.shape
    grain_px = max(0.62 * cell.grain_um / um_per_px, 0.45)
    coarse = texture.noise(rng, height, width, grain_px)
    fine = texture.noise(rng, height, width, max(grain_px * 0.45, 0.4))
    wide = texture.noise(rng, height, width, max(1.8 / um_per_px, 0.8))
    # Blocks of dense chromatin with pale seams; towards fine chromatin they dissolve into lace.
    clumped = float(np.clip((cell.chromatin_contrast - 0.12) / 0.22, 0, 1))
    mixed = coarse + 0.5 * fine
    blocks = 0.85 * np.tanh(1.1 * mixed + 0.2) - 0.6 * np.exp(-np.square((mixed + 0.3) / 0.45))
    blocks = blocks + 0.3 * fine + 0.12
    lace = 0.75 * coarse + 0.65 * fine
    pattern = np.float32(clumped) * blocks + np.float32(1 - clumped) * lace
    density = 1 + np.float32(cell.chromatin_contrast) * (pattern + 0.3 * wide)
    # Denser at the membrane.
    density = density + 0.17 * np.exp(-np.square(signed * np.float32(um_per_px / 0.32)))
    return np.asarray(np.clip(density, 0.25, 1.9), np.float32)


def nucleoli(
    cell: CellParameters, signed: Plane, um_per_px: float, rng: np.random.Generator
) -> Plane:
    """Soft pale, slightly irregular spots of 1.2 to 2.8 um well inside the nucleus, 0 to 1."""
    plane = np.zeros_like(signed)
    half = signed.shape[0] // 2
    for _ in range(round(cell.nucleoli)):
        radius_px = rng.uniform(0.6, 1.4) / um_per_px
        deep = np.flatnonzero(signed > radius_px + 0.4 / um_per_px)
        if deep.size == 0:
            continue
        y, x = divmod(int(deep[rng.integers(deep.size)]), 2 * half + 1)
        away = texture.off_centre(
            half, np.array([x - half, y - half], np.float64), rng.normal(0, 0.15, 2)
        )
        spot = texture.inside(np.float32(radius_px) - away, max(0.6 / um_per_px, 1.0))
        plane = np.maximum(plane, spot * np.float32(rng.uniform(0.7, 1.0)))
    return plane
