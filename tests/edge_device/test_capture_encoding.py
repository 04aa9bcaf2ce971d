"""From a shot to the bytes that travel: a region is what the gate judges, and lost colours are said."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import structlog
from PIL import Image

from cloud_worker.decode import decode
from cloud_worker.thumbnail import make_thumbnail
from edge_device.cameras.shots import Shot
from edge_device.capture import Pipeline
from edge_device.outbox.rows import NewCapture
from edge_device.settings import EdgeSettings
from service_runtime.broker_settings import BrokerSettings
from wire_protocol.json_messages import Reason
from wire_protocol.manifest import ContentType


def pipeline(tmp_path: Path, **encode: Any) -> Pipeline:
    facts = {
        "site": "lab",
        "device": "scope-1",
        "data_dir": tmp_path,
        "camera": {"kind": "folder", "folder": tmp_path},
        "encode": encode,
        "broker": BrokerSettings(username="edge-scope-1"),
    }
    return Pipeline(EdgeSettings.model_validate(facts))


def prepared(through: Pipeline, content: bytes) -> NewCapture:
    return through.prepare(Shot("field", "field", content), scheduled_ns=1).capture


@pytest.fixture
def half_empty(fields: list[bytes]) -> bytes:
    """A field on the left, nothing but bright ground on the right: three times as wide as a field."""
    left = cv2.imdecode(np.frombuffer(fields[0], np.uint8), cv2.IMREAD_COLOR)
    assert left is not None
    height, width = left.shape[:2]
    ground = np.full((height, 2 * width, 3), 235, np.uint8)
    done, data = cv2.imencode(".png", np.hstack([left, ground]))
    assert done
    return data.tobytes()


@pytest.mark.parametrize("form", ["jpeg", "png", "webp"])
def test_the_gate_judges_the_region_that_is_sent_and_the_worker_reads_it(
    tmp_path: Path, half_empty: bytes, form: str
) -> None:
    cells = prepared(pipeline(tmp_path, format=form, region={"width": 1 / 3}), half_empty)
    assert cells.refusal is None and (cells.width_px, cells.height_px) == (240, 180)
    assert cells.content_type is ContentType[form.upper()] and cells.content is not None
    rgb = decode(cells.content)
    assert isinstance(rgb, np.ndarray) and rgb.shape == (180, 240, 3)
    assert make_thumbnail(rgb, "0" * 32).startswith(b"\xff\xd8")
    ground = prepared(pipeline(tmp_path, format=form, region={"x": 0.5, "width": 0.5}), half_empty)
    assert ground.refusal is not None and ground.refusal.reason is Reason.EMPTY_FIELD


def test_a_profile_of_other_colours_is_dropped_aloud_and_not_at_every_picture(
    tmp_path: Path, fields: list[bytes]
) -> None:
    out = io.BytesIO()
    Image.open(io.BytesIO(fields[0])).save(out, "PNG", icc_profile=b"a profile of no known kind")
    through = pipeline(tmp_path)
    with structlog.testing.capture_logs() as lines:
        for content in [fields[0], *[out.getvalue()] * 5]:
            assert prepared(through, content).refusal is None
    said = [line["count"] for line in lines if line["event"] == "colour_profile_dropped"]
    assert said == [1, 2, 4]
