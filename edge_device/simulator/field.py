"""Rendering one field of a slide with its truth; the class decides white cells, nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge_device.simulator.cell_types import (
    CellType,
    DiagnosisClass,
    draw_cell_types,
    draw_shares,
)
from edge_device.simulator.optics import photograph
from edge_device.simulator.red_cells import (
    add_dirt,
    add_platelet,
    add_red_cell,
    paste,
    scatter_platelets,
    scatter_red_cells,
)
from edge_device.simulator.slide import Slide
from edge_device.simulator.white_cells import WhiteCell, draw_patient, draw_white_cell

# Each part of a scene has a random stream of its own: leaving out white cells changes nothing else.
_PATIENT, _COUNT, _PLACES, _TYPES, _WHITE, _RED, _CAMERA = range(21, 28)

_CLASS_NUMBER = {kind: number for number, kind in enumerate(DiagnosisClass)}


@dataclass(frozen=True, slots=True)
class CellTruth:
    """One white cell: type, box (x0, y0, x1, y1) in px, and what it was drawn from."""

    cell_type: CellType
    box: tuple[int, int, int, int]
    diameter_um: float
    nucleus_share: float
    nucleoli: int
    chromatin_contrast: float


@dataclass(frozen=True, slots=True)
class FieldTruth:
    """All that is known of a field; slide_id is the group for every split."""

    diagnosis_class: DiagnosisClass
    slide_id: str
    field_index: int
    um_per_px: float
    cells: tuple[CellTruth, ...]
    red_cells: int
    platelets: int


@dataclass(frozen=True, slots=True)
class Field:
    """A rendered field: uint8 RGB (H, W, 3) before JPEG, with its truth."""

    image: npt.NDArray[np.uint8]
    truth: FieldTruth


def render_field(
    slide: Slide,
    diagnosis_class: DiagnosisClass | str,
    field_index: int,
    *,
    width_px: int = 640,
    height_px: int = 480,
    um_per_px: float = 0.2,
    white_cells: tuple[int, int] = (5, 10),
    background_only: bool = False,
) -> Field:
    """Render one field; white_cells is the range of their count, the same for every class.

    background_only leaves the white cells out of the same scene; red cells then lie where the white
    cells would be, so that no hole tells the class.
    """
    kind = DiagnosisClass(diagnosis_class)
    number = _CLASS_NUMBER[kind]
    width_um, height_um = width_px * um_per_px, height_px * um_per_px

    def stream(tag: int, *more: int) -> np.random.Generator:
        return np.random.default_rng([tag, slide.seed, *more])

    patient_rng = stream(_PATIENT, number)
    shares, patient = draw_shares(kind, patient_rng), draw_patient(kind, patient_rng)
    count = int(stream(_COUNT, field_index).integers(white_cells[0], white_cells[1] + 1))
    types = draw_cell_types(shares, count, stream(_TYPES, number, field_index))
    white_rng = stream(_WHITE, number, field_index)
    cells = [draw_white_cell(cell_type, patient, um_per_px, white_rng) for cell_type in types]
    places = _place(cells, width_um, height_um, stream(_PLACES, number, field_index))
    if background_only:
        types, cells, places = [], [], []

    red_rng = stream(_RED, field_index)
    discs = scatter_red_cells(slide, width_um, height_um, red_rng)
    platelets = scatter_platelets(slide, width_um, height_um, red_rng)
    dyes = np.zeros((height_px, width_px, 4), np.float32)
    drawn = 0
    for disc in discs:
        # White cells push red cells aside; a slight overlap stays.
        covered = any(
            np.hypot(disc.x_um - x, disc.y_um - y) < cell.diameter_um / 2 + 0.8 * disc.radius_um
            for cell, (x, y) in zip(cells, places, strict=True)
        )
        cell_seed = int(red_rng.integers(1 << 62))
        if not covered:
            add_red_cell(dyes, disc, slide, um_per_px, np.random.default_rng(cell_seed))
            drawn += 1
    for platelet in platelets:
        add_platelet(dyes, platelet, um_per_px, red_rng)
    add_dirt(dyes, slide, um_per_px, red_rng)

    truths = []
    for cell_type, cell, (x, y) in zip(types, cells, places, strict=True):
        paste(dyes, cell.dyes, x / um_per_px, y / um_per_px)
        truths.append(_cell_truth(cell_type, cell, (x, y), um_per_px, (width_px, height_px)))
    image = photograph(dyes, slide, um_per_px, stream(_CAMERA, field_index))
    truth = FieldTruth(
        kind, slide.slide_id, field_index, um_per_px, tuple(truths), drawn, len(platelets)
    )
    return Field(image, truth)


def encode_field(field: Field, jpeg_quality: int) -> bytes:
    """The field as JPEG bytes, as a camera of this quality setting would store it."""
    bgr = cv2.cvtColor(field.image, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality])
    if not done:
        raise ValueError(f"field {field.truth.slide_id}/{field.truth.field_index}: not encoded")
    return data.tobytes()


def _place(
    cells: list[WhiteCell], width_um: float, height_um: float, rng: np.random.Generator
) -> list[tuple[float, float]]:
    """Centres in um, at least 3 um inside the field; cells touch but hardly overlap."""
    places: list[tuple[float, float]] = []
    for cell in cells:
        best, best_gap = (width_um / 2, height_um / 2), -np.inf
        for _ in range(30):
            x, y = rng.uniform(3, width_um - 3), rng.uniform(3, height_um - 3)
            gap = min(
                (
                    np.hypot(x - px, y - py) - (cell.diameter_um + other.diameter_um) / 2
                    for other, (px, py) in zip(cells, places, strict=False)
                ),
                default=np.inf,
            )
            if gap > best_gap:
                best, best_gap = (float(x), float(y)), gap
            if gap > -0.3:
                break
        places.append(best)
    return places


def _cell_truth(
    cell_type: CellType,
    cell: WhiteCell,
    place: tuple[float, float],
    um_per_px: float,
    size_px: tuple[int, int],
) -> CellTruth:
    (x_um, y_um), (width_px, height_px), radius = place, size_px, cell.diameter_um / 2
    box = (
        max(0, round((x_um - radius) / um_per_px)),
        max(0, round((y_um - radius) / um_per_px)),
        min(width_px, round((x_um + radius) / um_per_px)),
        min(height_px, round((y_um + radius) / um_per_px)),
    )
    return CellTruth(
        cell_type, box, cell.diameter_um, cell.nucleus_share, cell.nucleoli, cell.chromatin_contrast
    )
