"""What the white cells of one patient have in common, drawn once per slide and class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_device.simulator.cell_types import CellType, DiagnosisClass
from edge_device.simulator.white_cell_looks import LOOKS, PARAMETER_NAMES, CellParameters, Spread

#: Acute lymphoblastic leukemia comes as L1 (small, uniform), L2 (larger, clefted) or L3 (deep blue
#: with vacuoles); factors of size, of its spread, of blue, and added vacuoles and indentation.
_SUBTYPES = {
    "L1": (0.95, 0.8, 1.0, 0.0, 0.0),
    "L2": (1.10, 1.5, 1.0, 0.0, 0.16),
    "L3": (1.08, 0.9, 1.55, 9.0, 0.0),
}


@dataclass(frozen=True, slots=True)
class Patient:
    """One patient's blasts; `subtype` is truth for ALL alone and empty elsewhere."""

    subtype: str
    size_factor: float
    chromatin_factor: float
    auer_rod_share: float


def draw_patient(diagnosis_class: DiagnosisClass, rng: np.random.Generator) -> Patient:
    """Draw the variation between patients."""
    subtype = str(rng.choice(list(_SUBTYPES), p=[0.65, 0.27, 0.08]))
    auer = rng.random() < 0.35
    return Patient(
        subtype=subtype if diagnosis_class is DiagnosisClass.ALL else "",
        size_factor=float(np.exp(rng.normal(0, 0.03))),
        chromatin_factor=float(np.exp(rng.normal(0, 0.05))),
        auer_rod_share=float(rng.uniform(0.05, 0.25))
        if auer and diagnosis_class is DiagnosisClass.AML
        else 0.0,
    )


def draw_parameters(
    cell_type: CellType, patient: Patient, rng: np.random.Generator
) -> CellParameters:
    """One cell's parameters; a smudge cell is a burst lymphocyte and has few of them."""
    if cell_type is CellType.SMUDGE_CELL:
        smudge = dict.fromkeys(PARAMETER_NAMES, 0.0)
        smudge["diameter_um"] = _draw((14.0, 2.4, 9.0, 21.0), rng)
        smudge["nucleus_share"] = 1.0
        smudge["chromatin_contrast"] = _draw((0.3, 0.06, 0.15, 0.45), rng)
        smudge["chromatin_density"] = _draw((0.62, 0.16, 0.3, 1.0), rng)
        return CellParameters(**smudge)
    look = LOOKS[cell_type]
    drawn = {name: _draw(getattr(look, name), rng) for name in PARAMETER_NAMES}
    if cell_type is CellType.LYMPHOBLAST and patient.subtype:
        size, spread, blue, vacuoles, indentation = _SUBTYPES[patient.subtype]
        mean, _, least, most = look.diameter_um
        diameter = mean * size + (drawn["diameter_um"] - mean) * spread
        drawn["diameter_um"] = float(np.clip(diameter, least, most))
        drawn["cytoplasm_blue"] *= blue
        drawn["vacuoles"] += float(rng.poisson(vacuoles)) if vacuoles else 0.0
        drawn["indentation"] += indentation * rng.uniform(0.0, 2.0)
    if cell_type in (CellType.LYMPHOBLAST, CellType.MYELOBLAST):
        _, _, least, most = look.diameter_um
        drawn["diameter_um"] = float(
            np.clip(drawn["diameter_um"] * patient.size_factor, least, most)
        )
        drawn["chromatin_contrast"] *= patient.chromatin_factor
    for name in ("lobes", "nucleoli", "vacuoles"):
        drawn[name] = float(round(drawn[name]))
    drawn["granules"] = float(round(np.exp(drawn["granules"]) - 1))
    # What is not there has no size and no contrast.
    if not drawn["granules"]:
        drawn["granule_um"] = 0.0
    if not drawn["nucleoli"]:
        drawn["nucleolus_contrast"] = 0.0
    return CellParameters(**drawn)


def _draw(spread: Spread, rng: np.random.Generator) -> float:
    mean, deviation, least, most = spread
    return float(np.clip(mean + deviation * rng.standard_normal(), least, most))
