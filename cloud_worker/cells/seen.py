"""What a worker keeps of the white cells of a field: boxes and nucleus areas, most suspicious first; no pixels.

Where the network has an exact map the cell comes first whose box holds most of the evidence for acute
leukemia; without one the cell with the largest nucleus does. The order says where to look first. It says
nothing of a cell by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cloud_worker.cells.white_cells import (
    COARSEST_UM_PER_PX,
    FINEST_UM_PER_PX,
    Box,
    find_white_cells,
)


@dataclass(frozen=True, slots=True)
class SeenField:
    """The size of an image, and its white cells where they were counted."""

    width_px: int
    height_px: int
    boxes: tuple[Box, ...] | None = None
    """In pixels of the image; None where nobody counted, such as where the scale is unknown."""
    nucleus_um2: tuple[float, ...] = ()

    @property
    def white_cells(self) -> int | None:
        """How many, None where they were not counted."""
        return None if self.boxes is None else len(self.boxes)


def look_at(rgb: NDArray[np.uint8], um_per_px: float | None, *, count: bool = True) -> SeenField:
    """The field's size and white cells; they are counted where the scale is known and serves."""
    height, width = rgb.shape[:2]
    if not count or um_per_px is None or not FINEST_UM_PER_PX <= um_per_px <= COARSEST_UM_PER_PX:
        return SeenField(width, height)
    found = find_white_cells(rgb, um_per_px)
    return SeenField(width, height, found.boxes, found.nucleus_um2)


def largest_nucleus_first(seen: SeenField) -> tuple[Box, ...] | None:
    """The boxes in the order that needs no map."""
    return None if seen.boxes is None else _sorted(seen.boxes, seen.nucleus_um2)


def most_evidence_first(
    seen: SeenField,
    evidence: NDArray[np.float32],
    *,
    padded_px: tuple[int, int],
    pads_px: tuple[int, int],
    field_px: tuple[int, int],
) -> tuple[Box, ...] | None:
    """The boxes by the mass of positive evidence in each.

    `evidence` h,w lies over the padded field; the other sizes (height, width) are those of the padded
    field, of its padding at top and left, and of the field at the network's scale.
    """
    if seen.boxes is None:
        return None
    sums = np.pad(np.maximum(evidence, 0).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    scale_x, scale_y = field_px[1] / seen.width_px, field_px[0] / seen.height_px
    to_x, to_y = evidence.shape[1] / padded_px[1], evidence.shape[0] / padded_px[0]
    masses = [
        _mass(
            sums,
            (x * scale_x + pads_px[1]) * to_x,
            (y * scale_y + pads_px[0]) * to_y,
            ((x + width) * scale_x + pads_px[1]) * to_x,
            ((y + height) * scale_y + pads_px[0]) * to_y,
        )
        for x, y, width, height in seen.boxes
    ]
    return _sorted(seen.boxes, masses, seen.nucleus_um2)


def _mass(
    sums: NDArray[np.floating], left: float, top: float, right: float, bottom: float
) -> float:
    """Of a box with fractional corners, from the table of sums."""

    def up_to(x: float, y: float) -> float:
        x, y = min(max(x, 0), sums.shape[1] - 1), min(max(y, 0), sums.shape[0] - 1)
        column, row = min(int(x), sums.shape[1] - 2), min(int(y), sums.shape[0] - 2)
        part_x, part_y = x - column, y - row
        corner = sums[row : row + 2, column : column + 2]
        above = corner[0, 0] * (1 - part_x) + corner[0, 1] * part_x
        below = corner[1, 0] * (1 - part_x) + corner[1, 1] * part_x
        return float(above * (1 - part_y) + below * part_y)

    return up_to(right, bottom) - up_to(left, bottom) - up_to(right, top) + up_to(left, top)


def _sorted(boxes: tuple[Box, ...], *by: Sequence[float]) -> tuple[Box, ...]:
    order = sorted(range(len(boxes)), key=lambda k: tuple(-values[k] for values in by))
    return tuple(boxes[k] for k in order)
