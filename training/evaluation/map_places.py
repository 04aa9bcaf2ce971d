"""Where a network's evidence lies: how much of its answers' maps falls on white cells, beside chance.

White cells are found by the segmentation, not known. It judges no answer.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from cloud_worker.cells.white_cells import find_white_cells
from cloud_worker.models.bundle_folder import Bundle
from cloud_worker.preprocess import prepare
from cloud_worker.refusal import Refusal
from training.data import Sample, read_image
from training.evaluation.answers import Answered
from training.evaluation.document import MapRow
from training.evaluation.judge import Judged
from training.evaluation.ood_images import evenly


def share_inside(heat: NDArray[np.floating], white_cells: NDArray[np.uint8]) -> float:
    """How much of a map's positive mass lies on white cells H,W, the map h,w spread over the field."""
    height, width = white_cells.shape
    spread = cv2.resize(np.maximum(heat, 0), (width, height), interpolation=cv2.INTER_LINEAR)
    total = float(spread.sum())
    return float(spread[white_cells > 0].sum()) / total if total > 0 else 0.0


def map_rows(
    bundle: Bundle, samples: Sequence[Sample], judged: Sequence[Judged], one: Answered
) -> tuple[MapRow, ...]:
    """One row per true class; none where the network has no exact map or cells cannot be found.

    Fields without a white cell are left out.
    """
    shape = bundle.card.preprocessing
    found: dict[int, list[tuple[float, float, float]]] = {}
    for number in evenly([int(n) for n in np.flatnonzero(one.seen)]):
        maps = judged[number].finding.class_map
        ready = prepare(read_image(samples[number].path), samples[number].um_per_px, shape)
        if maps is None or isinstance(ready, Refusal):
            continue
        try:
            cells = find_white_cells(ready.field, shape.um_per_px).mask.astype(np.uint8)
        except ValueError:  # the network sees fields too small for cells to be found
            return ()
        if cells.any():
            heat = maps[one.answers[number]]
            size = heat.shape[::-1]
            area = np.asarray(
                cv2.resize(cells.astype(np.float32), size, interpolation=cv2.INTER_AREA), np.float32
            )
            shares = share_inside(heat, cells), share_inside(area, cells), float(cells.mean())
            found.setdefault(int(one.labels[number]), []).append(shares)
    rows = []
    for number, kind in enumerate(bundle.card.classes):
        if number in found:
            inside, of_cells, by_chance = np.mean(found[number], axis=0)
            rows.append(
                MapRow(
                    key=kind.key,
                    images=len(found[number]),
                    inside=float(inside),
                    of_cells=float(of_cells),
                    by_chance=float(by_chance),
                )
            )
    return tuple(rows)
