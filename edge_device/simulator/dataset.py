"""Writing simulated fields as a folder per class with a manifest and the truth; it reads no images.

A slide's seed depends on the data set's seed, the class and the slide's number, and the slide is
drawn from that seed alone: two data sets with different seeds share no slide. The one exception is
asked for by name: confounded sources tie the look of a slide to its class, to show what that does.
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
from zipfile import ZipFile

import cv2
import numpy as np

from edge_device.simulator.cell_types import DiagnosisClass
from edge_device.simulator.confounding import Sources, made_by_source
from edge_device.simulator.field import encode_field, render_field
from edge_device.simulator.slide import Slide, draw_slide, slide_seed
from edge_device.simulator.truth import FieldTruth, Masks

MANIFEST_FILE = "manifest.csv"
TRUTH_FILE = "truth.jsonl"
SLIDES_FILE = "slides.jsonl"
#: Beside the images and not among them: what reads a folder of images must not meet a mask.
MASKS_FILE = "masks.zip"
_COLUMNS = ("path", "label", "group", "um_per_px", "white_cells", "slide_seed", "field_index")


@dataclass(frozen=True, slots=True)
class _Written:
    rows: list[tuple[object, ...]]
    truths: list[str]
    masks: list[tuple[str, bytes]]
    slide: str


@dataclass(frozen=True, slots=True)
class FieldSettings:
    """Size, scale and content of each field of a data set."""

    width_px: int = 640
    height_px: int = 480
    um_per_px: float = 0.2
    white_cells: tuple[int, int] = (5, 10)
    background_only: bool = False
    sources: Sources = Sources.INDEPENDENT
    masks: bool = False


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
    slide_lines: list[str] = []
    with ExitStack() as stack:
        if jobs == 1:
            written: Iterator[_Written] = map(_write_slide, tasks)
        else:
            # Spawned, not forked: OpenCV's threads do not survive a fork.
            context = multiprocessing.get_context("spawn")
            pool = stack.enter_context(
                # One thread each: the processes are as many as may be busy.
                ProcessPoolExecutor(jobs, context, initializer=cv2.setNumThreads, initargs=(1,))
            )
            written = pool.map(_write_slide, tasks, chunksize=1)
        archive = stack.enter_context(ZipFile(out / MASKS_FILE, "w")) if settings.masks else None
        for slide in written:
            for name, data in slide.masks:
                if archive:
                    archive.writestr(name, data)
            rows += slide.rows
            truths += slide.truths
            slide_lines.append(slide.slide)
            done(len(rows))
    (out / TRUTH_FILE).write_text("\n".join(truths) + "\n", encoding="utf-8")
    (out / SLIDES_FILE).write_text("\n".join(slide_lines) + "\n", encoding="utf-8")
    with (out / MANIFEST_FILE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows(rows)
    return len(rows)


def _write_slide(task: _SlideTask) -> _Written:
    slide = made_by_source(draw_slide(task.seed), task.diagnosis_class, task.settings.sources)
    rows: list[tuple[object, ...]] = []
    truths: list[str] = []
    masks: list[tuple[str, bytes]] = []
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
        if task.settings.masks:
            masks.append((mask_name(name), encode_masks(field.masks)))
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
    return _Written(rows, truths, masks, _slide_line(slide))


def mask_name(image_name: str) -> str:
    """What the masks of an image of the data set are called in the archive."""
    return f"{image_name.removesuffix('.jpg')}.png"


def encode_masks(masks: Masks) -> bytes:
    """One PNG: red is the white cell's number from 1, green 255 in nuclei, blue 255 in red cells.

    It has 8 bits per channel, or 16 where a field holds more than 255 white cells.
    """
    numbers, full = masks.white_cells, np.uint8(255)
    if numbers.max(initial=0) < 256:
        numbers = numbers.astype(np.uint8)
    # OpenCV: B, G, R
    planes = [full * masks.red_cells, full * masks.nuclei]
    packed = cv2.merge([*(plane.astype(numbers.dtype) for plane in planes), numbers])
    done, data = cv2.imencode(".png", packed, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    if not done:
        raise ValueError("masks: not encoded")
    return data.tobytes()


def _truth_line(name: str, truth: FieldTruth) -> str:
    return json.dumps({"path": name, **asdict(truth)}, separators=(",", ":"))


def _slide_line(slide: Slide) -> str:
    numbers = {**asdict(slide), "stain_matrix": slide.stain_matrix.tolist()}
    return json.dumps(numbers, separators=(",", ":"))
