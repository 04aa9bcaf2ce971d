"""The network itself on fields whose backgrounds exchanged their colours: what it still knows, cells told it.

White cells are found by the segmentation; nothing is fitted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from cloud_worker.cells.white_cells import find_white_cells
from cloud_worker.engines.engine import Engine
from cloud_worker.models.bundle_folder import Bundle
from cloud_worker.preprocess import prepare
from cloud_worker.refusal import Refusal
from cloud_worker.tiling import pool
from training.backgrounds import background_colours, with_background
from training.data import DataError, Sample, read_image
from training.evaluation.answers import Answered
from training.evaluation.confounds import figure_row, unknown_row
from training.evaluation.document import EXCHANGED, ConfoundRow
from training.evaluation.judge import infer
from training.evaluation.ood_images import evenly

_FEWEST = 10


def exchanged_row(
    bundle: Bundle,
    engine: Engine,
    samples: Sequence[Sample],
    one: Answered,
    done: Callable[[int], None] = lambda count: None,
) -> ConfoundRow:
    """Its balanced accuracy where each background has the colours of another of these fields.

    `one` holds its answers to the same samples as they are. Fields without a white cell are left out:
    they would keep nothing of their own. It says why where nothing can be measured.
    DataError where a file cannot be read, or the network refuses a field that it did not refuse before.
    """
    shape = bundle.card.preprocessing
    fields, colours = [], []
    for number in evenly([int(n) for n in np.flatnonzero(one.seen)]):
        sample = samples[number]
        if sample.um_per_px is None:
            return unknown_row(EXCHANGED, "not measured: um per pixel unknown")
        try:
            field = _with_cells(sample, sample.um_per_px)
        except DataError:
            raise
        except ValueError as error:  # no scale at which cells are found
            return unknown_row(EXCHANGED, f"not measured: {error}")
        corner = round(shape.masked_corner_px * shape.um_per_px / sample.um_per_px)
        own = background_colours(field, corner)
        if own is not None and field[..., 3].any():
            fields.append(number)
            colours.append(own)
    labels = one.labels[fields]
    if len(fields) < _FEWEST or len(np.unique(labels)) < 2:
        return unknown_row(
            EXCHANGED, f"not measured: {len(fields)} fields, {_FEWEST} of two classes needed"
        )
    others = np.random.default_rng(17).permutation(len(fields))
    answers = np.zeros(len(fields), np.int64)
    for place, number in enumerate(fields):
        sample = samples[number]
        assert sample.um_per_px is not None
        field = _with_cells(sample, sample.um_per_px)
        mixed = with_background(field, colours[place], colours[others[place]])[..., :3]
        ready = prepare(mixed, sample.um_per_px, shape)
        if isinstance(ready, Refusal):  # it was not refused before
            raise DataError(f"{sample.path}: {ready.text}")
        answers[place] = int(pool(infer(engine, ready).logits, ready.weights).argmax())
        done(place + 1)
    before = figure_row(EXCHANGED, "", labels, one.answers[fields], one.groups[fields])
    assert before.balanced_accuracy is not None and before.balanced_accuracy.value is not None
    words = (
        f"{len(fields)} fields, each background in another field's colours and the white cells as they "
        f"are; on the same fields as they are {before.balanced_accuracy.value:.3f}"
    )
    return figure_row(EXCHANGED, words, labels, answers, one.groups[fields])


def _with_cells(sample: Sample, um_per_px: float) -> NDArray[np.uint8]:
    """H,W,4: the image and its white cells."""
    image = read_image(sample.path)
    cells = np.where(find_white_cells(image, um_per_px).mask, 255, 0).astype(np.uint8)
    return np.dstack([image, cells])
