"""A preview is the whole field, as large as its bytes allow, and nothing but a picture of it."""

from __future__ import annotations

import hashlib

import cv2
import numpy as np
import pytest

from edge_device.encoding.encode import Pixels
from edge_device.encoding.preview import make_preview
from edge_device.simulator import draw_slide, render_field
from wire_protocol.bare_image import bare_jpeg
from wire_protocol.image_header import Encoding, read_header
from wire_protocol.messages import MAX_PREVIEW_BYTES

UM_PER_PX = 0.2


@pytest.fixture(scope="module")
def pixels() -> Pixels:
    """BGR, 1600 x 1200."""
    field = render_field(
        draw_slide(5), "AML", 0, width_px=1600, height_px=1200, um_per_px=UM_PER_PX
    )
    return np.asarray(cv2.cvtColor(field.image, cv2.COLOR_RGB2BGR), np.uint8)


def encoded(suffix: str, pixels: Pixels) -> bytes:
    done, data = cv2.imencode(suffix, pixels)
    assert done
    return bytes(data)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("most_bytes", [4 * 1024, 12 * 1024, MAX_PREVIEW_BYTES])
def test_it_fills_its_bytes_with_the_whole_field(
    pixels: Pixels, suffix: str, most_bytes: int
) -> None:
    made = make_preview(encoded(suffix, pixels), UM_PER_PX, most_bytes)
    assert made is not None
    assert 0.8 * most_bytes < len(made.data) <= most_bytes
    assert made.sha256 == hashlib.sha256(made.data).hexdigest()
    header = read_header(made.data)
    assert (header.encoding, header.width_px, header.height_px) == (
        Encoding.JPEG,
        made.width_px,
        made.height_px,
    )
    assert made.width_px / made.height_px == pytest.approx(4 / 3, rel=0.01)
    assert made.um_per_px * made.width_px == pytest.approx(UM_PER_PX * 1600)
    shown = cv2.imdecode(np.frombuffer(made.data, np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    size = (made.width_px, made.height_px)
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    assert np.abs(np.asarray(shown, np.float32) - small).mean() < 10, "it shows something else"


def test_a_small_image_is_not_enlarged() -> None:
    flat = np.full((200, 300, 3), 210, np.uint8)
    made = make_preview(encoded(".png", flat), UM_PER_PX, MAX_PREVIEW_BYTES)
    assert made is not None
    assert (made.width_px, made.height_px, made.um_per_px) == (300, 200, UM_PER_PX)


def test_it_carries_no_metadata() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (300, 400, 3), np.uint8)
    made = make_preview(encoded(".png", noise), UM_PER_PX, 8 * 1024)
    assert made is not None
    assert bare_jpeg(made.data) == made.data


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_of_what_is_no_picture_none_is_made(data: bytes) -> None:
    assert make_preview(data, UM_PER_PX, MAX_PREVIEW_BYTES) is None


def test_of_an_image_cut_short_none_is_made(
    pixels: Pixels,
) -> None:
    assert make_preview(encoded(".jpg", pixels)[:-2000], UM_PER_PX, MAX_PREVIEW_BYTES) is None
