"""How each white-cell type looks, as ranges with their units: a literal table, no drawing.

Sizes follow the rules of morphology; neighbouring types overlap in every single parameter, so
that no one of them gives a type away.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_device.simulator.cell_types import CellType
from edge_device.simulator.nuclei import NucleusShape

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Granules:
    """Granules of one kind: how many, how big, which dyes, whether they cover the nucleus."""

    count: tuple[int, int]
    radius_um: Range
    violet: float
    eosin: float
    over_nucleus: bool


@dataclass(frozen=True, slots=True)
class Look:
    """The ranges from which one cell of a type is drawn."""

    diameter_um: tuple[float, float, float, float]  # mean, deviation, least, most
    nucleus_share: Range  # nucleus area / cell area
    shapes: tuple[NucleusShape, ...]
    lobes: tuple[int, int]
    chromatin_grain_um: Range
    chromatin_contrast: Range
    chromatin_density: Range  # units of azure violet
    nucleoli: tuple[int, int]
    nucleolus_contrast: Range
    cytoplasm_blue: Range
    cytoplasm_pink: Range
    granules: Granules | None = None
    fine_granules: Range = (0.0, 0.0)
    roughness: float = 0.02
    vacuoles: tuple[int, int] = (0, 0)


_R, _C, _I, _H, _L = NucleusShape

# fmt: off
LOOKS: dict[CellType, Look] = {
    CellType.LYMPHOBLAST: Look(
        (12.8, 2.0, 9.0, 20.0),
        (0.74, 0.92),
        (_R, _R, _C),
        (1, 1),
        (0.36, 0.8),
        (0.08, 0.20),
        (1.2, 1.75),
        (0, 3),
        (0.08, 0.34),
        (0.5, 1.1),
        (0.0, 0.05),
        roughness=0.022,
    ),
    CellType.MYELOBLAST: Look(
        (15.0, 1.6, 11.5, 20.0),
        (0.64, 0.84),
        (_R, _R, _R, _R, _I),
        (1, 1),
        (0.25, 0.55),
        (0.05, 0.14),
        (1.0, 1.5),
        (1, 5),
        (0.2, 0.5),
        (0.4, 0.9),
        (0.0, 0.1),
        Granules((0, 14), (0.12, 0.22), 1.0, 0.5, False),
        roughness=0.022,
    ),
    CellType.SMALL_LYMPHOCYTE: Look(
        (9.1, 1.0, 7.0, 12.0),
        (0.72, 0.92),
        (_R, _R, _R, _C),
        (1, 1),
        (0.6, 1.1),
        (0.19, 0.45),
        (1.6, 2.4),
        (0, 0),
        (0.0, 0.0),
        (0.3, 0.75),
        (0.0, 0.06),
        roughness=0.02,
    ),
    CellType.PROMYELOCYTE: Look(
        (17.0, 2.0, 12.0, 24.0),
        (0.48, 0.66),
        (_R, _I),
        (1, 1),
        (0.4, 0.7),
        (0.10, 0.22),
        (1.1, 1.6),
        (1, 3),
        (0.15, 0.4),
        (0.35, 0.7),
        (0.05, 0.2),
        Granules((60, 170), (0.18, 0.32), 1.3, 0.7, True),
    ),
    CellType.MYELOCYTE: Look(
        (14.2, 1.7, 10.0, 18.0),
        (0.38, 0.54),
        (_R, _R, _I),
        (1, 1),
        (0.6, 0.95),
        (0.18, 0.34),
        (1.35, 1.95),
        (0, 0),
        (0.0, 0.0),
        (0.08, 0.28),
        (0.25, 0.5),
        Granules((6, 45), (0.14, 0.24), 0.9, 0.5, False),
        fine_granules=(0.15, 0.4),
    ),
    CellType.METAMYELOCYTE: Look(
        (13.6, 1.6, 10.0, 18.0),
        (0.34, 0.48),
        (_I,),
        (1, 1),
        (0.65, 1.0),
        (0.22, 0.38),
        (1.5, 2.1),
        (0, 0),
        (0.0, 0.0),
        (0.0, 0.15),
        (0.28, 0.5),
        fine_granules=(0.2, 0.45),
    ),
    CellType.BAND: Look(
        (13.0, 1.2, 10.0, 16.0),
        (0.26, 0.38),
        (_H,),
        (1, 1),
        (0.65, 1.05),
        (0.24, 0.4),
        (1.7, 2.3),
        (0, 0),
        (0.0, 0.0),
        (0.0, 0.08),
        (0.26, 0.48),
        fine_granules=(0.2, 0.5),
    ),
    CellType.SEGMENTED: Look(
        (12.9, 1.2, 10.0, 16.0),
        (0.24, 0.34),
        (_L,),
        (2, 5),
        (0.6, 1.0),
        (0.24, 0.42),
        (1.8, 2.5),
        (0, 0),
        (0.0, 0.0),
        (0.0, 0.06),
        (0.24, 0.46),
        fine_granules=(0.2, 0.5),
    ),
    CellType.EOSINOPHIL: Look(
        (13.8, 1.2, 11.0, 17.0),
        (0.24, 0.34),
        (_L,),
        (2, 3),
        (0.65, 1.05),
        (0.22, 0.36),
        (1.6, 2.2),
        (0, 0),
        (0.0, 0.0),
        (0.0, 0.08),
        (0.3, 0.5),
        Granules((150, 260), (0.34, 0.48), 0.12, 1.25, False),
    ),
    CellType.BASOPHIL: Look(
        (12.4, 1.2, 10.0, 15.5),
        (0.30, 0.45),
        (_L, _I),
        (2, 3),
        (0.7, 1.1),
        (0.15, 0.3),
        (1.2, 1.7),
        (0, 0),
        (0.0, 0.0),
        (0.0, 0.15),
        (0.2, 0.4),
        Granules((45, 110), (0.35, 0.6), 2.0, 0.15, True),
    ),
    CellType.MONOCYTE: Look(
        (16.4, 1.7, 12.5, 21.0),
        (0.42, 0.58),
        (_I, _I, _C),
        (1, 1),
        (0.5, 0.85),
        (0.16, 0.3),
        (1.15, 1.65),
        (0, 0),
        (0.0, 0.0),
        (0.3, 0.55),
        (0.05, 0.18),
        Granules((0, 25), (0.10, 0.18), 0.7, 0.5, False),
        fine_granules=(0.05, 0.25),
        roughness=0.05,
        vacuoles=(0, 5),
    ),
}
