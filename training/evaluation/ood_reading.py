"""One field through a bundle for the out-of-distribution tests, with the foil's six numbers; it scores nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cloud_worker.engines.engine import Engine, Outputs
from cloud_worker.models.bundle_folder import Bundle
from cloud_worker.models.card import Meaning
from cloud_worker.preprocess import prepare
from cloud_worker.refusal import Refusal
from cloud_worker.tiling import cut_tiles, pool
from training.batches import hide_corner
from training.data import DataError
from training.evaluation.foreign_images import Rgb
from training.evaluation.judge import infer
from training.metrics import softmax


@dataclass(slots=True)
class ReadField:
    """What one field gives every score, and whether leukemia would be suspected."""

    outputs: Outputs
    colours: Outputs
    weights: NDArray[np.float64]
    is_called: bool


def read_field(bundle: Bundle, engine: Engine, image: Rgb, um_per_px: float | None) -> ReadField:
    """A field through the network; DataError where its scale does not fit the bundle."""
    card = bundle.card
    prepared = prepare(image, um_per_px, card.preprocessing)
    if isinstance(prepared, Refusal):
        raise DataError(f"an image of these tests is refused by itself: {prepared.text}")
    outputs = infer(engine, prepared)
    tiles = [hide_corner(t, card.preprocessing) for t in cut_tiles(prepared.field, prepared.plan)]
    six = np.array([_six(tile) for tile in tiles], np.float32)
    logits = pool(outputs.logits, prepared.weights)
    p = softmax(logits[None], card.calibration.temperature)[0]
    chances = {
        meaning: sum(p[i] for i, kind in enumerate(card.classes) if kind.meaning is meaning)
        for meaning in Meaning
    }
    is_called = bool(
        chances[Meaning.ACUTE] >= card.thresholds.t_acute
        or chances[Meaning.CHRONIC] >= card.thresholds.t_chronic
    )
    colours = Outputs(outputs.logits, six, outputs.maps)
    return ReadField(outputs, colours, prepared.weights, is_called)


def _six(tile: Rgb) -> NDArray[np.float64]:
    pixels = tile.reshape(-1, 3).astype(np.float64)
    return np.concatenate([pixels.mean(axis=0), pixels.std(axis=0)])
