"""Draws outlines and boxes over a field, for people to check the finder; it changes no pixel of its input."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cloud_worker.cells.white_cells import WhiteCells

OUTLINE_RGB, BOX_RGB = (0, 150, 60), (30, 90, 230)
#: One pixel of line for each this many of the longer side.
_PX_PER_LINE = 500


def draw_cells(rgb: NDArray[np.uint8], cells: WhiteCells) -> NDArray[np.uint8]:
    """A copy of the field with each cell's outline and box, numbered in the order of `cells.boxes`."""
    drawn = rgb.copy()
    line = max(1, round(max(rgb.shape[:2]) / _PX_PER_LINE))
    for number, (outline, box) in enumerate(zip(cells.outlines, cells.boxes, strict=True), 1):
        x, y, width, height = box
        cv2.rectangle(drawn, (x, y), (x + width - 1, y + height - 1), BOX_RGB, line)
        points = np.rint(outline).astype(np.int32)
        cv2.polylines(drawn, [points], True, OUTLINE_RGB, line, cv2.LINE_AA)
        at = (x + 2 * line, max(y + height - 3 * line, 12 * line))
        cv2.putText(
            drawn,
            str(number),
            at,
            cv2.FONT_HERSHEY_SIMPLEX,
            0.45 * line,
            BOX_RGB,
            line,
            cv2.LINE_AA,
        )
    return drawn
