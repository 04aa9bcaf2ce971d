"""What finding white cells costs beside inference, and how well it does on simulated fields and on real ones.

CPU time of this process, not of the wall: decoding, finding and inference of the same field take turns, so
that a busy machine slows all of them alike. Without HEMOWIRE_REAL_DATA the real fields are left out.

    python -m benchmarks.white_cells --out benchmarks/results/white_cells.md
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks.cell_scores import Scores, score_boxes, score_fields
from cloud_worker.cells import find_white_cells
from cloud_worker.decode import decode
from cloud_worker.engines.engine import open_engine
from cloud_worker.models.bundle import default_bundle
from cloud_worker.preprocess import lay_out, resample
from cloud_worker.refusal import Refusal
from edge_device.simulator import DiagnosisClass, draw_slide, render_field

SIZES = ((640, 480, 0.2), (1440, 900, 0.1), (4056, 3040, 0.1))
#: Scales of the real sets, by their red cells (benchmarks/results/scale.md).
CHULA_UM_PER_PX = 0.1


@dataclass(frozen=True, slots=True)
class Cost:
    """Median CPU milliseconds of one field."""

    decode_ms: float
    find_ms: float
    infer_ms: float
    tiles: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--slides", type=int, default=60)
    args = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    lines = [
        "# White cells: cost and how well they are found",
        "",
        f"`python -m benchmarks.white_cells --out {args.out}` with {args.rounds} rounds and"
        f" {args.slides} slides. Synthetic fields unless a row says otherwise.",
        "",
        *_cost_table(args.rounds),
        "",
        *_score_table(args.slides),
    ]
    args.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    return 0


def _cost_table(rounds: int) -> Iterator[str]:
    bundle = default_bundle()
    yield (
        f"CPU milliseconds of one field (all threads together), median of {rounds}; inference is"
        f" {bundle.name} on OpenVINO, {len(os.sched_getaffinity(0))} CPU cores."
    )
    yield ""
    yield "| field | decode | find white cells | inference | tiles | finding / inference |"
    yield "|---|---|---|---|---|---|"
    for width, height, scale in SIZES:
        cost = measure_cost(width, height, scale, rounds)
        yield (
            f"| {width} x {height} at {scale} um | {cost.decode_ms:.1f} | {cost.find_ms:.1f} |"
            f" {cost.infer_ms:.0f} | {cost.tiles} | {100 * cost.find_ms / cost.infer_ms:.0f} % |"
        )


def measure_cost(width: int, height: int, um_per_px: float, rounds: int) -> Cost:
    """The three steps in turns on one simulated field."""
    bundle = default_bundle()
    engine = open_engine(bundle, "openvino")
    to = bundle.card.preprocessing
    # A large field is one of usual size drawn larger: drawing 12 megapixels takes minutes.
    drawn = render_field(draw_slide(11), DiagnosisClass.ALL, 0, um_per_px=0.2)
    repeats = -(-round(height * um_per_px / 0.2) // 480), -(-round(width * um_per_px / 0.2) // 640)
    tiled = np.tile(drawn.image, (*repeats, 1))
    tiled = tiled[: round(height * um_per_px / 0.2), : round(width * um_per_px / 0.2)]
    rgb = np.asarray(cv2.resize(tiled, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    done, data = cv2.imencode(".jpg", rgb[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
    assert done
    prepared = lay_out(resample(rgb, um_per_px / to.um_per_px), to)
    if isinstance(prepared, Refusal):
        raise RuntimeError(prepared.text)
    step = engine.batch_size * engine.streams
    times: dict[str, list[float]] = {"decode": [], "find": [], "infer": []}

    def infer() -> None:
        for start in range(0, prepared.count, step):
            engine.infer(prepared.tiles(start, start + step))

    steps: dict[str, Callable[[], object]] = {
        "decode": lambda: decode(bytes(data)),
        "find": lambda: find_white_cells(rgb, um_per_px),
        "infer": infer,
    }
    for _ in range(rounds + 1):
        for name, call in steps.items():
            began = time.process_time()
            call()
            times[name].append(1000 * (time.process_time() - began))
    decode_ms, find_ms, infer_ms = (float(np.median(times[name][1:])) for name in steps)
    return Cost(decode_ms, find_ms, infer_ms, prepared.count)


def _score_table(slides: int) -> Iterator[str]:
    yield (
        "IoU of the masks, and cells found (box IoU at least 0.5; cells of which less than 15 um2 is in"
        " view are left out). `other`: boxes that are no true cell."
    )
    yield ""
    yield "| fields | mask IoU | cells | found | other | fields counted right | off by 1 |"
    yield "|---|---|---|---|---|---|---|"
    by_class = score_fields(slides)
    for name, scores in by_class.items():
        yield _row(f"simulated {name}", scores)
    yield _row("simulated, all", sum(by_class.values(), start=Scores()))
    data = os.environ.get("HEMOWIRE_REAL_DATA")
    if data is None:
        yield ""
        yield "HEMOWIRE_REAL_DATA was not set: no real fields."
        return
    hit, marked, boxes = score_boxes(Path(data) / "chula_fields", CHULA_UM_PER_PX)
    yield ""
    yield (
        f"Real fields of a Raspberry Pi microscope (chula_fields): {hit} of {marked} marked cells hit"
        f" (box IoU at least 0.5). One cell is marked per field; {boxes} boxes were found in all, among"
        " them white cells that nobody marked."
    )


def _row(name: str, scores: Scores) -> str:
    return (
        f"| {name} | {scores.iou:.3f} | {scores.cells} | {100 * scores.found / scores.cells:.1f} % |"
        f" {scores.other} | {100 * scores.exact / scores.fields:.0f} % |"
        f" {100 * scores.off_by_one / scores.fields:.0f} % |"
    )


if __name__ == "__main__":
    sys.exit(main())
