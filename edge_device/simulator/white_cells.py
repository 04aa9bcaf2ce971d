"""Drawing one white cell as a patch of dyes, with the parameters behind it; no placement."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edge_device.simulator import texture
from edge_device.simulator.cell_types import CellType, DiagnosisClass
from edge_device.simulator.nuclei import NucleusShape, nucleus_distance
from edge_device.simulator.slide import AZURE_BLUE, AZURE_VIOLET, EOSIN
from edge_device.simulator.texture import Plane
from edge_device.simulator.white_cell_looks import LOOKS, Granules, Range

_DYE_COUNT = 4


@dataclass(frozen=True, slots=True)
class Patient:
    """What one patient's blasts and lymphocytes have in common, drawn once per slide and class."""

    size_factor: float
    size_spread: float
    blue_factor: float
    vacuoles: int
    cleft_share: float
    auer_rod_share: float
    chromatin_factor: float


@dataclass(frozen=True, slots=True)
class WhiteCell:
    """One drawn cell: dyes (side, side, 4) and the truth it was drawn from."""

    dyes: Plane
    diameter_um: float
    nucleus_share: float
    nucleoli: int
    chromatin_contrast: float


def draw_patient(diagnosis_class: DiagnosisClass, rng: np.random.Generator) -> Patient:
    """Draw the variation between patients; acute lymphoblastic leukemia comes as L1, L2 or L3."""
    kind = rng.choice(3, p=[0.65, 0.27, 0.08]) if diagnosis_class is DiagnosisClass.ALL else 0
    auer = diagnosis_class is DiagnosisClass.AML and rng.random() < 0.35
    return Patient(
        size_factor=float((0.94, 1.12, 1.12)[kind] * np.exp(rng.normal(0, 0.04))),
        size_spread=float((0.8, 1.5, 0.9)[kind]),
        blue_factor=float((1.0, 1.0, 1.7)[kind] * np.exp(rng.normal(0, 0.1))),
        vacuoles=int((0, 0, 8)[kind]),
        cleft_share=float((0.08, 0.45, 0.05)[kind]),
        auer_rod_share=float(rng.uniform(0.05, 0.25)) if auer else 0.0,
        chromatin_factor=float(np.exp(rng.normal(0, 0.06))),
    )


def draw_white_cell(
    cell_type: CellType, patient: Patient, um_per_px: float, rng: np.random.Generator
) -> WhiteCell:
    """Draw one white cell of this type."""
    if cell_type is CellType.SMUDGE_CELL:
        return _draw_smudge(um_per_px, rng)
    look = LOOKS[cell_type]
    blast = cell_type is CellType.LYMPHOBLAST
    mean, deviation, least, most = look.diameter_um
    if blast:
        mean, deviation = mean * patient.size_factor, deviation * patient.size_spread
    diameter_um = float(np.clip(rng.normal(mean, deviation), least, most))
    cell_px = diameter_um / 2 / um_per_px
    half = int(cell_px * 1.25) + 3
    side = 2 * half + 1
    distance, angle = texture.polar_grid(half)
    outline = texture.contour(
        rng, cell_px, elongation=abs(rng.normal(0, 0.05)), roughness=look.roughness
    )
    body = texture.inside(outline[angle] - distance, 1.3)

    share = _between(rng, look.nucleus_share)
    nucleus_px = cell_px * float(np.sqrt(share))
    shape = look.shapes[int(rng.integers(len(look.shapes)))]
    if blast:
        shape = NucleusShape.CLEFT if rng.random() < patient.cleft_share else NucleusShape.ROUND
    lobes = int(rng.integers(look.lobes[0], look.lobes[1] + 1))
    signed = nucleus_distance(
        shape, rng, half=half, cell_px=cell_px, nucleus_px=nucleus_px, lobes=lobes
    )
    signed = signed + 0.12 / um_per_px * texture.noise(rng, side, side, 0.5 / um_per_px)
    signed = np.minimum(signed, outline[angle] - distance - 0.25 / um_per_px)
    nucleus = texture.inside(signed, max(0.25 / um_per_px, 1.0))

    contrast = _between(rng, look.chromatin_contrast)
    if cell_type in (CellType.LYMPHOBLAST, CellType.MYELOBLAST):
        contrast *= patient.chromatin_factor
    grain_px = _between(rng, look.chromatin_grain_um) / um_per_px
    chromatin = _chromatin(side, grain_px, contrast, rng)
    # Chromatin is denser at the nuclear membrane.
    chromatin = chromatin + 0.16 * np.exp(-np.square(signed * np.float32(um_per_px / 0.35)))
    chromatin = chromatin * np.float32(_between(rng, look.chromatin_density))
    nucleoli = int(rng.integers(look.nucleoli[0], look.nucleoli[1] + 1))
    pale = _nucleoli(half, signed, nucleoli, um_per_px, rng) * np.float32(
        _between(rng, look.nucleolus_contrast)
    )

    dyes = np.zeros((side, side, _DYE_COUNT), np.float32)
    dyes[:, :, AZURE_VIOLET] = nucleus * chromatin * (1 - pale)
    cytoplasm = body * (1 - 0.85 * nucleus)
    blue = _between(rng, look.cytoplasm_blue) * (patient.blue_factor if blast else 1.0)
    mottle = 1 + 0.16 * texture.noise(rng, side, side, max(0.5 / um_per_px, 0.6))
    # The rim stains deepest; beside the nucleus lies a paler zone, the hof.
    rim = 0.75 + 0.4 * np.exp(-np.square((outline[angle] - distance) * np.float32(um_per_px / 0.9)))
    dyes[:, :, AZURE_BLUE] = cytoplasm * rim * mottle * np.float32(blue) + 0.5 * pale * nucleus
    dyes[:, :, EOSIN] = cytoplasm * mottle * np.float32(_between(rng, look.cytoplasm_pink))
    dyes[:, :, EOSIN] += 0.12 * nucleus

    fine = _between(rng, look.fine_granules)
    if fine > 0:
        grains = texture.noise(rng, side, side, max(0.16 / um_per_px, 0.45))
        grains = np.clip(grains, 0, 2.5) * cytoplasm * np.float32(fine)
        dyes[:, :, EOSIN] += 0.35 * grains
        dyes[:, :, AZURE_VIOLET] += 0.22 * grains
    if look.granules is not None:
        _add_granules(dyes, look.granules, (body, nucleus), um_per_px, rng)
    holes = patient.vacuoles if blast else int(rng.integers(look.vacuoles[0], look.vacuoles[1] + 1))
    if holes:
        zone = body * texture.inside(outline[angle] * np.float32(0.93) - distance)
        zone = zone if blast else zone * (1 - nucleus)
        hollow = texture.spots(rng, zone, holes, 0.45 / um_per_px)
        dyes *= (1 - 0.7 * hollow)[:, :, None]
    if cell_type is CellType.MYELOBLAST and rng.random() < patient.auer_rod_share:
        _add_auer_rod(dyes, cytoplasm, half, um_per_px, rng)
    return WhiteCell(dyes, diameter_um, share, nucleoli, float(contrast))


def _between(rng: np.random.Generator, limits: Range) -> float:
    return float(rng.uniform(*limits))


def _chromatin(side: int, grain_px: float, contrast: float, rng: np.random.Generator) -> Plane:
    """Relative density with mean about 1: fine and even, or clumped where the contrast is high."""
    coarse = texture.noise(rng, side, side, max(grain_px, 0.45))
    fine = texture.noise(rng, side, side, max(grain_px * 0.4, 0.4))
    if contrast > 0.24:  # clumps with clear edges: "soccer ball"
        coarse = np.tanh(coarse * 1.8)
    return np.clip(1 + np.float32(contrast) * (0.85 * coarse + 0.35 * fine), 0.25, 1.8)


def _nucleoli(
    half: int, signed: Plane, count: int, um_per_px: float, rng: np.random.Generator
) -> Plane:
    """Soft pale disks of 1.2 to 2.6 um well inside the nucleus."""
    plane = np.zeros_like(signed)
    for _ in range(count):
        radius_px = rng.uniform(0.6, 1.3) / um_per_px
        deep = np.flatnonzero(signed > radius_px + 0.4 / um_per_px)
        if deep.size == 0:
            continue
        y, x = divmod(int(deep[rng.integers(deep.size)]), 2 * half + 1)
        away = texture.disks_distance(
            half, np.array([[x - half, y - half]], np.float64), np.array([radius_px])
        )
        plane = np.maximum(plane, texture.inside(away, max(0.5 / um_per_px, 1.0)))
    return plane


def _add_granules(
    dyes: Plane,
    granules: Granules,
    masks: tuple[Plane, Plane],
    um_per_px: float,
    rng: np.random.Generator,
) -> None:
    body, nucleus = masks
    zone = body if granules.over_nucleus else body * (1 - nucleus)
    count = int(rng.integers(granules.count[0], granules.count[1] + 1))
    radius_px = _between(rng, granules.radius_um) / um_per_px
    dots = texture.spots(rng, zone, count, radius_px) * body
    dyes[:, :, AZURE_VIOLET] += dots * np.float32(granules.violet)
    dyes[:, :, EOSIN] += dots * np.float32(granules.eosin)


def _add_auer_rod(
    dyes: Plane, cytoplasm: Plane, half: int, um_per_px: float, rng: np.random.Generator
) -> None:
    """A red needle of 2 to 4 um in the cytoplasm of a myeloblast."""
    free = np.flatnonzero(cytoplasm > 0.8)
    if free.size == 0:
        return
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


def _draw_smudge(um_per_px: float, rng: np.random.Generator) -> WhiteCell:
    """A burst lymphocyte: a smeared nucleus without cytoplasm."""
    diameter_um = float(np.clip(rng.normal(14.5, 2.4), 9.0, 21.0))
    radius_px = diameter_um / 2 / um_per_px
    half = int(radius_px * 1.5) + 3
    side = 2 * half + 1
    distance, angle = texture.polar_grid(half)
    outline = texture.contour(
        rng, radius_px, elongation=abs(rng.normal(0.08, 0.12)), roughness=0.11
    )
    signed = outline[angle] - distance
    signed = signed + 0.9 / um_per_px * texture.noise(rng, side, side, 1.1 / um_per_px)
    body = texture.inside(signed, 2.2 / um_per_px)
    strands = texture.noise(rng, side, side, 0.8 / um_per_px)
    strands = strands + 0.6 * texture.noise(rng, side, side, 0.35 / um_per_px)
    contrast = rng.uniform(0.2, 0.4)
    dyes = np.zeros((side, side, _DYE_COUNT), np.float32)
    density = np.float32(rng.uniform(0.45, 0.95))
    dyes[:, :, AZURE_VIOLET] = body * density * np.clip(1 + contrast * strands, 0.2, 2)
    dyes[:, :, EOSIN] = body * np.float32(rng.uniform(0.1, 0.25))
    return WhiteCell(dyes, diameter_um, 1.0, 0, float(contrast))
