"""What the worker's engine can do by itself, in images of the load; it measures nothing."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import cv2
import numpy as np

from benchmarks.load.pictures import Picture
from benchmarks.load.result import Engine
from benchmarks.load.scenario import Scenario
from cloud_worker.models.bundle import default_bundle, load_bundle
from cloud_worker.preprocess import Prepared, prepare
from wire_protocol.json_messages import Status


def engine_of(
    scenario: Scenario, worker: Status, picture: Picture, alone: Sequence[float | None] = ()
) -> Engine:
    """The engine of a worker that is online; its own speed is the mean of what was measured alone,
    else what the worker measured at its start. It counts tiles a second, a field may be several."""
    tiles = tiles_per_image(scenario, picture)
    found = [one for one in alone if one is not None]
    speed = statistics.fmean(found) if found else worker.images_per_s
    return Engine(
        bundle=worker.bundle,
        engine=worker.engine,
        batch_size=scenario.worker.batch_size,
        tiles_per_image=tiles,
        images_per_s=None if speed is None or tiles is None else speed / tiles,
    )


def tiles_per_image(scenario: Scenario, picture: Picture) -> int | None:
    """Pieces of such a picture that the network sees; None where it sees none."""
    if not scenario.images.classified:
        return None
    name = scenario.worker.bundle
    bundle = default_bundle() if name is None else load_bundle(name)
    rgb = np.asarray(cv2.cvtColor(picture.bgr, cv2.COLOR_BGR2RGB), np.uint8)
    prepared = prepare(rgb, scenario.images.um_per_px, bundle.card.preprocessing)
    return prepared.count if isinstance(prepared, Prepared) else None
