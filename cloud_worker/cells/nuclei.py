"""Finds nuclei by their violet: lobes of one cell belong together, touching cells are parted.

It refuses what is too small to be a white cell's nucleus (platelets, dust, the violet fringe of a red
cell out of focus). Sizes are micrometres, so a field means the same on every camera.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cloud_worker.cells.density import MATTER, Densities, Plane

#: Violet density of a nucleus; red cells stay below after their own colour is taken away.
FAINTEST_VIOLET = 0.1
#: A nucleus ends where its violet falls below this share of its own usual violet.
_EDGE_SHARE = 0.4
#: Width of what is no nucleus: bridges between cells, fringes of red cells, small platelets.
_THINNEST_UM = 1.2
#: Smaller parts than a lobe are dust.
_LEAST_LOBE_UM2, _LEAST_NUCLEUS_UM2 = 3.0, 22.0
#: Smaller nuclei must lie in cytoplasm: a platelet lies on the empty background.
_SMALLEST_NUCLEUS_UM2, _CYTOPLASM_UM, _LEAST_CYTOPLASM = 9.0, 1.6, 0.8
#: A cell cut by the picture's edge shows less of its nucleus.
_LEAST_AT_EDGE_UM2 = 12.0
#: The thickest place of a nucleus; fringes and folds are thinner.
_LEAST_THICKNESS_UM = 2.2
#: Parts above it are nuclei of their own, not lobes.
_LARGEST_LOBE_UM2 = 32.0
#: Lobes of one cell lie this close, and together extend no further; two nuclei extend further.
_LOBE_GAP_UM, _WIDEST_NUCLEUS_UM = 1.6, 12.5
#: Over this width the fringes of a red cell's two sides, violet and its opposite, cancel.
_FRINGE_UM, _FAINTEST_WHOLE = 1.2, 0.13
#: Two nuclei are parted where each has an inscribed circle of this radius, and the neck between
#: them is narrower than this share of the smaller one.
_LEAST_RADIUS_UM, _WIDEST_NECK = 2.5, 0.78

#: A single nucleus without a cleft fills this share of its hull.
_LEAST_OF_HULL = 0.94

Labels = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Nuclei:
    """Label 1..N per nucleus at the working scale, and its area."""

    labels: Labels
    areas_um2: tuple[float, ...]


def find_nuclei(densities: Densities, um_per_px: float) -> Nuclei:
    """The nuclei of a field at the working scale."""
    violet = densities.violet
    labels, facts = _parts(_clean(violet > FAINTEST_VIOLET, um_per_px))
    soft = np.asarray(cv2.GaussianBlur(violet, (0, 0), _FRINGE_UM / um_per_px), np.float32)
    mask = _edges_at_their_own_height(violet, soft, labels, facts)
    labels, facts = _parts(_clean(mask > 0, um_per_px))
    count = _part_touching(labels, facts, um_per_px)
    _join_lobes(labels, count, um_per_px)
    return _large_enough(labels, densities.green, um_per_px)


def _parts(mask: NDArray[np.uint8]) -> tuple[Labels, Labels]:
    """Label 1.. of each connected part; x, y, width, height and area of every label, 0 included."""
    _, labels, facts, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    return np.asarray(labels, np.int32), np.asarray(facts, np.int32)


def _clean(mask: NDArray[np.bool_], um_per_px: float) -> NDArray[np.uint8]:
    side = max(3, round(_THINNEST_UM / um_per_px) | 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return np.asarray(cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, kernel), np.uint8)


def _edges_at_their_own_height(
    violet: Plane, soft: Plane, labels: Labels, facts: Labels
) -> NDArray[np.uint8]:
    """Each part cut at a share of its own violet: a strong stain's glow is no nucleus."""
    kept = np.zeros(labels.shape, np.uint8)
    for label, (x, y, width, height, _) in enumerate(facts):
        window = np.s_[y : y + height, x : x + width]
        own = labels[window] == label
        if label == 0 or float(soft[window][own].max()) < _FAINTEST_WHOLE:
            continue
        inside = violet[window]
        limit = max(FAINTEST_VIOLET, _EDGE_SHARE * _upper_quartile(inside[own]))
        kept[window] |= (own & (inside > limit)).astype(np.uint8)
    return kept


def _upper_quartile(values: NDArray[np.float32]) -> float:
    """As np.percentile(values, 75), for a fifth of its time: this is asked for each part of a field."""
    whole, part = divmod(3 * (len(values) - 1), 4)
    last = min(whole + 1, len(values) - 1)
    ordered = np.partition(values, (whole, last))
    low, high = float(ordered[whole]), float(ordered[last])
    return low + (high - low) * part / 4


def _part_touching(labels: Labels, facts: Labels, um_per_px: float) -> int:
    """Gives each of several nuclei in one part a label of its own; returns the next free label."""
    following = len(facts)
    for label in range(1, len(facts)):
        x, y, width, height, area = facts[label]
        if area * um_per_px**2 < 2 * _LARGEST_LOBE_UM2:
            continue
        window = np.s_[y : y + height, x : x + width]
        own = np.pad((labels[window] == label).astype(np.uint8), 1)
        if _extent_um(own, um_per_px) <= _WIDEST_NUCLEUS_UM or _is_convex(own, int(area)):
            continue
        depth = cv2.distanceTransform(own, cv2.DIST_L2, 5) * np.float32(um_per_px)
        hearts = _hearts(np.asarray(depth, np.float32), um_per_px)
        if hearts.max() < 2:
            continue
        _, nearest = cv2.distanceTransformWithLabels(
            (hearts == 0).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_CCOMP
        )
        nearest = nearest[1:-1, 1:-1]
        inner = own[1:-1, 1:-1] > 0
        for part in range(2, int(nearest.max()) + 1):
            labels[window][inner & (nearest == part)] = following
            following += 1
    return following


def _is_convex(own: NDArray[np.uint8], area_px: int) -> bool:
    """Whether it fills its hull: two round nuclei never do."""
    outlines, _ = cv2.findContours(own, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.convexHull(max(outlines, key=len))
    # A contour runs through the middles of pixels: half of its length lies outside of it.
    hull_px = cv2.contourArea(hull) + cv2.arcLength(hull, True) / 2 + 1
    return area_px > _LEAST_OF_HULL * hull_px


def _hearts(depth: Plane, um_per_px: float) -> Labels:
    """The hearts of nuclei that a neck parts: labels 1.. on the deep pixels of each."""
    hearts = np.zeros(depth.shape, np.int32)
    whole = [(depth > 0).astype(np.uint8)]
    found = 0
    while whole:
        region = whole.pop()
        parts = _cut_at_neck(np.where(region > 0, depth, np.float32(0)), um_per_px)
        if len(parts) > 1:
            whole += parts
            continue
        found += 1
        peak = float(depth[region > 0].max())
        hearts[(region > 0) & (depth > 0.8 * peak)] = found
    return hearts


def _cut_at_neck(depth: Plane, um_per_px: float) -> list[NDArray[np.uint8]]:
    """The parts that rising water leaves of a region, where each is deep enough to be a nucleus."""
    level = um_per_px
    deepest = float(depth.max())
    while level < _WIDEST_NECK * deepest:
        count, labels = cv2.connectedComponents((depth > level).astype(np.uint8), connectivity=4)
        if count > 2:
            deep = [
                (labels == part).astype(np.uint8)
                for part in range(1, count)
                if float(depth[labels == part].max()) > max(_LEAST_RADIUS_UM, level / _WIDEST_NECK)
            ]
            if len(deep) > 1:
                return deep
        level += um_per_px
    return [(depth > 0).astype(np.uint8)]


def _join_lobes(labels: Labels, count: int, um_per_px: float) -> None:
    """Gives small parts that lie close together one label; dust gets 0."""
    areas = np.bincount(labels.ravel(), minlength=count) * um_per_px**2
    numbers = np.arange(len(areas), dtype=np.int32)
    numbers[areas < _LEAST_LOBE_UM2] = 0
    is_small = (areas < _LARGEST_LOBE_UM2) & (numbers > 0)
    if np.count_nonzero(is_small) >= 2:
        reach = round(_LOBE_GAP_UM / 2 / um_per_px) * 2 + 1
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
        lobes = is_small[labels].astype(np.uint8)
        _, groups, facts, _ = cv2.connectedComponentsWithStats(cv2.dilate(lobes, kernel))
        for group in range(1, len(facts)):
            x, y, width, height, _ = facts[group]
            window = np.s_[y : y + height, x : x + width]
            own = (groups[window] == group) & (lobes[window] > 0)
            members = np.unique(labels[window][own])
            if (
                len(members) > 1
                and _extent_um(own.astype(np.uint8), um_per_px) <= _WIDEST_NUCLEUS_UM
            ):
                numbers[members] = members[0]
    labels[:] = numbers[labels]


def _extent_um(mask: NDArray[np.uint8], um_per_px: float) -> float:
    """Longer side of the narrowest rectangle around all its parts."""
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    _, sides, _ = cv2.minAreaRect(np.concatenate(outlines))
    return float(max(sides) + 1) * um_per_px


def _large_enough(labels: Labels, green: Plane, um_per_px: float) -> Nuclei:
    count = int(labels.max()) + 1
    areas = np.bincount(labels.ravel(), minlength=count) * um_per_px**2
    at_edge = set(np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])))
    numbers = np.zeros(count, np.int32)
    kept: list[float] = []
    depth = cv2.distanceTransform((labels > 0).astype(np.uint8), cv2.DIST_L2, 5)
    thick = np.unique(labels[depth * np.float32(2 * um_per_px) >= _LEAST_THICKNESS_UM])
    where = np.flatnonzero(labels)
    by_label = where[np.argsort(labels.ravel()[where], kind="stable")]
    ends = np.bincount(labels.ravel()[where], minlength=count).cumsum()
    for k in thick[thick > 0]:
        least = _LEAST_AT_EDGE_UM2 if k in at_edge else _LEAST_NUCLEUS_UM2
        own = by_label[ends[k - 1] : ends[k]]
        if areas[k] >= least or (
            areas[k] >= _SMALLEST_NUCLEUS_UM2 and _in_cytoplasm(own, green, um_per_px)
        ):
            kept.append(float(areas[k]))
            numbers[k] = len(kept)
    return Nuclei(numbers[labels], tuple(kept))


def _in_cytoplasm(nucleus: NDArray[np.intp], green: Plane, um_per_px: float) -> bool:
    """Whether nearly all around a nucleus (its pixels' places in the flat plane) lies matter."""
    reach = max(1, round(_CYTOPLASM_UM / um_per_px))
    rows, columns = np.divmod(nucleus, green.shape[1])
    top, left = max(0, int(rows.min()) - reach), max(0, int(columns.min()) - reach)
    window = green[top : int(rows.max()) + reach + 1, left : int(columns.max()) + reach + 1]
    own = np.zeros(window.shape, np.uint8)
    own[rows - top, columns - left] = 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    around = (cv2.dilate(own, kernel) > 0) & (own == 0)
    return float((window[around] > MATTER).mean()) >= _LEAST_CYTOPLASM
