"""Draws docs/simulated-sheet.jpg: the five classes side by side, each image labelled synthetic.

    python -m benchmarks.simulator_sheet [--out docs/simulated-sheet.jpg]

No real image is read or drawn.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edge_device.simulator import DiagnosisClass, draw_slide, render_field

WIDTH_PX, HEIGHT_PX = 300, 225
UM_PER_PX = 0.2
BAR_PX = 26
ROWS = 4
_SCALE_UM = 10

Image = npt.NDArray[np.uint8]


def sheet(seed: int) -> Image:
    """One column for each class, slides as they come, all at one scale; RGB."""
    columns = []
    for number, kind in enumerate(DiagnosisClass):
        header = np.full((BAR_PX, WIDTH_PX, 3), 255, np.uint8)
        _write(header, f"{kind.value} (synthetic)", (6, 18))
        parts: list[Image] = [header]
        for row in range(ROWS):
            slide = draw_slide(seed + 10 * row + number)
            field = render_field(
                slide,
                kind,
                0,
                width_px=WIDTH_PX,
                height_px=HEIGHT_PX,
                um_per_px=UM_PER_PX,
                white_cells=(3, 4),
            )
            parts.append(field.image)
        columns.append(np.vstack(parts))
    page = np.hstack(columns)
    footer = np.full((BAR_PX, page.shape[1], 3), 255, np.uint8)
    bar_px = round(_SCALE_UM / UM_PER_PX)
    cv2.line(footer, (8, 12), (8 + bar_px, 12), (0, 0, 0), 2)
    words = f"{_SCALE_UM} um. Rendered by hemowire's simulator: no real image. Research use only."
    _write(footer, words, (18 + bar_px, 17))
    return np.asarray(np.vstack([page, footer]), np.uint8)


def _write(image: Image, text: str, at: tuple[int, int]) -> None:
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/simulated-sheet.jpg"))
    parser.add_argument("--seed", type=int, default=7200)
    args = parser.parse_args()
    picture = cv2.cvtColor(sheet(args.seed), cv2.COLOR_RGB2BGR)
    if not cv2.imwrite(str(args.out), picture, [cv2.IMWRITE_JPEG_QUALITY, 82]):
        raise SystemExit(f"{args.out}: could not be written")


if __name__ == "__main__":
    main()
