"""Encoding: metadata never travels, pixels stay, and what cannot be read is refused in words.

Longer than most: every format meets every kind of metadata.
"""

from __future__ import annotations

import io
import random
import struct
import zlib
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, JpegImagePlugin, PngImagePlugin

from edge_device.encoding.encode import (
    Encoded,
    EncodeSettings,
    Opened,
    Region,
    crop,
    encode,
    open_file,
    open_pixels,
    reworked,
)
from edge_device.outbox import Refusal
from edge_device.simulator import draw_slide, render_field
from wire_protocol.json_messages import Reason
from wire_protocol.manifest import ContentType

SETTINGS = EncodeSettings()
SECRET = b"Jane Doe 1970"
SERIAL = b"SN-0815-4711"


@pytest.fixture(scope="module")
def field() -> np.ndarray:
    """A rendered field, RGB."""
    return render_field(draw_slide(3), "ALL", 0, width_px=200, height_px=120).image


def with_metadata(field: np.ndarray, kind: str, *, orientation: int = 1, **options: Any) -> bytes:
    """A file as a careless camera writes it: EXIF with a name, a place, a serial number; comment,
    profile, text."""
    exif = Image.Exif()
    exif[0x010E] = SECRET.decode()
    exif[0x0112] = orientation
    gps = exif.get_ifd(0x8825)
    gps[1], gps[2], gps[3], gps[4] = "N", (13.0, 44.0, 11.5), "E", (100.0, 31.0, 41.3)
    inside = exif.get_ifd(0x8769)
    inside[0xA431], inside[0x927C] = SERIAL.decode(), b"Maker" + SECRET
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
    if kind == "WEBP":
        image.save(
            out, kind, exif=exif, icc_profile=b"ICC" + SECRET, xmp=b"<x>" + SECRET, **options
        )
        return out.getvalue() + SECRET
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
        ("WEBP", {"lossless": True}),
        ("WEBP", {"quality": 80}),
    ],
)
def test_metadata_goes_and_pixels_stay_bit_identical(
    field: np.ndarray, kind: str, options: dict[str, Any]
) -> None:
    data = with_metadata(field, kind, **options)
    assert SECRET in data and SERIAL in data
    assert Image.open(io.BytesIO(data)).getexif().get_ifd(0x8825)[2] == (13.0, 44.0, 11.5)
    encoded = encode_file(data, SETTINGS)
    assert isinstance(encoded, Encoded) and encoded.treatment == "stripped"
    for forbidden in (
        SECRET,
        SERIAL,
        b"Exif",
        b"EXIF",
        b"ICC",
        b"XMP",
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
    assert encoded.content_type is ContentType[kind]


def test_stripping_twice_changes_nothing_more(field: np.ndarray) -> None:
    once = encode_file(with_metadata(field, "JPEG"), SETTINGS)
    assert isinstance(once, Encoded)
    twice = encode_file(once.data, SETTINGS)
    assert isinstance(twice, Encoded) and twice.data == once.data


def test_the_colour_transform_of_a_jpeg_is_kept(field: np.ndarray) -> None:
    out = io.BytesIO()
    Image.fromarray(field).save(out, "JPEG", keep_rgb=True)  # Adobe's mark says: not YCbCr
    assert b"Adobe" in out.getvalue()
    encoded = encode_file(out.getvalue(), SETTINGS)
    assert isinstance(encoded, Encoded)
    assert np.array_equal(pixels(encoded.data), pixels(out.getvalue()))


def test_what_every_worker_would_refuse_is_refused_at_once(field: np.ndarray) -> None:
    out = io.BytesIO()
    Image.fromarray(field).convert("CMYK").save(out, "JPEG")
    refusal = encode_file(out.getvalue(), SETTINGS)
    assert isinstance(refusal, Refusal) and "CMYK" in refusal.text
    frames = [Image.fromarray(field), Image.fromarray(field[::-1])]
    out = io.BytesIO()
    frames[0].save(out, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    refusal = encode_file(out.getvalue(), SETTINGS)
    assert isinstance(refusal, Refusal) and refusal.reason is Reason.DECODE
    assert "animated" in refusal.text


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
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_turned_picture_is_set_upright(field: np.ndarray, kind: str, orientation: int) -> None:
    data = with_metadata(field, kind, orientation=orientation, quality=95)
    encoded = encode_file(data, EncodeSettings(format="png"))
    assert isinstance(encoded, Encoded) and encoded.treatment == "turned_and_encoded"
    upright = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)  # applies EXIF itself
    assert upright is not None and np.array_equal(pixels(encoded.data)[:, :, ::-1], upright)
    assert SECRET not in encoded.data and b"eXIf" not in encoded.data


@pytest.mark.parametrize("kind", ["BMP", "TIFF"])
def test_other_formats_are_converted(field: np.ndarray, kind: str) -> None:
    out = io.BytesIO()
    Image.fromarray(field).save(out, kind)
    encoded = encode_file(out.getvalue(), EncodeSettings(format="png"))
    assert isinstance(encoded, Encoded) and encoded.treatment == "converted"
    assert np.array_equal(pixels(encoded.data), field)


@pytest.mark.parametrize("form", ["jpeg", "png", "webp"])
def test_camera_pixels_are_encoded_in_their_colours(field: np.ndarray, form: str) -> None:
    settings = EncodeSettings.model_validate({"format": form, "jpeg_quality": 95})
    encoded = encode(open_pixels(field), settings)
    assert isinstance(encoded, Encoded)
    difference = pixels(encoded.data).astype(int) - field.astype(int)
    assert np.abs(difference.mean(axis=(0, 1))).max() < (1.0 if form == "jpeg" else 1e-9)


@pytest.mark.parametrize("share", [0.0005, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
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
        b"RIFF\x04\0\0\0WEBP",
        b"RIFF\x04\0\0\0WAVE",
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
    webp = b"\x2f" + (16_382 | 16_382 << 14).to_bytes(4, "little")
    webp = b"WEBPVP8L" + struct.pack("<I", len(webp)) + webp + b"\0"
    webp = b"RIFF" + struct.pack("<I", len(webp)) + webp
    assert _reason(encode_file(webp, SETTINGS)) is Reason.TOO_LARGE
    bmp = b"BM" + bytes(16) + struct.pack("<ii", 50_000, 50_000) + bytes(100)
    assert _reason(encode_file(bmp, SETTINGS)) is Reason.TOO_LARGE


@pytest.mark.parametrize("seed", range(200))
def test_a_damaged_file_never_raises(field: np.ndarray, seed: int) -> None:
    rng = random.Random(seed)
    data = bytearray(with_metadata(field, rng.choice(["JPEG", "PNG", "WEBP"])))
    for _ in range(rng.randint(1, 8)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    assert isinstance(encode_file(bytes(data), SETTINGS), Encoded | Refusal)


@pytest.mark.parametrize("form", ["png", "webp"])
@pytest.mark.parametrize("seed", range(4))
def test_formats_without_loss_give_back_every_pixel(form: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (61 + seed, 97, 3), np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3 + seed)
    for rgb in (noise, np.asarray(smooth, np.uint8)):
        encoded = encode(open_pixels(rgb), EncodeSettings.model_validate({"format": form}))
        assert isinstance(encoded, Encoded) and encoded.content_type is ContentType[form.upper()]
        assert np.array_equal(pixels(encoded.data), rgb)


@pytest.mark.parametrize(("chroma", "factors"), [("420", (2, 2)), ("444", (1, 1))])
def test_chroma_is_kept_or_halved_as_asked(
    field: np.ndarray, chroma: str, factors: tuple[int, int]
) -> None:
    settings = EncodeSettings.model_validate({"chroma": chroma})
    encoded = encode(open_pixels(field), settings)
    assert isinstance(encoded, Encoded)
    assert JpegImagePlugin.JpegImageFile(io.BytesIO(encoded.data)).layer[0][1:3] == factors


def test_a_region_of_the_frame_is_what_is_judged_and_sent(field: np.ndarray) -> None:
    region = Region(x=0.25, y=0.5, width=0.5, height=0.25)
    settings = EncodeSettings(format="png", region=region)
    part = field[60:90, 50:150]
    for opened in (open_pixels(field), open_file(with_metadata(field, "PNG"), settings)):
        assert isinstance(opened, Opened)
        cropped = crop(opened, settings)
        assert np.array_equal(cropped.pixels[:, :, ::-1], part)
        encoded = encode(cropped, settings)
        assert isinstance(encoded, Encoded) and encoded.treatment == "cropped_and_encoded"
        assert (encoded.width_px, encoded.height_px) == (100, 30)
        assert np.array_equal(pixels(encoded.data), part) and SECRET not in encoded.data


def test_the_whole_frame_as_a_region_leaves_a_file_as_it_is(field: np.ndarray) -> None:
    settings = EncodeSettings(region=Region())
    opened = open_file(with_metadata(field, "JPEG"), settings)
    assert isinstance(opened, Opened) and crop(opened, settings) is opened


@given(
    x=st.floats(0, 0.999),
    y=st.floats(0, 0.999),
    width=st.integers(1, 50),
    height=st.integers(1, 50),
)
def test_any_region_holds_a_pixel_and_stays_in_the_frame(
    x: float, y: float, width: int, height: int
) -> None:
    region = Region(x=x, y=y, width=(1 - x) or 1e-3, height=min(1e-6, 1 - y))
    rows, columns = region.pixels_of(width, height)
    assert 0 <= rows.start < rows.stop <= height and 0 <= columns.start < columns.stop <= width


@pytest.mark.parametrize("region", [{"x": 0.5, "width": 0.6}, {"height": 0}, {"y": 1.0}])
def test_a_region_outside_of_the_frame_is_a_wrong_setting(region: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"region|height|y"):
        EncodeSettings.model_validate({"region": region})


def test_corrected_pixels_travel_in_place_of_the_file(field: np.ndarray) -> None:
    settings = EncodeSettings(format="webp")
    opened = open_file(with_metadata(field, "JPEG"), settings)
    assert isinstance(opened, Opened)
    assert reworked(opened, opened.pixels) is opened  # nothing was corrected
    brighter = np.minimum(opened.pixels, 240) + np.uint8(10)
    encoded = encode(reworked(opened, brighter), settings)
    assert isinstance(encoded, Encoded) and encoded.treatment == "corrected_and_encoded"
    assert np.array_equal(pixels(encoded.data)[:, :, ::-1], brighter)
    assert SECRET not in encoded.data


def encode_file(data: bytes, settings: EncodeSettings) -> Encoded | Refusal:
    """Opened and encoded."""
    opened = open_file(data, settings)
    return opened if isinstance(opened, Refusal) else encode(opened, settings)


def _reason(result: Encoded | Refusal) -> Reason | None:
    return result.reason if isinstance(result, Refusal) else None
