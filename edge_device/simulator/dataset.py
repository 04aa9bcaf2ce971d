"""Writing simulated fields as a folder per class with a manifest and the truth; it reads no images.

A slide's seed depends on the data set's seed, the class and the slide's number, and the slide is
drawn from that seed alone: two data sets with different seeds share no slide.
"""

from __future__ import annotations

import csv
import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from edge_device.simulator.cell_types import DiagnosisClass
from edge_device.simulator.field import FieldTruth, encode_field, render_field
from edge_device.simulator.slide import draw_slide, slide_seed

MANIFEST_FILE = "manifest.csv"
TRUTH_FILE = "truth.jsonl"
_COLUMNS = ("path", "label", "group", "um_per_px", "white_cells", "slide_seed", "field_index")


_Written = tuple[list[tuple[object, ...]], list[str]]  # manifest rows and truth lines


@dataclass(frozen=True, slots=True)
class FieldSettings:
    """Size, scale and content of each field of a data set."""

    width_px: int = 640
    height_px: int = 480
    um_per_px: float = 0.2
    white_cells: tuple[int, int] = (5, 10)
    background_only: bool = False


@dataclass(frozen=True, slots=True)
class _SlideTask:
    out: Path
    diagnosis_class: DiagnosisClass
    seed: int
    fields: int
    settings: FieldSettings


def write_data_set(
    out: Path,
    classes: Sequence[DiagnosisClass],
    *,
    slides: int,
    fields: int,
    seed: int,
    settings: FieldSettings | None = None,
    jobs: int = 1,
    done: Callable[[int], None] = lambda count: None,
) -> int:
    """Write `slides` slides of `fields` fields for each class and return the number of fields.

    `done` is told the number of fields written so far. The manifest is written last: a folder with
    a manifest is complete.
    """
    settings = settings or FieldSettings()
    numbers = {kind: number for number, kind in enumerate(DiagnosisClass)}
    tasks = [
        _SlideTask(out, kind, slide_seed(seed, numbers[kind], index), fields, settings)
        for kind in classes
        for index in range(slides)
    ]
    for kind in classes:
        (out / kind.value).mkdir(parents=True, exist_ok=True)
    rows: list[tuple[object, ...]] = []
    truths: list[str] = []
    with ExitStack() as stack:
        if jobs == 1:
            written: Iterator[_Written] = map(_write_slide, tasks)
        else:
            # Spawned, not forked: OpenCV's threads do not survive a fork.
            context = multiprocessing.get_context("spawn")
            pool = stack.enter_context(ProcessPoolExecutor(jobs, mp_context=context))
            written = pool.map(_write_slide, tasks, chunksize=1)
        for slide_rows, slide_truths in written:
            rows += slide_rows
            truths += slide_truths
            done(len(rows))
    (out / TRUTH_FILE).write_text("\n".join(truths) + "\n", encoding="utf-8")
    with (out / MANIFEST_FILE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows(rows)
    return len(rows)


def _write_slide(task: _SlideTask) -> _Written:
    slide = draw_slide(task.seed)
    rows: list[tuple[object, ...]] = []
    truths: list[str] = []
    for index in range(task.fields):
        field = render_field(
            slide,
            task.diagnosis_class,
            index,
            width_px=task.settings.width_px,
            height_px=task.settings.height_px,
            um_per_px=task.settings.um_per_px,
            white_cells=task.settings.white_cells,
            background_only=task.settings.background_only,
        )
        name = f"{task.diagnosis_class.value}/{slide.slide_id}-{index:04d}.jpg"
        (task.out / name).write_bytes(encode_field(field, slide.jpeg_quality))
        truth = field.truth
        rows.append(
            (
                name,
                truth.diagnosis_class.value,
                truth.slide_id,
                truth.um_per_px,
                len(truth.cells),
                slide.seed,
                index,
            )
        )
        truths.append(_truth_line(name, truth))
    return rows, truths


def _truth_line(name: str, truth: FieldTruth) -> str:
    return json.dumps({"path": name, **asdict(truth)}, separators=(",", ":"))
