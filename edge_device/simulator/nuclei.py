"""Shapes of white-cell nuclei as signed distances on a patch; positive inside, no colour."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from edge_device.simulator import texture
from edge_device.simulator.texture import Plane
from edge_device.simulator.white_cell_looks import CellParameters


def nucleus_distance(
    cell: CellParameters, is_chain: bool, half: int, cell_px: float, rng: np.random.Generator
) -> Plane:
    """Signed distance in px to a nucleus, a chain of lobes or one body, in a cell of radius cell_px."""
    nucleus_px = cell_px * float(np.sqrt(cell.nucleus_share))
    if is_chain:
        return _chain(cell, half, cell_px, nucleus_px, rng)
    return _body(cell, half, cell_px, nucleus_px, rng)


def _body(
    cell: CellParameters, half: int, cell_px: float, nucleus_px: float, rng: np.random.Generator
) -> Plane:
    """One round to kidney-shaped body, off the cell's centre."""
    free = max(cell_px - nucleus_px, 0.0)
    turn = rng.uniform(0, 2 * np.pi)
    shift = free * rng.uniform(0.15, 0.9)
    grown = nucleus_px * (1 + 0.16 * cell.indentation)  # the bay takes area away
    outline = texture.contour(
        rng, grown, elongation=abs(rng.normal(0, 0.07)), roughness=0.016 + 0.03 * cell.indentation
    )
    distance, angle = texture.polar_grid(half)
    signed = outline[angle] - distance
    if cell.indentation > 0.12:
        # A bay on the side that looks to the wide part of the cytoplasm, or a narrow cleft.
        deep = 1.35 * cell.indentation
        narrow = rng.random() < 0.35
        width = rng.uniform(0.10, 0.18) if narrow else rng.uniform(0.35, 0.6)
        bay_turn = turn + np.pi + rng.normal(0, 0.5)
        signed = np.minimum(
            signed, _bay(half, grown, deep=deep, width=width, turn=bay_turn, rng=rng)
        )
        soft = cv2.GaussianBlur(signed, (0, 0), max(0.07 * grown, 0.5))  # membranes have no corners
        signed = np.asarray(soft, np.float32)
    dx, dy = shift * np.cos(turn), shift * np.sin(turn)
    return np.roll(signed, (round(dy), round(dx)), axis=(0, 1))


def _bay(
    half: int,
    nucleus_px: float,
    *,
    deep: float,
    width: float,
    turn: float,
    rng: np.random.Generator,
) -> Plane:
    """Distance to a wedge cut in from one side; `deep` is its depth in radii."""
    steps = np.linspace(0, 1, 6)
    along = nucleus_px * (1.1 + 0.6 * width - deep * steps)
    bend = rng.normal(0, 0.15) * nucleus_px * steps**2
    x = along * np.cos(turn) - bend * np.sin(turn)
    y = along * np.sin(turn) + bend * np.cos(turn)
    radii = nucleus_px * width * (1.0 - 0.6 * steps)
    return -texture.disks_distance(half, np.stack([x, y], axis=1), radii)


def _chain(
    cell: CellParameters, half: int, cell_px: float, nucleus_px: float, rng: np.random.Generator
) -> Plane:
    """Lobes along a bent thread: a band where the thread is as wide as they are."""
    lobes, thin = max(1, round(cell.lobes)), cell.constriction
    area_px = np.pi * nucleus_px**2
    # A sausage of the right area: its length follows from the bend, the lobes and their gaps.
    stretch = 1.2 + 0.9 * cell.indentation + 0.75 * (lobes - 1) * (0.5 + thin)
    width_px = float(np.sqrt(area_px / (4 * stretch + np.pi)))
    path = _path(cell, 2 * stretch * width_px, cell_px - 1.1 * width_px, rng)
    steps = np.linspace(0, 1, len(path))
    between = 0.5 + 0.5 * np.cos(2 * np.pi * steps * lobes)  # 1 between lobes, 0 in their middle
    between = np.where((steps > 0.5 / lobes) & (steps < 1 - 0.5 / lobes), between**0.8, 0.0)
    sizes = np.exp(rng.normal(0, 0.18, lobes))
    own = np.interp(steps, (np.arange(lobes) + 0.5) / lobes, sizes)
    bridge = float(np.clip(2.0 * thin - 0.2, 0.0, 0.94))
    radii = width_px * own * (1 - bridge * between) * (1 + 0.12 * thin)
    signed = texture.disks_distance(half, path, np.maximum(radii, 0.7))
    soft = cv2.GaussianBlur(signed, (0, 0), max(0.035 * cell_px, 0.5))
    return np.asarray(soft, np.float32)


def _path(
    cell: CellParameters, length_px: float, room_px: float, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """A thread inside the cell: an arc with a kink at each gap, turned at random, off the membrane."""
    lobes = max(1, round(cell.lobes))
    count = 7 + 6 * lobes
    steps = np.linspace(-0.5, 0.5, count)
    arc = (0.6 + 4.2 * cell.indentation) * rng.choice([-1.0, 1.0])
    lobe_of = np.minimum(((steps + 0.5) * lobes).astype(np.int64), lobes - 1)
    kinks = rng.normal(0, 0.25 + 0.7 * cell.constriction, lobes)
    heading = arc * steps + kinks[lobe_of] + rng.uniform(0, 2 * np.pi)
    path = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], axis=1), axis=0)
    path *= length_px / count
    path -= (path.max(axis=0) + path.min(axis=0)) / 2
    room_px = max(room_px, 1.0)
    path += rng.normal(0, 0.12 * room_px, 2)
    away = np.hypot(path[:, 0], path[:, 1])
    # What would leave the cell is bent along the membrane.
    scale = np.where(away > room_px, room_px / np.maximum(away, 1e-6), 1.0)
    return np.asarray(path * scale[:, None], np.float64)
