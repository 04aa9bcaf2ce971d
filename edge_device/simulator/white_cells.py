"""Drawing one white cell as a patch of dyes with its masks; no placement and no patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_device.simulator import texture
from edge_device.simulator.cell_types import CellType
from edge_device.simulator.chromatin import chromatin, nucleoli
from edge_device.simulator.contacts import flattened
from edge_device.simulator.granules import (
    add_auer_rod,
    add_fine_granules,
    add_granules,
    add_vacuoles,
)
from edge_device.simulator.nuclei import nucleus_distance
from edge_device.simulator.slide import AZURE_BLUE, AZURE_VIOLET, DYES, EOSIN
from edge_device.simulator.texture import Plane
from edge_device.simulator.white_cell_looks import LOOKS, CellParameters


@dataclass(frozen=True, slots=True)
class WhiteCell:
    """One drawn cell: dyes (side, side, 4) and soft masks of the whole cell and its nucleus."""

    dyes: Plane
    body: Plane
    nucleus: Plane
    has_auer_rod: bool = False


def draw_white_cell(
    cell_type: CellType,
    cell: CellParameters,
    um_per_px: float,
    rng: np.random.Generator,
    *,
    contacts: Sequence[tuple[float, float]] = (),
    auer_rod: bool = False,
) -> WhiteCell:
    """Draw one white cell; contacts are those of `contacts.flattened`."""
    if cell_type is CellType.SMUDGE_CELL:
        return _draw_smudge(cell, um_per_px, rng)
    look = LOOKS[cell_type]
    cell_px = cell.diameter_um / 2 / um_per_px
    half = int(cell_px * 1.35) + 3
    side = 2 * half + 1
    distance, angle = texture.polar_grid(half)
    outline = texture.contour(
        rng, cell_px, elongation=abs(rng.normal(0, 0.06)), roughness=look.roughness
    )
    if rng.random() < look.blebs:
        outline = outline * texture.bumps(
            rng, int(rng.integers(1, 4)), rng.choice([-0.10, 0.16]), 0.3
        )
    outline = flattened(outline, contacts)
    edge = outline[angle] - distance
    body = texture.inside(edge, max(0.3 / um_per_px, 1.2))

    signed = nucleus_distance(cell, cell.indentation > look.chain_from, half, cell_px, rng)
    signed = signed + 0.10 / um_per_px * texture.noise(rng, side, side, 0.5 / um_per_px)
    signed = np.minimum(signed, edge - np.float32(0.22 / um_per_px))
    nucleus = texture.inside(signed, max(0.2 / um_per_px, 1.0))
    pale = nucleoli(cell, signed, um_per_px, rng) * np.float32(cell.nucleolus_contrast)
    density = chromatin(cell, signed, um_per_px, rng) * np.float32(cell.chromatin_density)

    dyes = np.zeros((side, side, DYES), np.float32)
    dyes[:, :, AZURE_VIOLET] = nucleus * density * (1 - pale)
    cytoplasm = body * (1 - 0.85 * nucleus)
    # Ground glass: fine mottling and slow clouds.
    mottle = 1 + 0.13 * texture.noise(rng, side, side, max(0.28 / um_per_px, 0.5))
    mottle = mottle + 0.12 * texture.noise(rng, side, side, max(0.9 / um_per_px, 0.6))
    # The rim stains deepest; beside the nucleus lies a paler zone, the hof.
    rim = 0.78 + 0.38 * np.exp(-np.square(edge * np.float32(um_per_px / 0.8)))
    hof = 1 - 0.3 * np.exp(-np.square((signed + 0.9 / um_per_px) * np.float32(um_per_px / 0.7)))
    ground = cytoplasm * mottle
    dyes[:, :, AZURE_BLUE] = ground * rim * hof * np.float32(cell.cytoplasm_blue)
    dyes[:, :, AZURE_BLUE] += 0.5 * pale * nucleus
    dyes[:, :, EOSIN] = ground * np.float32(cell.cytoplasm_pink) + 0.12 * nucleus

    if cell.fine_granules > 0:
        add_fine_granules(dyes, cell.fine_granules, cytoplasm, um_per_px, rng)
    add_granules(dyes, cell, look, (body, nucleus), um_per_px, rng=rng)
    if cell.vacuoles:
        lymphoblast = cell_type is CellType.LYMPHOBLAST
        zone = body * texture.inside(edge - np.float32(0.5 / um_per_px))
        zone = zone if lymphoblast else zone * (1 - nucleus)
        add_vacuoles(dyes, round(cell.vacuoles), zone, um_per_px, rng)
    rod = auer_rod and add_auer_rod(dyes, cytoplasm, um_per_px, rng)
    return WhiteCell(dyes, body, nucleus, rod)


def _draw_smudge(cell: CellParameters, um_per_px: float, rng: np.random.Generator) -> WhiteCell:
    """A burst lymphocyte: a smeared nucleus with strands and holes, without cytoplasm."""
    radius_px = cell.diameter_um / 2 / um_per_px
    half = int(radius_px * 1.6) + 3
    side = 2 * half + 1
    distance, angle = texture.polar_grid(half)
    outline = texture.contour(rng, radius_px, elongation=abs(rng.normal(0.1, 0.14)), roughness=0.10)
    outline = outline * texture.bumps(rng, int(rng.integers(1, 4)), 0.3, 0.35)
    signed = outline[angle] - distance
    signed = signed + 0.7 / um_per_px * texture.noise(rng, side, side, 1.0 / um_per_px)
    body = texture.inside(signed, 1.6 / um_per_px)
    coarse = texture.noise(rng, side, side, 0.9 / um_per_px)
    fine = texture.noise(rng, side, side, max(0.3 / um_per_px, 0.45))
    strands = coarse + 0.7 * fine - 0.9 * np.exp(-np.square(coarse / 0.3))
    dyes = np.zeros((side, side, DYES), np.float32)
    thick = np.clip(1 + np.float32(cell.chromatin_contrast) * strands, 0.1, 2)
    # The core keeps more of the nucleus than the skirts.
    core = 0.55 + 0.45 * texture.inside(
        outline[angle] * np.float32(0.6) - distance, radius_px * 0.6
    )
    dyes[:, :, AZURE_VIOLET] = body * core * thick * np.float32(cell.chromatin_density)
    dyes[:, :, EOSIN] = body * np.float32(rng.uniform(0.12, 0.35))
    return WhiteCell(dyes, body, body)
