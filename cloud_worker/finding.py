"""What a bundle concludes from an engine's outputs on one field; holds no engine and does no I/O
after it was made. The worker and `hemowire classify` both conclude through it, so they agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cloud_worker.cells import Box, SeenField
from cloud_worker.cells.seen import largest_nucleus_first, most_evidence_first
from cloud_worker.diagnosis import Decision, Evidence, calibrated, decide
from cloud_worker.engines.engine import Outputs
from cloud_worker.explain import class_maps, field_map
from cloud_worker.foreignness.loading import load_score
from cloud_worker.foreignness.score import percentile_of
from cloud_worker.models.bundle_folder import Bundle
from cloud_worker.models.card import Meaning
from cloud_worker.preprocess import Prepared, prepare
from cloud_worker.refusal import Refusal
from cloud_worker.tile_readings import TileReadings
from cloud_worker.tiling import pool


@dataclass(frozen=True, slots=True)
class Finding:
    """One field's conclusion and what led to it."""

    decision: Decision
    tiles: int = 0
    ood_percentile: float | None = None
    """0 to 100: share of calibration images nearer to the training images; None where unknown."""
    ood_distance: float | None = None
    class_map: NDArray[np.float32] | None = None
    """K,h,w over the (padded) field at the bundle's scale; None where the network did not run or has no exact map."""
    seen: SeenField | None = None
    """The image's size and white cells; None where nobody looked."""
    white_cell_boxes: tuple[Box, ...] | None = None
    """All of them, most suspicious first; None where they were not counted."""


class Conclusion:
    """A bundle's own numbers, loaded once, and the path from pixels and outputs to a Finding."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self._head_weight = bundle.head()[0] if bundle.has_exact_map else None
        self._ood = load_score(bundle)

    def prepare(self, rgb: NDArray[np.uint8], um_per_px: float | None) -> Prepared | Refusal:
        """The field at the bundle's scale with its tiles, or why it cannot be judged."""
        return prepare(rgb, um_per_px, self.bundle.card.preprocessing)

    def refuse(self, refusal: Refusal, seen: SeenField | None = None) -> Finding:
        """The finding on an image that no network sees."""
        card = self.bundle.card
        decision = decide(Evidence(refusal=refusal), card.classes, card.thresholds)
        boxes = None if seen is None else largest_nucleus_first(seen)
        return Finding(decision, seen=seen, white_cell_boxes=boxes)

    def read(self, outputs: Outputs) -> TileReadings:
        """What a finding needs of some tiles' outputs; from any thread."""
        weight, score = self._head_weight, self._ood
        return TileReadings(
            outputs.logits,
            None if weight is None else class_maps(outputs.maps, weight),
            None if score is None else score.distances(outputs),
        )

    def finish(
        self, prepared: Prepared, tiles: TileReadings, seen: SeenField | None = None
    ) -> Finding:
        """The finding on a field from what was read of ALL its tiles, in the plan's order."""
        if len(tiles.logits) != prepared.count:
            raise ValueError(f"{len(tiles.logits)} outputs for {prepared.count} tiles")
        card = self.bundle.card
        logits = pool(tiles.logits, prepared.weights)
        distance, percentile, threshold = self._foreignness(prepared, tiles)
        evidence = Evidence(
            probabilities=calibrated(logits, card.calibration.temperature),
            ood_distance=distance,
            ood_threshold=threshold,
            ood_percentile=percentile,
            white_cells=None if seen is None else seen.white_cells,
        )
        class_map = None
        if tiles.class_maps is not None:
            class_map = field_map(tiles.class_maps, prepared.plan)
        return Finding(
            decision=decide(evidence, card.classes, card.thresholds),
            tiles=prepared.count,
            ood_percentile=percentile,
            ood_distance=distance,
            class_map=class_map,
            seen=seen,
            white_cell_boxes=None if seen is None else self._ordered(seen, prepared, class_map),
        )

    def _ordered(
        self, seen: SeenField, prepared: Prepared, class_map: NDArray[np.float32] | None
    ) -> tuple[Box, ...] | None:
        if class_map is None:
            return largest_nucleus_first(seen)
        plan, field_px = prepared.plan, prepared.field.shape
        return most_evidence_first(
            seen,
            acute_evidence(class_map, [c.meaning for c in self.bundle.card.classes]),
            field_px=(field_px[0], field_px[1]),
            pads_px=(plan.pad_top_px, plan.pad_left_px),
            padded_px=(plan.tops[-1] + plan.tile_height_px, plan.lefts[-1] + plan.tile_width_px),
        )

    def _foreignness(
        self, prepared: Prepared, tiles: TileReadings
    ) -> tuple[float, float, float] | tuple[None, None, None]:
        ood = self.bundle.card.ood
        if tiles.distances is None or ood is None:
            return None, None, None
        distance = float(pool(tiles.distances, prepared.weights))
        return distance, percentile_of(distance, ood.percentiles), ood.threshold


def acute_evidence(
    class_map: NDArray[np.float32], meanings: Sequence[Meaning]
) -> NDArray[np.float32]:
    """h,w: by how much the strongest leukemia class leads the strongest other one, place by place.

    Acute classes where the bundle has any, else the chronic ones.
    """
    wanted = Meaning.ACUTE if Meaning.ACUTE in meanings else Meaning.CHRONIC
    numbers = [k for k, meaning in enumerate(meanings) if meaning is wanted]
    others = [k for k in range(len(meanings)) if k not in numbers]
    if not numbers or not others:
        return np.asarray(class_map.max(axis=0), np.float32)
    lead = class_map[numbers].max(axis=0) - class_map[others].max(axis=0)
    return np.asarray(lead, np.float32)
