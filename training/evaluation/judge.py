"""From image files to what a bundle says of each, by the steps that serve; counts nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cloud_worker.decode import decode
from cloud_worker.engines.engine import Engine, Outputs, join_outputs
from cloud_worker.finding import Conclusion, Finding
from cloud_worker.models.bundle_folder import Bundle
from cloud_worker.preprocess import Prepared
from cloud_worker.refusal import Refusal
from cloud_worker.tiling import pool
from training.data import Sample
from training.evaluation.clues import Clues, read_clues
from training.evaluation.examples import Example, make_example
from training.metrics import softmax

Done = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Judged:
    """One image's finding; logits and clues are None where the network did not run."""

    finding: Finding
    logits: NDArray[np.float64] | None
    clues: Clues | None


def judge(
    bundle: Bundle,
    engine: Engine,
    samples: Sequence[Sample],
    done: Done = lambda count: None,
) -> list[Judged]:
    """Each image as the worker would judge it."""
    conclusion = Conclusion(bundle)
    judged: list[Judged] = []
    for number, sample in enumerate(samples, start=1):
        judged.append(_judge(conclusion, engine, sample)[0])
        done(number)
    return judged


def picture_examples(
    bundle: Bundle, engine: Engine, samples: Sequence[Sample], labels: Sequence[int]
) -> list[Example]:
    """These images again, with their maps."""
    conclusion = Conclusion(bundle)
    keys = [kind.key for kind in bundle.card.classes]
    made = []
    for sample, label in zip(samples, labels, strict=True):
        judged, prepared = _judge(conclusion, engine, sample)
        if prepared is not None and judged.logits is not None:
            p = softmax(judged.logits[None], bundle.card.calibration.temperature)[0]
            field, heat = prepared.field, judged.finding.class_map
            made.append(make_example(field, heat, p, label, keys))
    return made


def infer(engine: Engine, prepared: Prepared) -> Outputs:
    """The outputs of all tiles of a field, in the plan's order."""
    step = engine.batch_size
    return join_outputs(
        [
            engine.infer(prepared.tiles(start, start + step))
            for start in range(0, prepared.count, step)
        ]
    )


def _judge(
    conclusion: Conclusion, engine: Engine, sample: Sample
) -> tuple[Judged, Prepared | None]:
    pixels = decode(sample.path.read_bytes())
    ready = pixels if isinstance(pixels, Refusal) else conclusion.prepare(pixels, sample.um_per_px)
    if isinstance(ready, Refusal):
        return Judged(conclusion.refuse(ready), None, None), None
    outputs = infer(engine, ready)
    clues = read_clues(ready.field, conclusion.bundle.card.preprocessing)
    logits = pool(outputs.logits, ready.weights)
    return Judged(conclusion.finish(ready, conclusion.read(outputs)), logits, clues), ready
