"""Shares of maps in white cells: as large as what is planted, whatever the network."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cloud_worker.cells.white_cells import find_white_cells
from cloud_worker.engines.engine import open_engine
from cloud_worker.preprocess import Prepared, prepare
from tests.training.evaluation.conftest import Probe
from training.data import read_image
from training.evaluate import answered_of
from training.evaluation.document import MapRow
from training.evaluation.judge import Judged, judge
from training.evaluation.map_places import map_rows

pytestmark = pytest.mark.timeout(300)
"""The probe is fitted and exported first."""


@pytest.fixture(scope="module")
def judged(probe: Probe) -> list[Judged]:
    return judge(probe.bundle, open_engine(probe.bundle, "openvino"), probe.samples)


def rows_of(probe: Probe, judged: list[Judged]) -> tuple[MapRow, ...]:
    one = answered_of(probe.bundle.card, probe.samples, judged)
    return map_rows(probe.bundle, probe.samples, judged, one)


def test_every_class_has_its_share(probe: Probe, judged: list[Judged]) -> None:
    rows = rows_of(probe, judged)
    assert [row.key for row in rows] == [kind.key for kind in probe.bundle.card.classes]
    assert sum(row.images for row in rows) <= len(probe.samples)
    for row in rows:
        assert row.images >= 8
        assert 0 <= row.inside <= 1
        assert 0.02 < row.by_chance < row.of_cells < 1


def planted(probe: Probe, judged: list[Judged], *, on_cells: bool) -> list[Judged]:
    """The same findings with maps that are the cells' area, or everywhere alike."""
    made = []
    for sample, one in zip(probe.samples, judged, strict=True):
        maps = one.finding.class_map
        ready = prepare(read_image(sample.path), sample.um_per_px, probe.bundle.card.preprocessing)
        assert maps is not None and isinstance(ready, Prepared)
        heat: NDArray[np.float32] = np.ones(maps.shape[1:], np.float32)
        if on_cells:
            um_per_px = probe.bundle.card.preprocessing.um_per_px
            cells = find_white_cells(ready.field, um_per_px).mask.astype(np.float32)
            heat = np.asarray(
                cv2.resize(cells, heat.shape[::-1], interpolation=cv2.INTER_AREA), np.float32
            )
        finding = replace(one.finding, class_map=np.stack([heat] * len(maps)))
        made.append(replace(one, finding=finding))
    return made


def test_what_is_planted_is_found(probe: Probe, judged: list[Judged]) -> None:
    for row in rows_of(probe, planted(probe, judged, on_cells=True)):
        assert row.inside == pytest.approx(row.of_cells)
    for row in rows_of(probe, planted(probe, judged, on_cells=False)):
        assert row.inside == pytest.approx(row.by_chance, abs=1e-4)


def test_a_network_without_maps_has_no_row(probe: Probe, judged: list[Judged]) -> None:
    without = [replace(one, finding=replace(one.finding, class_map=None)) for one in judged]
    assert rows_of(probe, without) == ()
