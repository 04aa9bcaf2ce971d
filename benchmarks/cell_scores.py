"""How well white cells are found on fields whose truth is known; it draws no conclusion."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cloud_worker.cells import Box, find_white_cells
from edge_device.simulator import DiagnosisClass, draw_slide, encode_field, render_field

FIRST_SLIDE = 2000
UM_PER_PX = 0.2
#: A sliver of a cell at the field's edge is not asked for.
LEAST_UM2 = 15.0
LEAST_OVERLAP = 0.5


@dataclass(frozen=True, slots=True)
class Scores:
    """Counts that add up over fields."""

    fields: int = 0
    shared_px: int = 0
    either_px: int = 0
    cells: int = 0
    found: int = 0
    other: int = 0
    exact: int = 0
    off_by_one: int = 0

    def __add__(self, more: Scores) -> Scores:
        return Scores(*(getattr(self, f.name) + getattr(more, f.name) for f in fields(self)))

    @property
    def iou(self) -> float:
        """Of all pixels of all fields."""
        return self.shared_px / max(1, self.either_px)


def score_fields(slides: int) -> dict[str, Scores]:
    """Per class, over simulated fields, one of each slide, stored as JPEG."""
    kinds = list(DiagnosisClass)
    by_class = {kind.value: Scores() for kind in kinds}
    for number in range(slides):
        kind = kinds[number % len(kinds)]
        slide = draw_slide(FIRST_SLIDE + number)
        made: Any = render_field(slide, kind, 0, um_per_px=UM_PER_PX)
        stored = cv2.imdecode(np.frombuffer(encode_field(made, slide.jpeg_quality), np.uint8), 1)
        assert stored is not None
        rgb = np.ascontiguousarray(stored[:, :, ::-1], np.uint8)
        truth = np.asarray(made.masks.white_cells, np.int32)
        by_class[kind.value] += score_field(rgb, truth)
    return by_class


def score_field(rgb: NDArray[np.uint8], truth: NDArray[np.int32]) -> Scores:
    """One field with the number of the white cell that each pixel belongs to, 0 for none."""
    seen = find_white_cells(rgb, UM_PER_PX)
    mask, true_mask = seen.mask, truth > 0
    every = boxes_of(truth, 0)
    asked = boxes_of(truth, LEAST_UM2)
    off = abs(len(seen.boxes) - len(every))
    return Scores(
        fields=1,
        shared_px=int((mask & true_mask).sum()),
        either_px=int((mask | true_mask).sum()),
        cells=len(asked),
        found=sum(is_hit(box, seen.boxes) for box in asked),
        other=sum(not is_hit(box, every) for box in seen.boxes),
        exact=int(off == 0),
        off_by_one=int(off == 1),
    )


def score_boxes(folder: Path, um_per_px: float) -> tuple[int, int, int]:
    """Marked boxes (YOLO files beside the images) that are hit, marked boxes, and boxes found."""
    hit = marked = found = 0
    for marks in sorted(folder.glob("*/*.txt")):
        bgr = cv2.imread(str(marks.with_suffix(".jpg")))
        if bgr is None:
            raise ValueError(f"{marks.with_suffix('.jpg')} cannot be read")
        high, wide = bgr.shape[:2]
        boxes = find_white_cells(np.ascontiguousarray(bgr[:, :, ::-1], np.uint8), um_per_px).boxes
        found += len(boxes)
        for line in marks.read_text(encoding="utf-8").splitlines():
            _, x, y, w, h = (float(part) for part in line.split())
            left, top = round((x - w / 2) * wide), round((y - h / 2) * high)
            marked += 1
            hit += is_hit((left, top, round(w * wide), round(h * high)), boxes)
    return hit, marked, found


def boxes_of(truth: NDArray[np.int32], least_um2: float) -> list[Box]:
    """The box of each cell of which at least so much is in view."""
    boxes: list[Box] = []
    for number in range(1, int(truth.max()) + 1):
        y, x = np.nonzero(truth == number)
        if len(x) and len(x) * UM_PER_PX**2 >= least_um2:
            boxes.append((int(x.min()), int(y.min()), int(np.ptp(x)) + 1, int(np.ptp(y)) + 1))
    return boxes


def is_hit(box: Box, among: tuple[Box, ...] | list[Box]) -> bool:
    """Whether one of them covers it well enough."""
    return max((_overlap(box, other) for other in among), default=0.0) >= LEAST_OVERLAP


def _overlap(one: Box, other: Box) -> float:
    (ax, ay, aw, ah), (bx, by, bw, bh) = one, other
    width = min(ax + aw, bx + bw) - max(ax, bx)
    height = min(ay + ah, by + bh) - max(ay, by)
    shared = max(0, width) * max(0, height)
    return shared / (aw * ah + bw * bh - shared)
