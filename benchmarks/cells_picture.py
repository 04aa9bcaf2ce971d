"""Draws the picture of docs/segmentation.md from simulated fields only, and says so in it.

python -m benchmarks.cells_picture --out docs/segmentation-simulated.jpg
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cloud_worker.cells import find_white_cells, segment_as_authors
from cloud_worker.cells.overlay import draw_cells
from edge_device.simulator import DiagnosisClass, draw_slide, render_field

FIRST_SLIDE, UM_PER_PX = 730, 0.2
SIZE_PX, HEAD_PX = (480, 360), 26
COLUMNS = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the JPEG."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    panels = []
    for number, kind in enumerate(DiagnosisClass):
        rgb = render_field(draw_slide(FIRST_SLIDE + number), kind, 0, um_per_px=UM_PER_PX).image
        cells = find_white_cells(rgb, UM_PER_PX)
        label = "no leukemia" if kind is DiagnosisClass.HEALTHY else kind.value
        title = f"SYNTHETIC {label}: {len(cells.boxes)} white cells found"
        panels.append(_panel(draw_cells(rgb, cells), title))
        if number == 0:
            authors = _panel(segment_as_authors(rgb), f"SYNTHETIC {label}: --mode authors")
    panels.append(authors)
    rows = [np.hstack(panels[at : at + COLUMNS]) for at in range(0, len(panels), COLUMNS)]
    cv2.imwrite(str(args.out), np.vstack(rows)[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
    return 0


def _panel(rgb: NDArray[np.uint8], title: str) -> NDArray[np.uint8]:
    small = cv2.resize(rgb, SIZE_PX, interpolation=cv2.INTER_AREA)
    head = np.full((HEAD_PX, SIZE_PX[0], 3), 255, np.uint8)
    cv2.putText(head, title, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (20, 20, 20), 1, cv2.LINE_AA)
    return np.vstack([head, np.asarray(small, np.uint8)])


if __name__ == "__main__":
    sys.exit(main())
