"""Whether the boxes that come first hold the blasts: simulated acute fields, whose truth names every cell.

Two kinds of fields: as the classes draw them (most white cells are blasts, so any order does well), and mixed
ones with 3 blasts among 7 normal cells, where the order has to find them.

    python -m benchmarks.suspicion --out benchmarks/results/suspicion.md
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cloud_worker.cells import Box
from cloud_worker.cells.seen import largest_nucleus_first
from cloud_worker.classify import Classifier
from cloud_worker.engines.engine import open_engine
from cloud_worker.finding import Finding
from cloud_worker.models.bundle import default_bundle, load_bundle
from edge_device.simulator import CellType, DiagnosisClass, draw_slide, render_field

BLASTS = {
    DiagnosisClass.ALL: CellType.LYMPHOBLAST,
    DiagnosisClass.AML: CellType.MYELOBLAST,
}
NORMAL = (
    *[CellType.SEGMENTED] * 6,
    *[CellType.SMALL_LYMPHOCYTE] * 3,
    CellType.MONOCYTE,
)
MIXED_BLASTS, MIXED_NORMAL, FIRST_BOXES = 3, 7, 6
FIRST_SLIDE, UM_PER_PX = 5000, 0.2


@dataclass(frozen=True, slots=True)
class Shares:
    """Share of blasts among the first boxes, by evidence and by nucleus area, and among all boxes."""

    by_evidence: float
    by_area: float
    of_all: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--slides", type=int, default=40)
    parser.add_argument("--bundle", metavar="NAME", help="by name or folder; else the default one")
    args = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    bundle = default_bundle() if args.bundle is None else load_bundle(args.bundle)
    classifier = Classifier(bundle, open_engine(bundle, "openvino"))
    lines = [
        "# Do the boxes that come first hold the blasts?",
        "",
        f"`python -m benchmarks.suspicion --out {args.out}`: {args.slides} slides of synthetic ALL and AML,"
        f" a field of each; bundle {bundle.name}. Share of boxes that lie on a blast, mean over fields.",
        "",
        "| fields | boxes looked at | by the map's evidence | by nucleus area | all boxes |",
        "|---|---|---|---|---|",
        _row("as drawn, 7 to 10 cells", FIRST_BOXES, list(_as_drawn(classifier, args.slides))),
        _row(
            f"mixed, {MIXED_BLASTS} blasts among {MIXED_NORMAL} normal cells",
            MIXED_BLASTS,
            list(_mixed(classifier, args.slides)),
        ),
    ]
    args.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    return 0


def _as_drawn(classifier: Classifier, slides: int) -> Iterator[Shares]:
    for number in range(slides):
        kind = list(BLASTS)[number % 2]
        yield _shares(classifier, number, kind, FIRST_BOXES, white_cells=(7, 10))


def _mixed(classifier: Classifier, slides: int) -> Iterator[Shares]:
    rng = np.random.default_rng(5)
    for number in range(slides):
        kind = list(BLASTS)[number % 2]
        normal = [NORMAL[int(k)] for k in rng.integers(len(NORMAL), size=MIXED_NORMAL)]
        cells = [*[BLASTS[kind]] * MIXED_BLASTS, *normal]
        yield _shares(classifier, number, kind, MIXED_BLASTS, cell_types=cells)


def _shares(
    classifier: Classifier, number: int, kind: DiagnosisClass, first: int, **drawing: Any
) -> Shares:
    field = render_field(draw_slide(FIRST_SLIDE + number), kind, 0, **drawing)
    found = classifier.classify_pixels(field.image, UM_PER_PX)
    blasts = [cell.box for cell in field.truth.cells if cell.cell_type is BLASTS[kind]]
    others = [cell.box for cell in field.truth.cells if cell.cell_type is not BLASTS[kind]]

    def share(boxes: Sequence[Box] | None) -> float:
        return float(np.mean([_lies_on(box, blasts, others) for box in boxes or ()]))

    ordered, by_area = _orders(found)
    return Shares(share(ordered[:first]), share(by_area[:first]), share(ordered))


def _orders(found: Finding) -> tuple[tuple[Box, ...], tuple[Box, ...]]:
    if found.seen is None or found.class_map is None:
        raise RuntimeError(f"no map of this field: {found.decision.words}")
    return found.white_cell_boxes or (), largest_nucleus_first(found.seen) or ()


def _lies_on(box: Box, blasts: Sequence[Box], others: Sequence[Box]) -> bool:
    """Whether the true cell that it covers best is a blast."""
    best = max((_overlap(box, true) for true in blasts), default=0.0)
    return best > max(0.3, max((_overlap(box, true) for true in others), default=0.0))


def _overlap(box: Box, corners: Box) -> float:
    """Of a box with one that is given by two corners, as the simulator does."""
    (x, y, width, height), (left, top, right, bottom) = box, corners
    shared = max(0, min(x + width, right) - max(x, left)) * max(
        0, min(y + height, bottom) - max(y, top)
    )
    return shared / (width * height + (right - left) * (bottom - top) - shared)


def _row(name: str, first: int, shares: list[Shares]) -> str:
    cells = (
        f"{100 * np.mean([getattr(s, which) for s in shares]):.1f} %"
        for which in ("by_evidence", "by_area", "of_all")
    )
    return f"| {name} | first {first} | {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
