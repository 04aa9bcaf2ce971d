"""Shapes of white-cell nuclei as signed distances on a patch; positive inside, no colour."""

from __future__ import annotations

from enum import StrEnum
from itertools import pairwise

import cv2
import numpy as np

from edge_device.simulator import texture
from edge_device.simulator.texture import Plane


class NucleusShape(StrEnum):
    """The outlines that nuclei take as a cell matures."""

    ROUND = "round"
    CLEFT = "cleft"
    INDENTED = "indented"
    HORSESHOE = "horseshoe"
    LOBED = "lobed"


def nucleus_distance(
    shape: NucleusShape,
    rng: np.random.Generator,
    *,
    half: int,
    cell_px: float,
    nucleus_px: float,
    lobes: int,
) -> Plane:
    """Signed distance in px to a nucleus of this shape in a cell of radius cell_px.

    nucleus_px is the radius of the disk with the nucleus' area; lobes counts for LOBED alone.
    """
    if shape is NucleusShape.LOBED:
        return _lobed(half, cell_px, nucleus_px, lobes, rng)
    if shape is NucleusShape.HORSESHOE:
        return _horseshoe(half, cell_px, nucleus_px, rng)
    free = max(cell_px - nucleus_px, 0.0)
    turn = rng.uniform(0, 2 * np.pi)
    shift = free * rng.uniform(0.1, 0.75)
    dx, dy = shift * np.cos(turn), shift * np.sin(turn)
    roughness = 0.016 if shape is NucleusShape.ROUND else 0.035
    outline = texture.contour(
        rng, nucleus_px, elongation=abs(rng.normal(0, 0.07)), roughness=roughness
    )
    # Moving the patch, not the grid, keeps the cached polar grid usable.
    distance, angle = texture.polar_grid(half)
    signed = outline[angle] - distance
    if shape is NucleusShape.CLEFT:
        signed = np.minimum(signed, _notch(half, nucleus_px, rng.uniform(0.4, 0.9), 0.13, rng))
    if shape is NucleusShape.INDENTED:
        signed = np.minimum(signed, _notch(half, nucleus_px, rng.uniform(0.35, 0.8), 0.5, rng))
    if shape is not NucleusShape.ROUND:  # membranes have no corners
        soft = cv2.GaussianBlur(signed, (0, 0), max(0.09 * nucleus_px, 0.5))
        signed = np.asarray(soft, np.float32)
    return np.roll(signed, (round(dy), round(dx)), axis=(0, 1))


def _notch(
    half: int, nucleus_px: float, reach: float, width: float, rng: np.random.Generator
) -> Plane:
    """Distance to a wedge cut in from one side; reach is its depth in radii."""
    turn = rng.uniform(0, 2 * np.pi)
    steps = np.linspace(0, 1, 6)
    along = nucleus_px * (1.15 - reach * steps)
    bend = rng.normal(0, 0.12) * nucleus_px * steps**2
    x = along * np.cos(turn) - bend * np.sin(turn)
    y = along * np.sin(turn) + bend * np.cos(turn)
    radii = nucleus_px * width * (1.0 - 0.75 * steps)
    return -texture.disks_distance(half, np.stack([x, y], axis=1), radii)


def _horseshoe(half: int, cell_px: float, nucleus_px: float, rng: np.random.Generator) -> Plane:
    """A band: a bent sausage of even width."""
    arc = rng.uniform(2.4, 4.4)
    bend_px = min(cell_px * rng.uniform(0.42, 0.55), cell_px * 0.6)
    width_px = np.pi * nucleus_px**2 / max(arc * bend_px, 1.0) / 2
    width_px = float(np.clip(width_px, 0.16 * cell_px, 0.34 * cell_px))
    start = rng.uniform(0, 2 * np.pi)
    steps = np.linspace(0, 1, 13)
    angle = start + arc * steps
    wobble = 1 + 0.08 * np.sin(2 * np.pi * (steps * rng.uniform(0.6, 1.6) + rng.random()))
    x, y = bend_px * wobble * np.cos(angle), bend_px * wobble * np.sin(angle)
    squeeze = 1 - rng.uniform(0.0, 0.35) * np.exp(-(((steps - 0.5) / 0.18) ** 2))
    return texture.disks_distance(half, np.stack([x, y], axis=1), width_px * squeeze)


def _lobed(
    half: int, cell_px: float, nucleus_px: float, lobes: int, rng: np.random.Generator
) -> Plane:
    """Lobes along an arc, joined by filaments thinner than a third of a lobe."""
    lobe_px = nucleus_px / np.sqrt(lobes) * rng.uniform(0.92, 1.05)
    ring_px = max(cell_px * 0.46, lobe_px * 0.8)
    ring_px = min(ring_px, cell_px - lobe_px * 0.95)
    step = 2.15 * lobe_px / max(ring_px, 1.0) * rng.uniform(0.92, 1.1)
    step = min(step, 1.75 * np.pi / max(lobes - 1, 1), np.pi)
    angle = rng.uniform(0, 2 * np.pi) + step * np.arange(lobes) + rng.normal(0, 0.1, lobes)
    reach = ring_px * (1 + rng.normal(0, 0.10, lobes))
    centres = np.stack([reach * np.cos(angle), reach * np.sin(angle)], axis=1)
    points, radii = [], []
    for centre in centres:
        turn, size = rng.uniform(0, np.pi), lobe_px * np.exp(rng.normal(0, 0.12))
        for end in (-0.35, 0.35):
            points.append(centre + end * size * np.array([np.cos(turn), np.sin(turn)]))
            radii.append(size * 0.86)
    for first, second in pairwise(centres):
        for share in np.linspace(0.15, 0.85, 5):
            points.append(first + share * (second - first))
            radii.append(max(lobe_px * 0.22, 0.7))
    return texture.disks_distance(half, np.array(points), np.array(radii))
