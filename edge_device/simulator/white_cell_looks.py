"""How each white-cell type looks, as means and deviations with their units: a literal table, no drawing.

Sizes follow the rules of morphology; neighbouring types overlap in every single parameter, so
that no one of them gives a type away.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from edge_device.simulator.cell_types import CellType

#: Mean, deviation, least and most.
Spread = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class CellParameters:
    """What one white cell was drawn from; the numbers are truth that comes with the image."""

    diameter_um: float
    nucleus_share: float
    """Nucleus area / cell area."""
    indentation: float
    """0 a round nucleus, 1 bent to a horseshoe."""
    lobes: float
    constriction: float
    """0 lobes of one width with what joins them, 1 joined by a thread."""
    grain_um: float
    chromatin_contrast: float
    chromatin_density: float
    nucleoli: float
    nucleolus_contrast: float
    cytoplasm_blue: float
    cytoplasm_pink: float
    fine_granules: float
    granules: float
    granule_um: float
    vacuoles: float


PARAMETER_NAMES = tuple(field.name for field in fields(CellParameters))


@dataclass(frozen=True, slots=True)
class Look:
    """The distributions from which one cell of a type is drawn."""

    diameter_um: Spread
    nucleus_share: Spread
    indentation: Spread
    grain_um: Spread
    chromatin_contrast: Spread
    chromatin_density: Spread
    cytoplasm_blue: Spread
    cytoplasm_pink: Spread
    chain_from: float = 2.0
    """Nuclei bent more than this are drawn as a chain, the others as one body."""
    lobes: Spread = (1, 0, 1, 1)
    constriction: Spread = (0, 0, 0, 0)
    nucleoli: Spread = (0, 0, 0, 0)
    nucleolus_contrast: Spread = (0, 0, 0, 0)
    fine_granules: Spread = (0, 0, 0, 0)
    granules: Spread = (0, 0, 0, 0)
    """Of the natural logarithm of their number + 1."""
    granule_um: Spread = (0.2, 0, 0.2, 0.2)
    granule_violet: float = 0.0
    granule_eosin: float = 0.0
    over_nucleus: float = 0.0
    """How many granules lie over the nucleus, of those that would fit there."""
    vacuoles: Spread = (0, 0, 0, 0)
    roughness: float = 0.02
    blebs: float = 0.0
    """Share of cells whose outline has buds."""


# fmt: off
LOOKS: dict[CellType, Look] = {
    CellType.LYMPHOBLAST: Look(
        diameter_um=(11.9, 1.3, 9.3, 20.0), nucleus_share=(0.83, 0.06, 0.66, 0.95),
        indentation=(0.14, 0.10, 0.0, 0.5), grain_um=(0.57, 0.13, 0.3, 1.0),
        chromatin_contrast=(0.24, 0.055, 0.1, 0.42), chromatin_density=(1.54, 0.19, 1.05, 2.0),
        cytoplasm_blue=(0.68, 0.20, 0.25, 1.3), cytoplasm_pink=(0.03, 0.02, 0.0, 0.1),
        nucleoli=(1.0, 0.9, 0, 3), nucleolus_contrast=(0.26, 0.10, 0.06, 0.5),
        roughness=0.025, blebs=0.15),
    CellType.MYELOBLAST: Look(
        diameter_um=(14.6, 1.7, 11.0, 20.0), nucleus_share=(0.74, 0.06, 0.58, 0.88),
        indentation=(0.18, 0.13, 0.0, 0.6), grain_um=(0.40, 0.09, 0.2, 0.7),
        chromatin_contrast=(0.17, 0.05, 0.06, 0.32), chromatin_density=(1.3, 0.16, 0.9, 1.8),
        cytoplasm_blue=(0.58, 0.18, 0.2, 1.1), cytoplasm_pink=(0.07, 0.04, 0.0, 0.2),
        nucleoli=(2.6, 1.1, 1, 5), nucleolus_contrast=(0.42, 0.12, 0.15, 0.7),
        granules=(1.0, 1.15, 0.0, 3.6), fine_granules=(0.03, 0.06, 0.0, 0.2), granule_um=(0.15, 0.03, 0.1, 0.24),
        granule_violet=0.9, granule_eosin=0.6, over_nucleus=0.2,
        roughness=0.025, blebs=0.15),
    CellType.SMALL_LYMPHOCYTE: Look(
        diameter_um=(9.6, 1.2, 7.0, 12.0), nucleus_share=(0.79, 0.07, 0.58, 0.94),
        indentation=(0.16, 0.12, 0.0, 0.6), grain_um=(0.76, 0.16, 0.4, 1.2),
        chromatin_contrast=(0.34, 0.07, 0.15, 0.52), chromatin_density=(1.79, 0.21, 1.25, 2.4),
        cytoplasm_blue=(0.48, 0.17, 0.15, 1.0), cytoplasm_pink=(0.04, 0.025, 0.0, 0.12),
        nucleoli=(0.1, 0.35, 0, 1), nucleolus_contrast=(0.15, 0.05, 0.05, 0.3),
        roughness=0.03, blebs=0.25),
    CellType.PROMYELOCYTE: Look(
        diameter_um=(16.8, 2.0, 12.0, 24.0), nucleus_share=(0.64, 0.07, 0.45, 0.78),
        indentation=(0.22, 0.13, 0.0, 0.6), grain_um=(0.52, 0.11, 0.3, 0.85),
        chromatin_contrast=(0.21, 0.05, 0.1, 0.36), chromatin_density=(1.35, 0.16, 0.95, 1.8),
        cytoplasm_blue=(0.50, 0.16, 0.15, 0.95), cytoplasm_pink=(0.13, 0.06, 0.0, 0.35),
        nucleoli=(1.8, 1.0, 0, 4), nucleolus_contrast=(0.34, 0.12, 0.08, 0.6),
        fine_granules=(0.11, 0.09, 0.0, 0.4),
        granules=(2.9, 1.2, 0.0, 5.2), granule_um=(0.2, 0.04, 0.13, 0.32),
        granule_violet=1.1, granule_eosin=0.7, over_nucleus=0.7),
    CellType.MYELOCYTE: Look(
        diameter_um=(14.2, 1.7, 10.0, 18.0), nucleus_share=(0.54, 0.07, 0.36, 0.7),
        indentation=(0.30, 0.15, 0.0, 0.7), grain_um=(0.66, 0.12, 0.4, 1.0),
        chromatin_contrast=(0.27, 0.06, 0.12, 0.42), chromatin_density=(1.6, 0.17, 1.15, 2.1),
        cytoplasm_blue=(0.27, 0.15, 0.0, 0.7), cytoplasm_pink=(0.23, 0.08, 0.05, 0.45),
        nucleoli=(0.5, 0.8, 0, 2), nucleolus_contrast=(0.2, 0.08, 0.05, 0.4),
        fine_granules=(0.26, 0.10, 0.05, 0.55),
        granules=(2.6, 1.0, 0.0, 4.4), granule_um=(0.17, 0.03, 0.12, 0.28),
        granule_violet=0.8, granule_eosin=0.5, over_nucleus=0.3),
    CellType.METAMYELOCYTE: Look(
        diameter_um=(13.6, 1.5, 10.0, 18.0), nucleus_share=(0.44, 0.06, 0.28, 0.6),
        indentation=(0.52, 0.14, 0.2, 0.9), grain_um=(0.74, 0.13, 0.45, 1.1),
        chromatin_contrast=(0.31, 0.06, 0.15, 0.46), chromatin_density=(1.75, 0.17, 1.3, 2.2),
        cytoplasm_blue=(0.14, 0.10, 0.0, 0.45), cytoplasm_pink=(0.28, 0.07, 0.1, 0.48),
        chain_from=0.6, lobes=(1.35, 0.5, 1, 2), constriction=(0.08, 0.13, 0.0, 0.5),
        fine_granules=(0.34, 0.11, 0.1, 0.65),
        granules=(1.6, 1.0, 0.0, 3.4), granule_um=(0.16, 0.03, 0.11, 0.25),
        granule_violet=0.7, granule_eosin=0.5),
    CellType.BAND: Look(
        diameter_um=(13.1, 1.2, 10.0, 16.0), nucleus_share=(0.38, 0.05, 0.26, 0.5),
        indentation=(0.68, 0.13, 0.35, 1.0), grain_um=(0.78, 0.13, 0.5, 1.1),
        chromatin_contrast=(0.33, 0.06, 0.18, 0.48), chromatin_density=(1.9, 0.18, 1.4, 2.4),
        cytoplasm_blue=(0.06, 0.06, 0.0, 0.28), cytoplasm_pink=(0.28, 0.08, 0.1, 0.5),
        chain_from=0.0, lobes=(2.0, 0.7, 1, 3), constriction=(0.30, 0.17, 0.0, 0.7),
        fine_granules=(0.40, 0.12, 0.1, 0.75),
        granules=(1.3, 1.0, 0.0, 3.2), granule_um=(0.15, 0.03, 0.1, 0.24),
        granule_violet=0.7, granule_eosin=0.5),
    CellType.SEGMENTED: Look(
        diameter_um=(12.9, 1.2, 10.0, 16.0), nucleus_share=(0.33, 0.05, 0.22, 0.45),
        indentation=(0.72, 0.16, 0.3, 1.0), grain_um=(0.78, 0.13, 0.5, 1.1),
        chromatin_contrast=(0.33, 0.06, 0.18, 0.48), chromatin_density=(2.0, 0.18, 1.5, 2.5),
        cytoplasm_blue=(0.05, 0.05, 0.0, 0.25), cytoplasm_pink=(0.27, 0.08, 0.1, 0.5),
        chain_from=0.0, lobes=(3.0, 0.85, 2, 5), constriction=(0.55, 0.18, 0.15, 0.95),
        fine_granules=(0.42, 0.13, 0.1, 0.8),
        granules=(1.2, 1.0, 0.0, 3.2), granule_um=(0.15, 0.03, 0.1, 0.24),
        granule_violet=0.7, granule_eosin=0.5),
    CellType.EOSINOPHIL: Look(
        diameter_um=(13.8, 1.2, 11.0, 17.0), nucleus_share=(0.34, 0.05, 0.22, 0.46),
        indentation=(0.66, 0.16, 0.3, 1.0), grain_um=(0.76, 0.13, 0.5, 1.1),
        chromatin_contrast=(0.30, 0.06, 0.15, 0.45), chromatin_density=(1.8, 0.18, 1.3, 2.3),
        cytoplasm_blue=(0.07, 0.05, 0.0, 0.25), cytoplasm_pink=(0.40, 0.10, 0.2, 0.7),
        chain_from=0.0, lobes=(2.1, 0.5, 1, 3), constriction=(0.6, 0.2, 0.1, 0.95),
        granules=(5.25, 0.25, 4.6, 5.8), granule_um=(0.33, 0.04, 0.24, 0.42),
        granule_violet=0.06, granule_eosin=0.95, over_nucleus=0.1),
    CellType.BASOPHIL: Look(
        diameter_um=(12.4, 1.2, 10.0, 15.5), nucleus_share=(0.48, 0.08, 0.3, 0.68),
        indentation=(0.55, 0.2, 0.1, 1.0), grain_um=(0.8, 0.13, 0.5, 1.1),
        chromatin_contrast=(0.22, 0.06, 0.08, 0.38), chromatin_density=(1.35, 0.18, 0.9, 1.9),
        cytoplasm_blue=(0.08, 0.06, 0.0, 0.28), cytoplasm_pink=(0.34, 0.1, 0.08, 0.6),
        chain_from=0.0, lobes=(2.2, 0.6, 1, 3), constriction=(0.3, 0.15, 0.0, 0.7),
        granules=(4.5, 0.35, 3.6, 5.3), granule_um=(0.36, 0.07, 0.24, 0.55),
        granule_violet=1.5, granule_eosin=0.2, over_nucleus=0.85, roughness=0.03, blebs=0.1),
    CellType.MONOCYTE: Look(
        diameter_um=(16.2, 1.7, 12.5, 21.0), nucleus_share=(0.52, 0.07, 0.36, 0.68),
        indentation=(0.50, 0.20, 0.05, 1.0), grain_um=(0.56, 0.11, 0.35, 0.9),
        chromatin_contrast=(0.25, 0.06, 0.1, 0.42), chromatin_density=(1.4, 0.16, 1.0, 1.9),
        cytoplasm_blue=(0.42, 0.12, 0.15, 0.8), cytoplasm_pink=(0.12, 0.05, 0.0, 0.3),
        fine_granules=(0.16, 0.08, 0.0, 0.4),
        granules=(1.9, 1.1, 0.0, 4.0), granule_um=(0.14, 0.03, 0.1, 0.22),
        granule_violet=0.6, granule_eosin=0.5,
        vacuoles=(2.0, 2.5, 0, 9), roughness=0.05, blebs=0.25),
}

#: Types between which a reader may waver: in none of the parameters above do they part clearly.
NEIGHBOURS: tuple[tuple[CellType, CellType], ...] = (
    (CellType.LYMPHOBLAST, CellType.MYELOBLAST),
    (CellType.LYMPHOBLAST, CellType.SMALL_LYMPHOCYTE),
    (CellType.MYELOBLAST, CellType.PROMYELOCYTE),
    (CellType.PROMYELOCYTE, CellType.MYELOCYTE),
    (CellType.MYELOCYTE, CellType.METAMYELOCYTE),
    (CellType.METAMYELOCYTE, CellType.BAND),
    (CellType.BAND, CellType.SEGMENTED),
    (CellType.MYELOCYTE, CellType.MONOCYTE),
)
