"""What lies in the cytoplasm: granules, vacuoles and Auer rods; each adds to a patch of dyes in place."""

from __future__ import annotations

import cv2
import numpy as np

from edge_device.simulator import texture
from edge_device.simulator.slide import AZURE_VIOLET, EOSIN
from edge_device.simulator.texture import Plane
from edge_device.simulator.white_cell_looks import CellParameters, Look


def add_fine_granules(
    dyes: Plane, amount: float, cytoplasm: Plane, um_per_px: float, rng: np.random.Generator
) -> None:
    """The lilac dust of the granulocytes' cytoplasm, too fine to be counted."""
    side = cytoplasm.shape[0]
    dust = texture.noise(rng, side, side, max(0.17 / um_per_px, 0.45))
    dust = np.clip(dust - 0.2, 0, 2.2) * cytoplasm * np.float32(amount)
    dyes[:, :, EOSIN] += 0.45 * dust
    dyes[:, :, AZURE_VIOLET] += 0.33 * dust


def add_granules(
    dyes: Plane,
    cell: CellParameters,
    look: Look,
    masks: tuple[Plane, Plane],
    um_per_px: float,
    *,
    rng: np.random.Generator,
) -> None:
    """Round granules over the cytoplasm and, where the type has them there, over the nucleus."""
    body, nucleus = masks
    count = round(cell.granules)
    if not count:
        return
    zone = body * (1 - nucleus)
    if look.over_nucleus and rng.random() < look.over_nucleus:
        zone = body
    radius_px = cell.granule_um / um_per_px
    strong = texture.spots(rng, zone, count - count // 2, radius_px)
    faint = texture.spots(rng, zone, count // 2, radius_px * 0.9)
    dots = np.maximum(strong, 0.65 * faint) * body
    # A granule hides what lies under it.
    dyes *= (1 - 0.35 * dots)[:, :, None]
    dyes[:, :, AZURE_VIOLET] += dots * np.float32(look.granule_violet)
    dyes[:, :, EOSIN] += dots * np.float32(look.granule_eosin)


def add_vacuoles(
    dyes: Plane, count: int, zone: Plane, um_per_px: float, rng: np.random.Generator
) -> None:
    """Clear bubbles with an edge."""
    hollow = texture.spots(rng, zone, count, 0.5 / um_per_px, spread=0.35)
    dyes *= (1 - 0.85 * hollow)[:, :, None]


def add_auer_rod(dyes: Plane, cytoplasm: Plane, um_per_px: float, rng: np.random.Generator) -> bool:
    """A red needle of 2 to 4 um in the cytoplasm of a myeloblast; False where there is no room."""
    half = cytoplasm.shape[0] // 2
    free = np.flatnonzero(cytoplasm > 0.8)
    if free.size == 0:
        return False
    y, x = divmod(int(free[rng.integers(free.size)]), 2 * half + 1)
    turn = np.arctan2(y - half, x - half) + np.pi / 2 + rng.normal(0, 0.3)
    reach = rng.uniform(1.0, 2.0) / um_per_px
    ends = [
        (
            round((x + sign * reach * np.cos(turn)) * 16),
            round((y + sign * reach * np.sin(turn)) * 16),
        )
        for sign in (-1, 1)
    ]
    plane = np.zeros(dyes.shape[:2], np.float32)
    cv2.line(plane, ends[0], ends[1], 1.0, max(1, round(0.3 / um_per_px)), cv2.LINE_8, 4)
    plane = np.asarray(cv2.GaussianBlur(plane, (0, 0), max(0.12 / um_per_px, 0.4)), np.float32)
    dyes[:, :, EOSIN] += 0.9 * plane
    dyes[:, :, AZURE_VIOLET] += 0.55 * plane
    return True
