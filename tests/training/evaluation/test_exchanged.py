"""Exchanged backgrounds: a reader of backgrounds is found out, a reader of cells keeps its figure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cloud_worker.cells.white_cells import find_white_cells
from cloud_worker.engines.engine import Batch, Outputs
from cloud_worker.preprocess import Prepared, prepare
from cloud_worker.tiling import pool
from tests.training.evaluation.conftest import Probe
from training.data import Sample, read_image
from training.evaluation.answers import Answered
from training.evaluation.exchanged import exchanged_row
from training.evaluation.judge import infer

pytestmark = pytest.mark.timeout(300)
"""The probe is fitted and exported first."""

UM_PER_PX = 0.45
Rgb = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads one number from a picture of values 0 to 255, and calls class 1 where it is small."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    reads: Callable[[Rgb], float]
    limit: float = 0.0
    name: str = "reader"
    precision: str = "f32"
    streams: int = 1
    batch_size: int = 4

    def infer(self, batch: Batch) -> Outputs:
        pictures = (batch.transpose(0, 2, 3, 1) * self.std + self.mean) * 255
        found = np.array([self.reads(one) for one in pictures], np.float32)
        logits = np.stack([found - self.limit, self.limit - found], axis=1)
        return Outputs(logits, logits, logits[:, :, None, None])

    def warm_up(self) -> None:
        """Nothing to do."""


def of_the_whole(picture: Rgb) -> float:
    return float(picture[..., 0].mean())


def of_nuclei(picture: Rgb) -> float:
    dark = picture[..., 1] <= np.percentile(picture[..., 1], 1.5)
    return float(picture[dark, 0].mean())


def redder(probe: Probe, folder: Path, *, cells: bool) -> list[Sample]:
    """24 simulated fields; each second one has less red, in its cells or in all the rest."""
    folder.mkdir()
    made = []
    for number, sample in enumerate(probe.samples[:24]):
        image = read_image(sample.path)
        inside = find_white_cells(image, UM_PER_PX).mask > 0
        if number % 2:
            changed = inside if cells else ~inside
            image[changed, 0] = (image[changed, 0] * (0.3 if cells else 0.75)).astype(np.uint8)
        path = folder / f"{number}.png"
        assert cv2.imwrite(str(path), image[..., ::-1])
        label = "AML" if number % 2 else "ALL"
        made.append(Sample(path, label, str(number), str(number), UM_PER_PX))
    return made


def row_of(
    probe: Probe, samples: list[Sample], reads: Callable[[Rgb], float]
) -> tuple[float, float, str]:
    """Balanced accuracy as the fields are and with exchanged backgrounds, and the words."""
    shape = probe.bundle.card.preprocessing
    reader = Reader(shape.mean, shape.std, reads)
    labels = np.arange(len(samples)) % 2

    def logits_by(reader: Reader) -> NDArray[np.float64]:
        found = []
        for sample in samples:
            ready = prepare(read_image(sample.path), sample.um_per_px, shape)
            assert isinstance(ready, Prepared)
            found.append(pool(infer(reader, ready).logits, ready.weights))
        return np.stack(found)

    seen = logits_by(reader)[:, 0]
    limits = np.sort(seen)
    limit = max(limits, key=lambda one: float(((seen < one) == labels).mean()))
    reader = replace(reader, limit=float(limit) - 1e-3)
    one = Answered(logits_by(reader), labels, np.arange(len(samples)), 1.0)
    counted: list[int] = []
    row = exchanged_row(probe.bundle, reader, samples, one, counted.append)
    assert counted == list(range(1, len(counted) + 1))
    assert row.balanced_accuracy is not None and row.balanced_accuracy.value is not None
    return float((one.answers == labels).mean()), row.balanced_accuracy.value, row.words


def test_a_reader_of_backgrounds_is_found_out(probe: Probe, tmp_path: Path) -> None:
    before, after, words = row_of(probe, redder(probe, tmp_path / "b", cells=False), of_the_whole)
    assert before > 0.9
    assert after < before - 0.2
    assert f"as they are {before:.2f}" in words


def test_a_reader_of_cells_keeps_its_figure(probe: Probe, tmp_path: Path) -> None:
    before, after, words = row_of(probe, redder(probe, tmp_path / "c", cells=True), of_nuclei)
    assert before > 0.9
    assert after > before - 0.1
    assert "each background in another field's colours" in words


@pytest.mark.parametrize(
    ("um_per_px", "words"), [(None, "um per pixel unknown"), (2.0, "2 um per pixel")]
)
def test_without_a_usable_scale_it_says_so(
    probe: Probe, um_per_px: float | None, words: str
) -> None:
    samples = [replace(one, um_per_px=um_per_px) for one in probe.samples[:12]]
    shape = probe.bundle.card.preprocessing
    one = Answered(np.zeros((12, 5)), np.arange(12) % 2, np.arange(12), 1.0)
    row = exchanged_row(probe.bundle, Reader(shape.mean, shape.std, of_the_whole), samples, one)
    assert row.balanced_accuracy is None
    assert row.words.startswith("not measured") and words in row.words
