"""Encoding: metadata never travels, pixels stay, and what cannot be read is refused in words."""

from __future__ import annotations

import io
import random
import struct
import zlib
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from edge_device.encode import Encoded, EncodeSettings, Opened, encode, open_file, open_pixels
from edge_device.outbox import Refusal
from edge_device.simulator import draw_slide, render_field
from wire_protocol.json_messages import Reason
from wire_protocol.manifest import ContentType

SETTINGS = EncodeSettings()
SECRET = b"Jane Doe 1970"


@pytest.fixture(scope="module")
def field() -> np.ndarray:
    """A rendered field, RGB."""
    return render_field(draw_slide(3), "ALL", 0, width_px=200, height_px=120).image


def with_metadata(field: np.ndarray, kind: str, *, orientation: int = 1, **options: Any) -> bytes:
    """A file as a careless camera writes it: EXIF with a name and a thumbnail, comment, profile, text."""
    exif = Image.Exif()
    exif[0x010E] = SECRET.decode()
    exif[0x0112] = orientation
    out = io.BytesIO()
    image = Image.fromarray(field)
    if kind == "JPEG":
        image.save(out, kind, exif=exif, comment=SECRET, icc_profile=b"ICC" + SECRET, **options)
        data = out.getvalue()
        thumbnail = b"JFXX\0\x10" + SECRET
        photoshop = b"Photoshop 3.0\0" + SECRET
        extra = b"".join(
            b"\xff" + bytes([m]) + struct.pack(">H", len(body) + 2) + body
            for m, body in (
                (0xE0, thumbnail),
                (0xED, photoshop),
                (0xE1, b"http://ns.adobe.com" + SECRET),
            )
        )
        return data[:2] + extra + data[2:] + b"\xff\xd8trailing" + SECRET
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", SECRET.decode())
    text.add_text("Patient", SECRET.decode(), zip=True)
    text.add_itxt("Title", SECRET.decode())
    image.save(out, kind, exif=exif, pnginfo=text, icc_profile=b"ICC" + SECRET, **options)
    return out.getvalue()


def pixels(data: bytes) -> np.ndarray:
    """Decoded by Pillow, a decoder that the code under test does not use."""
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 90}),
        ("JPEG", {"quality": 85, "progressive": True}),
        ("JPEG", {"quality": 95, "subsampling": 0, "restart_marker_blocks": 3}),
        ("PNG", {}),
    ],
)
def test_metadata_goes_and_pixels_stay_bit_identical(
    field: np.ndarray, kind: str, options: dict[str, Any]
) -> None:
    data = with_metadata(field, kind, **options)
    assert SECRET in data
    encoded = encode_file(data, SETTINGS)
    assert isinstance(encoded, Encoded) and encoded.treatment == "stripped"
    for forbidden in (
        SECRET,
        b"Exif",
        b"ICC",
        b"tEXt",
        b"zTXt",
        b"iTXt",
        b"eXIf",
        b"JFXX",
        b"adobe",
    ):
        assert forbidden not in encoded.data
    opened = Image.open(io.BytesIO(encoded.data))
    opened.load()
    assert (
        not opened.getexif() and "comment" not in opened.info and "icc_profile" not in opened.info
    )
    assert np.array_equal(pixels(encoded.data), pixels(data))
    assert (encoded.width_px, encoded.height_px) == (200, 120)
    assert encoded.content_type is (ContentType.JPEG if kind == "JPEG" else ContentType.PNG)


def test_stripping_twice_changes_nothing_more(field: np.ndarray) -> None:
    once = encode_file(with_metadata(field, "JPEG"), SETTINGS)
    assert isinstance(once, Encoded)
    twice = encode_file(once.data, SETTINGS)
    assert isinstance(twice, Encoded) and twice.data == once.data


def test_the_colour_transform_of_a_cmyk_jpeg_is_kept(field: np.ndarray) -> None:
    out = io.BytesIO()
    Image.fromarray(field).convert("CMYK").save(out, "JPEG")
    encoded = encode_file(out.getvalue(), SETTINGS)
    assert isinstance(encoded, Encoded)
    assert np.array_equal(pixels(encoded.data), pixels(out.getvalue()))


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "I;16", "1"])
def test_png_of_every_kind_keeps_its_samples(field: np.ndarray, mode: str) -> None:
    image = Image.fromarray(field)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    else:
        image = image.convert(mode)
    out = io.BytesIO()
    image.save(out, "PNG")
    encoded = encode_file(out.getvalue(), SETTINGS)
    assert isinstance(encoded, Encoded) and encoded.treatment == "stripped"
    assert np.array_equal(pixels(encoded.data), pixels(out.getvalue()))
    opened = open_file(out.getvalue(), SETTINGS)
    assert isinstance(opened, Opened) and opened.pixels.shape == (120, 200, 3)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_turned_picture_is_set_upright(field: np.ndarray, orientation: int) -> None:
    data = with_metadata(field, "JPEG", orientation=orientation, quality=95)
    encoded = encode_file(data, EncodeSettings(format="png"))
    assert isinstance(encoded, Encoded) and encoded.treatment == "turned_and_encoded"
    upright = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)  # applies EXIF itself
    assert upright is not None and np.array_equal(pixels(encoded.data)[:, :, ::-1], upright)
    assert SECRET not in encoded.data and b"eXIf" not in encoded.data


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "WEBP"])
def test_other_formats_are_converted(field: np.ndarray, kind: str) -> None:
    out = io.BytesIO()
    Image.fromarray(field).save(out, kind, **({"lossless": True} if kind == "WEBP" else {}))
    encoded = encode_file(out.getvalue(), EncodeSettings(format="png"))
    assert isinstance(encoded, Encoded) and encoded.treatment == "converted"
    assert np.array_equal(pixels(encoded.data), field)


@pytest.mark.parametrize("form", ["jpeg", "png"])
def test_camera_pixels_are_encoded_in_their_colours(field: np.ndarray, form: str) -> None:
    settings = EncodeSettings.model_validate({"format": form, "jpeg_quality": 95})
    encoded = encode(open_pixels(field), settings)
    assert isinstance(encoded, Encoded)
    difference = pixels(encoded.data).astype(int) - field.astype(int)
    assert np.abs(difference.mean(axis=(0, 1))).max() < (1.0 if form == "jpeg" else 1e-9)


@pytest.mark.parametrize("share", [0.0005, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_cut_off_file_is_refused(field: np.ndarray, kind: str, share: float) -> None:
    out = io.BytesIO()
    Image.fromarray(field).save(out, kind)
    data = out.getvalue()
    refusal = encode_file(data[: int(len(data) * share)], SETTINGS)
    assert isinstance(refusal, Refusal) and refusal.reason is Reason.DECODE
    assert refusal.text.startswith("Cannot be read as an image")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello, this is text",
        b"%PDF-1.7",
        b"GIF89a" + bytes(100),
        b"BM",
        b"II*\0",
        b"\xff\xd8\xff",
    ],
)
def test_what_is_no_image_is_refused(data: bytes) -> None:
    refusal = encode_file(data, SETTINGS)
    assert isinstance(refusal, Refusal) and refusal.reason is Reason.DECODE


def test_a_png_with_a_damaged_part_is_refused(field: np.ndarray) -> None:
    data = bytearray(with_metadata(field, "PNG"))
    data[data.index(b"IDAT") + 20] ^= 1
    refusal = encode_file(bytes(data), SETTINGS)
    assert isinstance(refusal, Refusal) and refusal.reason is Reason.DECODE


def test_too_many_bytes_or_pixels_are_refused_before_decoding() -> None:
    assert _reason(encode_file(bytes(100), EncodeSettings(max_bytes=99))) is Reason.TOO_LARGE
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )
    assert _reason(encode_file(bomb, SETTINGS)) is Reason.TOO_LARGE
    bmp = b"BM" + bytes(16) + struct.pack("<ii", 50_000, 50_000) + bytes(100)
    assert _reason(encode_file(bmp, SETTINGS)) is Reason.TOO_LARGE


@pytest.mark.parametrize("seed", range(200))
def test_a_damaged_file_never_raises(field: np.ndarray, seed: int) -> None:
    rng = random.Random(seed)
    data = bytearray(with_metadata(field, rng.choice(["JPEG", "PNG"])))
    for _ in range(rng.randint(1, 8)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    assert isinstance(encode_file(bytes(data), SETTINGS), Encoded | Refusal)


def encode_file(data: bytes, settings: EncodeSettings) -> Encoded | Refusal:
    """Opened and encoded."""
    opened = open_file(data, settings)
    return opened if isinstance(opened, Refusal) else encode(opened, settings)


def _reason(result: Encoded | Refusal) -> Reason | None:
    return result.reason if isinstance(result, Refusal) else None
