"""Which white cells a smear of each class shows; it knows shares, never pixels.

The shares follow the rules of morphology: both acute leukemias show monotonous blasts and few
mature granulocytes, chronic lymphocytic leukemia monotone small lymphocytes and smudge cells,
chronic myeloid leukemia the whole granulocytic series, and a healthy smear the usual differential
count.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np


class CellType(StrEnum):
    """White cells that the simulator can draw."""

    LYMPHOBLAST = "lymphoblast"
    MYELOBLAST = "myeloblast"
    SMALL_LYMPHOCYTE = "small_lymphocyte"
    SMUDGE_CELL = "smudge_cell"
    PROMYELOCYTE = "promyelocyte"
    MYELOCYTE = "myelocyte"
    METAMYELOCYTE = "metamyelocyte"
    BAND = "band"
    SEGMENTED = "segmented"
    EOSINOPHIL = "eosinophil"
    BASOPHIL = "basophil"
    MONOCYTE = "monocyte"


class DiagnosisClass(StrEnum):
    """The five classes of the simulated smears."""

    ALL = "ALL"
    AML = "AML"
    CLL = "CLL"
    CML = "CML"
    HEALTHY = "healthy"


# Mean share of each cell type per class; a patient's own shares are drawn around them.
MEAN_SHARES: dict[DiagnosisClass, dict[CellType, float]] = {
    DiagnosisClass.ALL: {
        CellType.LYMPHOBLAST: 0.88,
        CellType.SMALL_LYMPHOCYTE: 0.08,
        CellType.SEGMENTED: 0.03,
        CellType.SMUDGE_CELL: 0.01,
    },
    DiagnosisClass.AML: {
        CellType.MYELOBLAST: 0.86,
        CellType.PROMYELOCYTE: 0.02,
        CellType.MONOCYTE: 0.02,
        CellType.SEGMENTED: 0.04,
        CellType.SMALL_LYMPHOCYTE: 0.05,
        CellType.SMUDGE_CELL: 0.01,
    },
    DiagnosisClass.CLL: {
        CellType.SMALL_LYMPHOCYTE: 0.82,
        CellType.SMUDGE_CELL: 0.13,
        CellType.SEGMENTED: 0.04,
        CellType.MONOCYTE: 0.01,
    },
    DiagnosisClass.CML: {
        CellType.MYELOBLAST: 0.01,
        CellType.PROMYELOCYTE: 0.06,
        CellType.MYELOCYTE: 0.22,
        CellType.METAMYELOCYTE: 0.15,
        CellType.BAND: 0.17,
        CellType.SEGMENTED: 0.24,
        CellType.BASOPHIL: 0.06,
        CellType.EOSINOPHIL: 0.04,
        CellType.SMALL_LYMPHOCYTE: 0.03,
        CellType.MONOCYTE: 0.02,
    },
    DiagnosisClass.HEALTHY: {
        CellType.SEGMENTED: 0.59,
        CellType.BAND: 0.03,
        CellType.SMALL_LYMPHOCYTE: 0.29,
        CellType.MONOCYTE: 0.06,
        CellType.EOSINOPHIL: 0.025,
        CellType.BASOPHIL: 0.005,
    },
}

#: How closely a patient's shares follow the class mean: the sum of the Dirichlet's parameters.
CONCENTRATION = 60.0


def draw_shares(diagnosis_class: DiagnosisClass, rng: np.random.Generator) -> dict[CellType, float]:
    """One patient's shares of white cells, drawn around the class mean."""
    mean = MEAN_SHARES[diagnosis_class]
    weights = rng.dirichlet([share * CONCENTRATION for share in mean.values()])
    return dict(zip(mean, (float(weight) for weight in weights), strict=True))


def draw_cell_types(
    shares: dict[CellType, float], count: int, rng: np.random.Generator
) -> list[CellType]:
    """Draw the types of a field's white cells from a patient's shares."""
    kinds = list(shares)
    picks = rng.choice(len(kinds), size=count, p=np.array(list(shares.values())))
    return [kinds[int(pick)] for pick in picks]
