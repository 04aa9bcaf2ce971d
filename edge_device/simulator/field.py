"""Rendering one field of a slide with its truth; the class decides white cells, nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from edge_device.simulator import texture
from edge_device.simulator.cell_types import (
    CellType,
    DiagnosisClass,
    draw_cell_types,
    draw_shares,
)
from edge_device.simulator.contacts import line_between
from edge_device.simulator.optics import photograph
from edge_device.simulator.patients import draw_parameters, draw_patient
from edge_device.simulator.platelets import add_dirt, add_platelet, scatter_platelets
from edge_device.simulator.red_cells import Disc, draw_red_cells, scatter_red_cells
from edge_device.simulator.slide import DYES, HAEMOGLOBIN, Slide
from edge_device.simulator.truth import CellTruth, Field, FieldTruth, Masks
from edge_device.simulator.white_cells import draw_white_cell

# Each part of a scene has a random stream of its own: leaving out white cells changes nothing else.
_PATIENT, _COUNT, _PLACES, _TYPES, _WHITE, _RED, _CAMERA = range(21, 28)

_CLASS_NUMBER = {kind: number for number, kind in enumerate(DiagnosisClass)}


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
    cell_types: Sequence[CellType] | None = None,
) -> Field:
    """Render one field; white_cells is the range of their count, the same for every class.

    cell_types draws exactly these white cells instead of the patient's.

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
    if cell_types is not None:
        types = list(cell_types)
    white_rng = stream(_WHITE, number, field_index)
    cells = [draw_parameters(cell_type, patient, white_rng) for cell_type in types]
    radii = [cell.diameter_um / 2 for cell in cells]
    whites = _place(radii, width_um, height_um, stream(_PLACES, number, field_index))
    if background_only:
        types, cells, whites = [], [], []

    red_rng = stream(_RED, field_index)
    discs = scatter_red_cells(slide, width_um, height_um, red_rng)
    platelets = scatter_platelets(slide, width_um, height_um, red_rng)
    dyes = np.zeros((height_px, width_px, DYES), np.float32)
    room = draw_red_cells(dyes, discs, whites, slide, um_per_px, rng=red_rng)
    red = np.asarray(dyes[:, :, HAEMOGLOBIN] > 0.3 * slide.red_cell_strength, np.uint8)
    for platelet in platelets:
        add_platelet(dyes, platelet, um_per_px, red_rng)
    add_dirt(dyes, slide, um_per_px, red_rng)

    masks = Masks(
        np.zeros((height_px, width_px), np.uint16), np.zeros((height_px, width_px), np.uint8), red
    )
    truths = []
    for place, (cell_type, cell, disc) in enumerate(zip(types, cells, whites, strict=True)):
        drawn = draw_white_cell(
            cell_type,
            cell,
            um_per_px,
            white_rng,
            contacts=_contacts(place, whites, types, um_per_px),
            auer_rod=cell_type is CellType.MYELOBLAST
            and white_rng.random() < patient.auer_rod_share,
        )
        x, y = disc.x_um / um_per_px, disc.y_um / um_per_px
        to, of = texture.overlap((height_px, width_px), len(drawn.body) // 2, x, y)
        # A white cell covers what it lies on: little of a red cell shows through.
        dyes[to] *= (1 - np.float32(0.8) * drawn.body[of])[:, :, None]
        dyes[to] += drawn.dyes[of]
        masks.white_cells[to][drawn.body[of] > 0.5] = place + 1
        masks.nuclei[to][drawn.body[of] > 0.5] = 0
        masks.nuclei[to][drawn.nucleus[of] > 0.5] = 1
        box = _box(drawn.body[of], to)
        truths.append(CellTruth(cell_type, box, cell, drawn.has_auer_rod))
    image = photograph(dyes, slide, um_per_px, stream(_CAMERA, field_index))
    truth = FieldTruth(
        diagnosis_class=kind,
        subtype=patient.subtype,
        slide_id=slide.slide_id,
        slide_seed=slide.seed,
        field_index=field_index,
        um_per_px=um_per_px,
        cells=tuple(truths),
        red_cells=sum(room),
        platelets=len(platelets),
    )
    return Field(image, truth, masks)


def encode_field(field: Field, jpeg_quality: int) -> bytes:
    """The field as JPEG bytes, as a camera of this quality setting would store it."""
    bgr = cv2.cvtColor(field.image, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality])
    if not done:
        raise ValueError(f"field {field.truth.slide_id}/{field.truth.field_index}: not encoded")
    return data.tobytes()


def _place(
    radii: list[float], width_um: float, height_um: float, rng: np.random.Generator
) -> list[Disc]:
    """Places at least 3 um inside the field; cells touch and press each other but hardly overlap."""
    places: list[Disc] = []
    for radius in radii:
        best, best_gap = Disc(width_um / 2, height_um / 2, radius), -np.inf
        for _ in range(30):
            x, y = rng.uniform(3, width_um - 3), rng.uniform(3, height_um - 3)
            gap = min(
                (np.hypot(x - p.x_um, y - p.y_um) - radius - p.radius_um for p in places),
                default=np.inf,
            )
            if gap > best_gap:
                best, best_gap = Disc(float(x), float(y), radius), gap
            if gap > -0.6:
                break
        places.append(best)
    return places


def _contacts(
    number: int, whites: list[Disc], types: list[CellType], um_per_px: float
) -> list[tuple[float, float]]:
    """Where this white cell meets other whole ones."""
    me, found = whites[number], []
    for other, cell_type in zip(whites, types, strict=True):
        apart = float(np.hypot(other.x_um - me.x_um, other.y_um - me.y_um))
        if other is me or cell_type is CellType.SMUDGE_CELL:
            continue
        if me.radius_um < apart < me.radius_um + other.radius_um + 0.2:
            reach = line_between(apart, me.radius_um, other.radius_um)
            turn = float(np.arctan2(other.y_um - me.y_um, other.x_um - me.x_um))
            found.append((turn, reach / um_per_px))
    return found


def _box(body: texture.Plane, at: tuple[slice, slice]) -> tuple[int, int, int, int]:
    """The smallest box around the part of a cell that lies in the field; at least one pixel."""
    inside = body > 0.5
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    top, left = at[0].start, at[1].start
    if rows.size == 0:
        return (left, top, left + 1, top + 1)
    return (
        left + int(columns[0]),
        top + int(rows[0]),
        left + int(columns[-1]) + 1,
        top + int(rows[-1]) + 1,
    )
