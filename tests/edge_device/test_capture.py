"""One shot to one capture: `gate_override` marks what the gate would have rejected, and nothing else."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_device.cameras.shots import Shot
from edge_device.capture import Pipeline
from edge_device.outbox.rows import NewCapture
from edge_device.settings import EdgeSettings
from service_runtime.broker_settings import BrokerSettings
from wire_protocol.json_messages import Reason


def capture(content: bytes, tmp_path: Path, *, enabled: bool, override: bool) -> NewCapture:
    settings = EdgeSettings.model_validate(
        {
            "site": "lab",
            "device": "scope-1",
            "data_dir": tmp_path,
            "camera": {"kind": "folder", "folder": tmp_path},
            "gate": {"enabled": enabled, "override": override},
            "broker": BrokerSettings(username="edge-scope-1"),
        }
    )
    shot = Shot("field", "field", content)
    return Pipeline(settings).prepare(shot, scheduled_ns=1).capture


def blurred(field: bytes) -> bytes:
    image = cv2.imdecode(np.frombuffer(field, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    done, data = cv2.imencode(".png", cv2.GaussianBlur(image, (0, 0), 8))
    assert done
    return data.tobytes()


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("override", [True, False])
def test_only_what_the_gate_would_have_rejected_is_marked_as_sent_anyway(
    tmp_path: Path, fields: list[bytes], enabled: bool, override: bool
) -> None:
    good = capture(fields[0], tmp_path, enabled=enabled, override=override)
    assert (good.refusal, good.gate_override) == (None, False)
    bad = capture(blurred(fields[0]), tmp_path, enabled=enabled, override=override)
    assert bad.gate_override is (enabled and override)
    assert (bad.refusal is not None) is (enabled and not override)


def test_no_override_sends_what_is_no_image(tmp_path: Path) -> None:
    text = capture(b"this is no image", tmp_path, enabled=True, override=True)
    assert text.refusal is not None and text.refusal.reason is Reason.DECODE
    assert text.gate_override is False


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (7, 3), (31, 33), (64, 64), (3000, 2)])
@pytest.mark.parametrize("fill", [0, 255, None])
def test_no_picture_however_odd_stops_the_pipeline(
    tmp_path: Path, size: tuple[int, int], fill: int | None
) -> None:
    settings = EdgeSettings.model_validate(
        {
            "site": "lab",
            "device": "scope-1",
            "data_dir": tmp_path,
            "camera": {"kind": "simulated"},
            "flat_field": {"min_frames": 2, "keep_raw": True},
            "um_per_px": "estimate",
            "broker": BrokerSettings(username="edge-scope-1"),
        }
    )
    pipeline = Pipeline(settings, is_live=True, reads_codes=True)
    noise = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    pixels = noise if fill is None else np.full_like(noise, fill)
    for n in range(4):
        prepared = pipeline.prepare(Shot("field", f"{n}", pixels.copy()), scheduled_ns=1)
        assert (prepared.capture.width_px, prepared.capture.height_px) == (size[1], size[0])
        assert prepared.capture.content is not None
