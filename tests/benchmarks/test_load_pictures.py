"""The images of a load: of the size asked for, each with bytes of its own, and good enough for the gate."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.load.pictures import make_pictures, write_images
from benchmarks.load.scenario import ImageSettings
from edge_device.encoding.encode import Encoded, EncodeSettings, Opened, encode, open_file
from edge_device.gate import Gate, GateSettings


@pytest.mark.parametrize(("size_bytes", "um_per_px"), [(22_000, 0.3), (850_000, 0.2)])
def test_pictures_have_about_their_size_and_pass_the_gate(
    size_bytes: int, um_per_px: float
) -> None:
    settings = ImageSettings(size_bytes=size_bytes, um_per_px=um_per_px, distinct=2)
    gate = Gate(GateSettings())
    for picture in make_pictures(settings, seed=3):
        data = picture.numbered(7)
        assert len(data) == pytest.approx(size_bytes, rel=0.15)
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        verdict = gate.examine(np.asarray(pixels, np.uint8), um_per_px).verdict
        assert verdict.refusal is None


def test_what_two_captures_send_differs_also_without_metadata(tmp_path: Path) -> None:
    pictures = make_pictures(ImageSettings(size_bytes=22_000, distinct=2), seed=3)
    files = write_images(pictures, [40, 25], tmp_path / "cameras", first=1_000_000)
    sent = []
    for path in [path for own in files for path in own]:
        opened = open_file(path.read_bytes(), EncodeSettings())
        assert isinstance(opened, Opened)
        encoded = encode(opened, EncodeSettings())
        assert isinstance(encoded, Encoded)
        sent.append(hashlib.sha256(encoded.data).digest())
    assert len(set(sent)) == len(sent) == 65
