"""Classifies images without a broker: decode, prepare, infer in batches, conclude.

Answers equal the worker's: both take the same steps through `Conclusion`. One bad image is a
refusal of its own and never fails the images beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cloud_worker.cells import SeenField
from cloud_worker.decode import DEFAULT_LIMITS, DecodeLimits, decode
from cloud_worker.engines.engine import Engine, Outputs
from cloud_worker.finding import Conclusion, Finding
from cloud_worker.models.bundle_folder import Bundle
from cloud_worker.opening import prepare_counted
from cloud_worker.preprocess import Prepared
from cloud_worker.refusal import Refusal
from cloud_worker.tile_readings import join_readings


@dataclass(frozen=True, slots=True)
class Picture:
    """One image to classify."""

    data: bytes
    um_per_px: float | None


class Classifier:
    """A bundle and an engine that runs it. Not thread-safe, as its engine is not."""

    def __init__(
        self,
        bundle: Bundle,
        engine: Engine,
        *,
        limits: DecodeLimits = DEFAULT_LIMITS,
        count_white_cells: bool = True,
    ) -> None:
        self.bundle = bundle
        self.engine = engine
        self._limits = limits
        self._count_white_cells = count_white_cells
        self._conclusion = Conclusion(bundle)

    def prepare(self, rgb: NDArray[np.uint8], um_per_px: float | None) -> Prepared | Refusal:
        """The field at the bundle's scale with its tiles, or why it cannot be judged."""
        return self._conclusion.prepare(rgb, um_per_px)

    def finish(self, prepared: Prepared, outputs: Outputs) -> Finding:
        """The finding on a field from the outputs of all its tiles, in the plan's order."""
        return self._conclusion.finish(prepared, self._conclusion.read(outputs))

    def refuse(self, refusal: Refusal) -> Finding:
        """The finding on an image that no network sees."""
        return self._conclusion.refuse(refusal)

    def classify_pixels(self, rgb: NDArray[np.uint8], um_per_px: float | None) -> Finding:
        """The finding on one decoded image."""
        to = self.bundle.card.preprocessing
        return self._conclude(*prepare_counted(rgb, um_per_px, to, count=self._count_white_cells))

    def classify(self, pictures: Iterable[Picture]) -> Iterator[Finding]:
        """One finding per picture, in order; reads the next picture only when it is asked for."""
        for picture in pictures:
            rgb = decode(picture.data, self._limits)
            if isinstance(rgb, Refusal):
                yield self.refuse(rgb)
            else:
                yield self.classify_pixels(rgb, picture.um_per_px)

    def _conclude(self, prepared: Prepared | Refusal, seen: SeenField) -> Finding:
        if isinstance(prepared, Refusal):
            return self._conclusion.refuse(prepared, seen)
        step = self.engine.batch_size * self.engine.streams
        parts = [
            self._conclusion.read(self.engine.infer(prepared.tiles(start, start + step)))
            for start in range(0, prepared.count, step)
        ]
        return self._conclusion.finish(prepared, join_readings(parts), seen)
