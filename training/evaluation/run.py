"""One evaluation as a person asks for it: judged images, their figures, and a few of them as pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cloud_worker.engines.engine import Engine
from cloud_worker.models.bundle_folder import Bundle
from training.data import Sample
from training.evaluate import (
    Asked,
    Done,
    answered_of,
    evaluate_judged,
)
from training.evaluation.document import Evaluation
from training.evaluation.examples import Example, choose
from training.evaluation.exchanged import exchanged_row
from training.evaluation.judge import judge, picture_examples
from training.evaluation.map_places import map_rows
from training.own_images import refuse_training_images


def evaluate_with_examples(
    bundle: Bundle,
    engine: Engine,
    samples: Sequence[Sample],
    done: Done = lambda count: None,
    asked: Asked | None = None,
    *,
    with_examples: bool = True,
) -> tuple[Evaluation, list[Example]]:
    """Figures, and the surest right and wrong answers of each class with their maps.

    With examples the images are read again with exchanged backgrounds, and `done` counts once more.
    """
    refuse_training_images(bundle, samples)
    judged = judge(bundle, engine, samples, done)
    result = evaluate_judged(bundle, engine, samples, judged, asked)
    one = answered_of(bundle.card, samples, judged)
    seen = np.flatnonzero(one.seen)
    if not with_examples or not seen.size:
        return result, []
    row = exchanged_row(bundle, engine, samples, one, done)
    maps = map_rows(bundle, samples, judged, one)
    result = result.model_copy(update={"confounds": (*result.confounds, row), "maps": maps})
    chosen = choose(one.probabilities(), one.labels[seen], [int(number) for number in seen])
    labels = [int(one.labels[number]) for number in chosen]
    return result, picture_examples(bundle, engine, [samples[n] for n in chosen], labels)
