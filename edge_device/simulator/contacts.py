"""How cells that touch flatten against each other: outlines cut back at the line between the two."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_device.simulator.texture import ANGLE_GRID, Plane

_LARGEST_GROWTH = 1.05  # a pressed cell spreads to its free sides


def flattened(outline: Plane, contacts: Sequence[tuple[float, float]]) -> Plane:
    """The outline with its contacts (direction in radians, distance of the line in px) pressed in.

    The cell gives way softly: no corner is left where the line meets the free outline.
    """
    pressed = outline
    for direction, reach in contacts:
        facing = np.cos(ANGLE_GRID - np.float32(direction))
        limit = np.where(facing > 0.05, reach / np.maximum(facing, 0.05), 1e6)
        soft = np.float32(0.05) * pressed
        gap = np.clip((limit - pressed) / soft, -30, 30)
        pressed = pressed - soft * np.log1p(np.exp(-gap))
        pressed = np.asarray(pressed, np.float32)
    pressed = np.maximum(pressed, 0.25 * outline)
    growth = float(np.sqrt(np.square(outline).mean() / np.square(pressed).mean()))
    return np.asarray(pressed * np.float32(min(growth, _LARGEST_GROWTH)), np.float32)


def line_between(distance: float, radius: float, other_radius: float) -> float:
    """How far from the centre of the first of two circles the line through their crossing lies."""
    return (distance**2 + radius**2 - other_radius**2) / (2 * max(distance, 1e-6))
