"""Grows each nucleus to the outline of its cell: one radius per direction, chosen for the whole ring.

Every pixel votes: the own nucleus and matter for the cell, empty background, another cell's nucleus
and matter coloured like the field's red cells against it. The ring of radii that collects the most
votes without jumping is found exactly (dynamic programming over the directions, all cells at once).
It refuses to reach further than a white cell's cytoplasm does.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cloud_worker.cells.density import Densities, Plane
from cloud_worker.cells.nuclei import Nuclei

DIRECTIONS = 32
#: Largest white cell, and how far cytoplasm reaches beyond the nucleus's own edge.
_MOST_RADIUS_UM, _MOST_CYTOPLASM_UM = 13.0, 5.0
#: Radius steps that neighbouring directions may differ by.
_LARGEST_JUMP = 2
_NUCLEUS, _OTHER_NUCLEUS, _EMPTY, _RED_CELL, _CYTOPLASM = 2.0, -3.0, -1.0, -0.1, 0.6
#: Cytoplasm is paler than a red cell: density of green.
_CYTOPLASM_MATTER = 0.05
#: Votes lost per um away from the nucleus: a cell ends somewhere.
_DISTANCE_COST = 0.06
#: Further from every nucleus than this, matter is red cells (and a few platelets).
_FAR_UM = 7.0
_FEWEST_RED_PX, _ENOUGH_RED_PX, _NOT_VIOLET = 300, 4000, 0.1

Votes = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Outlines:
    """Per cell a closed line of DIRECTIONS points (x, y), N,DIRECTIONS,2 in working pixels."""

    points: NDArray[np.float32]


def grow_outlines(densities: Densities, nuclei: Nuclei, um_per_px: float) -> Outlines:
    """The outline of each nucleus's cell."""
    count = len(nuclei.areas_um2)
    votes = _votes(densities, nuclei, um_per_px)
    centres = _centres(nuclei.labels, count)
    angles = np.arange(DIRECTIONS) * (2 * np.pi / DIRECTIONS)
    radii = np.arange(1, round(_MOST_RADIUS_UM / um_per_px) + 1)
    x = centres[:, 0, None, None] + np.cos(angles)[None, :, None] * radii
    y = centres[:, 1, None, None] + np.sin(angles)[None, :, None] * radii
    height, width = votes.shape
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    column = np.clip(np.rint(x), 0, width - 1).astype(np.intp)
    row = np.clip(np.rint(y), 0, height - 1).astype(np.intp)
    own = nuclei.labels[row, column] == np.arange(1, count + 1)[:, None, None]
    gathered = np.where(own, np.float32(_NUCLEUS), votes[row, column])
    # Beyond the picture's edge nothing is known: no vote.
    gathered = np.where(inside, gathered, np.float32(0))
    chosen = _best_rings(np.cumsum(gathered, axis=2, dtype=np.float32))
    reach = radii[chosen].astype(np.float64)
    points = np.stack(
        [
            centres[:, 0, None] + np.cos(angles) * reach,
            centres[:, 1, None] + np.sin(angles) * reach,
        ],
        axis=2,
    )
    return Outlines(points.astype(np.float32))


def _centres(labels: NDArray[np.int32], count: int) -> NDArray[np.float64]:
    """Mean x and y of each label."""
    flat = labels.ravel()
    where = np.flatnonzero(flat)
    which = flat[where]
    rows, columns = np.divmod(where, labels.shape[1])
    sizes = np.bincount(which, minlength=count + 1)[1:]
    xs = np.bincount(which, columns, count + 1)[1:] / sizes
    ys = np.bincount(which, rows, count + 1)[1:] / sizes
    return np.stack([xs, ys], axis=1)


def _votes(densities: Densities, nuclei: Nuclei, um_per_px: float) -> Plane:
    """What each pixel that is not the own nucleus says for being part of the cell."""
    anywhere = nuclei.labels > 0
    away = cv2.distanceTransform((~anywhere).astype(np.uint8), cv2.DIST_L2, 3)
    away = np.asarray(away * np.float32(um_per_px), np.float32)
    matter = densities.green > _CYTOPLASM_MATTER
    votes = np.where(matter, np.float32(_CYTOPLASM), np.float32(_EMPTY))
    far = np.flatnonzero(matter & (away > _FAR_UM) & (densities.violet < _NOT_VIOLET))
    if len(far) >= _FEWEST_RED_PX:
        near = np.flatnonzero(matter & (away <= _MOST_CYTOPLASM_UM) & ~anywhere)
        # A few thousand pixels tell the colour of red cells as well as all do.
        far = far[:: max(1, len(far) // _ENOUGH_RED_PX)]
        votes.ravel()[near] = _less_like_red_cells(densities, near, far)
    votes -= np.float32(_DISTANCE_COST) * away
    votes[anywhere | (away > _MOST_CYTOPLASM_UM)] = _OTHER_NUCLEUS
    return np.asarray(votes, np.float32)


def _less_like_red_cells(
    densities: Densities, near: NDArray[np.intp], far: NDArray[np.intp]
) -> Votes:
    """Votes of the matter near nuclei, by how far its hue lies from the red cells' hue."""

    def hues(where: NDArray[np.intp]) -> list[NDArray[np.float32]]:
        red, green, blue = (
            plane.ravel()[where] for plane in (densities.red, densities.green, densities.blue)
        )
        whole = np.maximum(red + green + blue, np.float32(0.05))
        return [red / whole, blue / whole]

    squared = np.zeros(len(near), np.float32)
    for hue, of_red_cells in zip(hues(near), hues(far), strict=True):
        usual = np.median(of_red_cells)
        spread = max(0.03, 1.48 * float(np.median(np.abs(of_red_cells - usual))))
        squared += ((hue - usual) / np.float32(spread)) ** 2
    foreign = np.clip((np.sqrt(squared) - 1.0) / 2.0, 0, 1)
    return np.asarray(_RED_CELL + (_CYTOPLASM - _RED_CELL) * foreign, np.float32)


def _best_rings(gains: Votes) -> NDArray[np.intp]:
    """Index of the radius per cell and direction, N,A, of gains N,A,K collected up to each radius."""
    count, directions, _ = gains.shape
    # Half a turn more than one, so that every direction that counts knows both of its neighbours.
    lead = directions // 4
    order = [at % directions for at in range(-lead, directions + lead)]
    best = gains[:, order[0]]
    bests = []
    window = np.ones((1, 2 * _LARGEST_JUMP + 1), np.uint8)
    for at in order[1:]:
        bests.append(best)
        best = (
            cv2.dilate(best, window) + gains[:, at]
        )  # of the radii that are near enough, the best
    chosen = np.zeros((count, len(order)), np.intp)
    chosen[:, -1] = best.argmax(axis=1)
    padded = np.full((count, gains.shape[2] + 2 * _LARGEST_JUMP), -np.inf, np.float32)
    everyone, near = np.arange(count)[:, None], np.arange(window.size)
    for back in range(len(order) - 1, 0, -1):
        here = chosen[:, back]
        padded[:, _LARGEST_JUMP:-_LARGEST_JUMP] = bests[back - 1]
        came = padded[everyone, here[:, None] + near].argmax(axis=1)
        chosen[:, back - 1] = here + came - _LARGEST_JUMP
    return chosen[:, lead : lead + directions]
