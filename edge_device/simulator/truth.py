"""All that is known of a rendered field: what was drawn where, and from which numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_device.simulator.cell_types import CellType, DiagnosisClass
from edge_device.simulator.white_cell_looks import CellParameters


@dataclass(frozen=True, slots=True)
class CellTruth:
    """One white cell: type, box (x0, y0, x1, y1) in px, and what it was drawn from."""

    cell_type: CellType
    box: tuple[int, int, int, int]
    parameters: CellParameters
    auer_rod: bool


@dataclass(frozen=True, slots=True)
class FieldTruth:
    """All that is known of a field; slide_id is the group for every split."""

    diagnosis_class: DiagnosisClass
    subtype: str
    """L1, L2 or L3 for ALL, else empty."""
    slide_id: str
    slide_seed: int
    field_index: int
    um_per_px: float
    cells: tuple[CellTruth, ...]
    red_cells: int
    platelets: int


@dataclass(frozen=True, slots=True)
class Masks:
    """Which pixels belong to what, each (H, W)."""

    white_cells: npt.NDArray[np.uint16]
    """0 for none, n for the n-th of the truth's cells."""
    nuclei: npt.NDArray[np.uint8]
    """1 where a nucleus of a white cell is."""
    red_cells: npt.NDArray[np.uint8]
    """1 where a red cell is, under a white cell too."""


@dataclass(frozen=True, slots=True)
class Field:
    """A rendered field: uint8 RGB (H, W, 3) before JPEG, with its truth."""

    image: npt.NDArray[np.uint8]
    truth: FieldTruth
    masks: Masks
