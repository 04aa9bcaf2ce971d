"""Red cells: where they lie, how they press each other and how much dye they hold; never white cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge_device.simulator import texture
from edge_device.simulator.contacts import flattened, line_between
from edge_device.simulator.slide import AZURE_BLUE, DYES, EOSIN, HAEMOGLOBIN, Slide
from edge_device.simulator.texture import Plane

DIAMETER_UM = 7.2
DIAMETER_DEVIATION_UM = 0.5
#: Two cells nearer than this lie on each other; further apart they press each other flat.
_ON_TOP_UM = -1.1
_MARGIN_UM = 4.5


@dataclass(frozen=True, slots=True)
class Disc:
    """A cell or platelet to be drawn: centre and radius in um."""

    x_um: float
    y_um: float
    radius_um: float


def scatter_red_cells(
    slide: Slide, width_um: float, height_um: float, rng: np.random.Generator
) -> list[Disc]:
    """Positions of red cells: in chains and clumps, side by side, some on top of each other."""
    wide, high = width_um + 2 * _MARGIN_UM, height_um + 2 * _MARGIN_UM
    cover = slide.red_cell_cover * float(np.exp(rng.normal(0, 0.15)))
    target = max(1, int(cover * wide * high / (np.pi * (DIAMETER_UM / 2) ** 2)))
    clumps = texture.noise(rng, 64, 64, 9.0) * np.float32(slide.red_cell_clumping)
    welcome = 1.0 / (1.0 + np.exp(-1.0 - 2.5 * clumps))
    xs, ys = np.empty(target), np.empty(target)
    radii = np.maximum(rng.normal(DIAMETER_UM / 2, DIAMETER_DEVIATION_UM / 2, target), 2.4)
    tries = rng.random((8 * target, 6))
    placed = 0
    for u, v, accept, overlap, chain, which in tries:
        if placed == target:
            break
        if placed and chain < slide.red_cell_chains:
            near = int(which * placed)
            apart = (radii[near] + radii[placed]) * (0.9 + 0.1 * v)
            x = float(xs[near] + apart * np.cos(2 * np.pi * u))
            y = float(ys[near] + apart * np.sin(2 * np.pi * u))
            if not (0 <= x < wide and 0 <= y < high):
                continue
        else:
            x, y = u * wide, v * high
            if accept > welcome[int(v * 64), int(u * 64)]:
                continue
        if placed:
            gap = np.hypot(xs[:placed] - x, ys[:placed] - y) - radii[:placed] - radii[placed]
            closest = float(gap.min())
            if closest < -0.75 and not (overlap < slide.red_cell_overlap and closest > -4.5):
                continue
        xs[placed], ys[placed] = x, y
        placed += 1
    return [
        Disc(float(x) - _MARGIN_UM, float(y) - _MARGIN_UM, float(r))
        for x, y, r in zip(xs[:placed], ys[:placed], radii[:placed], strict=True)
    ]


def draw_red_cells(
    dyes: Plane,
    discs: Sequence[Disc],
    white_cells: Sequence[Disc],
    slide: Slide,
    um_per_px: float,
    *,
    rng: np.random.Generator,
) -> list[bool]:
    """Add the red cells' dyes (H, W, 4) in place; says of each whether a white cell left it room.

    White cells push red cells aside and flatten those they touch. Without white cells the same
    generator gives the same scene with all red cells in it.
    """
    seeds = rng.integers(1 << 62, size=len(discs))
    spots = np.array([(disc.x_um, disc.y_um, disc.radius_um) for disc in discs]).reshape(-1, 3)
    whites = np.array([(disc.x_um, disc.y_um, disc.radius_um) for disc in white_cells])
    whites = whites.reshape(-1, 3)
    room = []
    for number, (disc, seed) in enumerate(zip(discs, seeds, strict=True)):
        beside = _contacts(disc, whites, on_top=False)
        has_room = all(reach > 0.25 * disc.radius_um for _, reach in beside)
        room.append(has_room)
        if has_room:
            others = spots[np.arange(len(spots)) != number]
            contacts = [*beside, *_contacts(disc, others, on_top=True)]
            pressed = [(turn, reach / um_per_px) for turn, reach in contacts]
            own = np.random.default_rng(int(seed))
            _add_red_cell(dyes, disc, pressed, slide, um_per_px, rng=own)
    return room


def _contacts(
    disc: Disc, others: npt.NDArray[np.float64], *, on_top: bool
) -> list[tuple[float, float]]:
    """Direction and distance in um of the lines at which the disc meets its neighbours."""
    dx, dy = others[:, 0] - disc.x_um, others[:, 1] - disc.y_um
    apart = np.hypot(dx, dy)
    gap = apart - others[:, 2] - disc.radius_um
    meets = gap < 0.1
    if on_top:  # deep overlap: one lies on the other and neither is pressed
        meets &= gap > _ON_TOP_UM
    found = []
    for index in np.flatnonzero(meets):
        if on_top:
            reach = line_between(float(apart[index]), disc.radius_um, float(others[index, 2]))
        else:
            reach = float(apart[index] - others[index, 2] - 0.05)
        found.append((float(np.arctan2(dy[index], dx[index])), reach))
    return found


def _add_red_cell(
    dyes: Plane,
    disc: Disc,
    contacts: Sequence[tuple[float, float]],
    slide: Slide,
    um_per_px: float,
    *,
    rng: np.random.Generator,
) -> None:
    radius_px = disc.radius_um / um_per_px
    half = int(radius_px * 1.4) + 3
    distance, angle = texture.polar_grid(half)
    crenated = rng.random() < slide.red_cell_crenation
    outline = texture.contour(
        rng,
        radius_px,
        elongation=abs(rng.normal(0, 0.05)) + (0.25 if rng.random() < 0.04 else 0.0),
        roughness=0.014 + rng.exponential(0.012),
    )
    outline = flattened(outline, contacts)
    if crenated:
        outline = outline * texture.scallops(rng, int(rng.integers(9, 16)), 0.045)
    rho = distance / outline[angle]
    # A flat body with a slightly thicker rim, thin at its very edge, paler in the middle.
    body = np.clip((1.02 - rho) / np.float32(0.10 + 0.5 * um_per_px / disc.radius_um), 0, 1)
    body = body * (np.float32(0.86) + np.float32(0.16) * np.square(np.minimum(rho, 1)))
    pallor = float(np.clip(rng.normal(slide.red_cell_pallor, 0.22), 0, 1))
    if pallor > 0.05:
        width = radius_px * float(np.clip(rng.normal(0.24 + 0.22 * pallor, 0.05), 0.12, 0.6))
        softness = float(rng.uniform(0.10, 0.32))
        away = texture.off_centre(half, rng.normal(0, 0.05 * radius_px, 2), rng.normal(0, 0.12, 2))
        dip = 1 / (1 + np.exp(np.clip((away / np.float32(width) - 1) / softness, -8, 8)))
        body = body * (1 - np.float32(min(0.92, 0.35 + 0.6 * pallor)) * dip)
        if rng.random() < 0.02:  # a target cell: pallor with a filled centre
            body = body + 0.6 * np.exp(-np.square(away / np.float32(0.4 * width)))
    if crenated:
        grain = texture.noise(rng, 2 * half + 1, 2 * half + 1, max(0.35 / um_per_px, 0.5))
        body = body * (1 + np.float32(0.12) * grain)
    body = body * np.float32(np.exp(rng.normal(0, 0.10)) * slide.red_cell_strength)
    # Cells lie at slightly different depths: some are softer than others.
    softer_px = (0.16 + 0.25 * (rng.random() < 0.15)) * abs(rng.normal()) / um_per_px
    if softer_px > 0.4:
        body = np.asarray(cv2.GaussianBlur(body, (0, 0), softer_px), np.float32)
    patch = np.zeros((2 * half + 1, 2 * half + 1, DYES), np.float32)
    patch[:, :, HAEMOGLOBIN] = body
    if rng.random() < 0.015:  # a young cell, bluish all over
        patch[:, :, AZURE_BLUE] = 0.35 * body
    patch[:, :, EOSIN] = np.float32(max(rng.normal(0.06, 0.05), 0)) * body
    texture.paste(dyes, patch, disc.x_um / um_per_px, disc.y_um / um_per_px)
