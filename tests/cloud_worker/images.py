"""Images and manifests for the worker's tests: simulated fields, real ones where they are at hand."""

from __future__ import annotations

import hashlib
import itertools
import os
import secrets
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from service_runtime.boot import boot_id, monotonic_ns, wall_time
from wire_protocol.manifest import ContentType, Manifest

_SEQ = itertools.count(1)
OUTBOX_ID = secrets.token_hex(16)


def a_manifest(data: bytes, **changes: Any) -> Manifest:
    """A manifest of these bytes with a new image id; sizes in pixels are not looked at here."""
    facts: dict[str, Any] = {
        "image_id": secrets.token_hex(16),
        "outbox_id": OUTBOX_ID,
        "seq": next(_SEQ),
        "sha256": hashlib.sha256(data).hexdigest(),
        "size_bytes": len(data),
        "content_type": ContentType.PNG if data[:4] == b"\x89PNG" else ContentType.JPEG,
        "width_px": 320,
        "height_px": 240,
        "um_per_px": 0.1,
        "case_id": "C7F3K2",
        "captured_at": wall_time(),
        "clock_synced": False,
        "captured_ns": monotonic_ns(),
        "boot_id": boot_id(),
    }
    return Manifest(**(facts | changes))


def a_field(seed: int = 0, width: int = 320, height: int = 240) -> NDArray[np.uint8]:
    """A quick stand-in for a stained field, H,W,3 RGB: pale ground, pink discs, violet nuclei."""
    rng = np.random.default_rng(seed)
    field = np.full((height, width, 3), (235, 225, 220), np.uint8)
    for _ in range(60):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.circle(field, centre, int(rng.integers(12, 18)), (222, 160, 160), -1)
    for _ in range(6):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.circle(field, centre, int(rng.integers(18, 28)), (110, 60, 150), -1)
    noise = rng.normal(0, 4, field.shape)
    return np.clip(field + noise, 0, 255).astype(np.uint8)


def jpeg(rgb: NDArray[np.uint8], quality: int = 90) -> bytes:
    """RGB (or grey) pixels as a JPEG file."""
    return _encode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, quality])


def png(rgb: NDArray[Any]) -> bytes:
    """RGB (or RGBA, grey, 16-bit) pixels as a PNG file."""
    return _encode(".png", rgb, [])


def _encode(suffix: str, rgb: NDArray[Any], flags: list[int]) -> bytes:
    if rgb.ndim == 3:
        order = [2, 1, 0, *range(3, rgb.shape[2])]
        rgb = np.ascontiguousarray(rgb[:, :, order])
    done, data = cv2.imencode(suffix, rgb, flags)
    assert done
    return bytes(data)


def real_images(folder: str, count: int) -> list[Path]:
    """The first `count` real images of a folder of HEMOWIRE_REAL_DATA; skips where it is unset."""
    root = os.environ.get("HEMOWIRE_REAL_DATA")
    if not root:
        pytest.skip("HEMOWIRE_REAL_DATA is not set: no real images here")
    found = sorted((Path(root) / folder).rglob("*.jpg"))[:count]
    assert found, f"no images in {folder} of HEMOWIRE_REAL_DATA"
    return found
