"""Image files and settings that the device's tests share; pictures come from the simulator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from broker_config.local import LocalBroker, edge_username
from edge_device.settings import EdgeSettings
from edge_device.simulator import draw_slide, encode_field, render_field

MakeImages = Callable[..., list[Path]]


@pytest.fixture(scope="session")
def fields() -> list[bytes]:
    """Six different rendered fields as JPEG files' bytes."""
    return [
        encode_field(render_field(draw_slide(n), "ALL", n, width_px=240, height_px=180), 90)
        for n in range(6)
    ]


@pytest.fixture
def make_images(fields: list[bytes]) -> MakeImages:
    """Writes `count` sharp image files into a folder; no two have the same bytes."""

    def make(folder: Path, count: int) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for n in range(count):
            path = folder / f"image-{n:04d}.jpg"
            image = cv2.imdecode(np.frombuffer(fields[n % len(fields)], np.uint8), cv2.IMREAD_COLOR)
            assert image is not None
            image[0, n % image.shape[1]] = n // image.shape[1]
            done, data = cv2.imencode(".png", image)
            assert done
            path = path.with_suffix(".png")
            path.write_bytes(data.tobytes())
            paths.append(path)
        return paths

    return make


@pytest.fixture
def edge_settings(tmp_path: Path) -> Callable[..., EdgeSettings]:
    """Settings of one device at a running broker; keyword arguments replace top-level tables."""

    def make(
        broker: LocalBroker, images: Path, device: str = "scope-1", **changes: object
    ) -> EdgeSettings:
        values: dict[str, object] = {
            "site": "lab",
            "device": device,
            "data_dir": tmp_path / device,
            "camera": {"kind": "folder", "folder": images, "settle_s": 0},
            "outbox": {"min_free_bytes": 0},
            "broker": broker.settings(edge_username(device)),
        }
        return EdgeSettings.model_validate(values | changes)

    return make
