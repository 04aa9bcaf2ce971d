"""Every strange file works, with its conversion said, or gets a named refusal.

Longer than most: it is the list of strange files.
"""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from cloud_worker.decode import DecodeLimits, DecodeRefused, decode, decode_image
from cloud_worker.refusal import Refusal
from cloud_worker.settings import WorkerSettings
from edge_device.encoding.encode import EncodeSettings
from service_runtime.broker_settings import BrokerSettings
from wire_protocol.image_header import Encoding, read_header
from wire_protocol.json_messages import Reason


def smooth(height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 4 % 256, y * 5 % 256, (x + y) * 2 % 256], axis=2).astype(np.uint8)


def saved(picture: Image.Image, encoding: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, encoding, **options)
    return file.getvalue()


def jpeg(**options: object) -> bytes:
    return saved(Image.fromarray(smooth()), "JPEG", quality=90, **options)


def png() -> bytes:
    return saved(Image.fromarray(smooth()), "PNG")


def refused(
    data: bytes, limits: DecodeLimits | None = None, *, reason: Reason = Reason.DECODE
) -> str:
    with pytest.raises(DecodeRefused) as caught:
        decode_image(data, limits or DecodeLimits())
    assert caught.value.refusal.reason is reason
    assert caught.value.refusal.text.endswith(".")
    return caught.value.refusal.text


def test_png_pixels_come_back_exactly() -> None:
    decoded = decode_image(png())
    assert np.array_equal(decoded.rgb, smooth())
    assert decoded.encoding is Encoding.PNG and decoded.converted == ""


@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_pixels_are_those_pillow_decodes(progressive: bool) -> None:
    data = jpeg(progressive=progressive)
    decoded = decode_image(data)
    with Image.open(io.BytesIO(data)) as picture:
        expected = np.asarray(picture.convert("RGB"))
    assert np.abs(decoded.rgb.astype(int) - expected).max() <= 2
    assert decoded.encoding is Encoding.JPEG and decoded.converted == ""


@pytest.mark.parametrize("encoding", ["JPEG", "PNG"])
def test_a_grey_image_becomes_rgb_and_says_so(encoding: str) -> None:
    grey = smooth()[:, :, 0]
    decoded = decode_image(saved(Image.fromarray(grey), encoding))
    assert decoded.converted == "grey to RGB" and decoded.rgb.shape == (48, 64, 3)
    assert np.array_equal(decoded.rgb[:, :, 0], decoded.rgb[:, :, 2])


def test_a_one_bit_png_becomes_black_and_white() -> None:
    decoded = decode_image(saved(Image.fromarray(smooth()[:, :, 0]).convert("1"), "PNG"))
    assert set(np.unique(decoded.rgb)) == {0, 255}


def test_a_palette_png_is_expanded() -> None:
    picture = Image.fromarray(smooth()).quantize(16)
    decoded = decode_image(saved(picture, "PNG"))
    assert np.array_equal(decoded.rgb, np.asarray(picture.convert("RGB")))


def test_transparency_is_laid_over_white() -> None:
    rgba = np.dstack([smooth(), np.full((48, 64), 255, np.uint8)])
    rgba[:10, :, 3] = 0
    rgba[10:20, :, 3] = 128
    decoded = decode_image(saved(Image.fromarray(rgba), "PNG"))
    assert decoded.converted == "transparency over white"
    assert (decoded.rgb[:10] == 255).all()
    assert np.array_equal(decoded.rgb[20:], smooth()[20:])
    half = smooth()[10:20] * (128 / 255) + 255 * (127 / 255)
    assert np.abs(decoded.rgb[10:20] - half).max() <= 1


def test_grey_with_alpha_works() -> None:
    picture = Image.fromarray(smooth()).convert("LA")
    decoded = decode_image(saved(picture, "PNG"))
    assert decoded.rgb.shape == (48, 64, 3) and "grey to RGB" in decoded.converted


@pytest.mark.parametrize("channels", [1, 3])
def test_a_16_bit_png_keeps_its_upper_bits_and_says_so(channels: int) -> None:
    deep = smooth().astype(np.uint16)[:, :, :channels] * 257
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
    header = struct.pack(">IIBBBBB", 64, 48, 16, 0 if channels == 1 else 2, 0, 0, 0)
    data = made_png([(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")])
    decoded = decode_image(data)
    assert "16 bits to 8" in decoded.converted
    assert np.array_equal(decoded.rgb[:, :, :channels], smooth()[:, :, :channels])


def made_png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    parts = [b"\x89PNG\r\n\x1a\n"]
    for name, body in chunks:
        crc = zlib.crc32(body, zlib.crc32(name))
        parts.append(struct.pack(">I4s", len(body), name) + body + struct.pack(">I", crc))
    return b"".join(parts)


def test_a_cmyk_jpeg_is_refused_by_name() -> None:
    assert "CMYK" in refused(saved(Image.fromarray(smooth()).convert("CMYK"), "JPEG"))


def test_text_named_jpg_and_an_empty_file_are_refused() -> None:
    assert "no image" in refused(b"Dear colleague, please find attached")
    assert "empty" in refused(b"")


@pytest.mark.parametrize("encoding", ["TIFF", "BMP", "GIF"])
def test_other_formats_are_refused_by_name(encoding: str) -> None:
    assert f"{encoding} is not read" in refused(saved(Image.fromarray(smooth()), encoding))


def test_webp_pixels_come_back_exactly_or_as_pillow_decodes_them() -> None:
    picture = Image.fromarray(smooth())
    exact = decode_image(saved(picture, "WebP", lossless=True))
    assert exact.encoding is Encoding.WEBP and exact.converted == ""
    assert np.array_equal(exact.rgb, smooth())
    lossy = saved(picture, "WebP", quality=80)
    with Image.open(io.BytesIO(lossy)) as opened:
        expected = np.asarray(opened.convert("RGB"))
    assert np.abs(decode_image(lossy).rgb.astype(int) - expected).max() <= 2


@pytest.mark.parametrize("options", [{"lossless": True, "exact": True}, {"quality": 90}])
def test_transparency_of_a_webp_is_laid_over_white(options: dict[str, object]) -> None:
    rgba = np.dstack([smooth(), np.full((48, 64), 255, np.uint8)])
    rgba[:16, :, 3] = 0
    decoded = decode_image(saved(Image.fromarray(rgba), "WebP", **options))
    assert decoded.converted == "transparency over white"
    assert (decoded.rgb[:15] == 255).all() and not (decoded.rgb[20:] == 255).all()


def test_an_animated_webp_is_refused_by_name() -> None:
    frames = [Image.fromarray(smooth()), Image.fromarray(smooth()[::-1])]
    data = saved(frames[0], "WebP", save_all=True, append_images=frames[1:], lossless=True)
    assert "an animated WebP holds no one picture" in refused(data)


def test_a_webp_bomb_and_a_webp_cut_short_are_refused_by_their_headers() -> None:
    side = (16_382 | 16_382 << 14).to_bytes(4, "little")
    body = b"WEBPVP8L" + struct.pack("<I", 5) + b"\x2f" + side + b"\0"
    bomb = b"RIFF" + struct.pack("<I", len(body)) + body
    assert "16383 x 16383" in refused(bomb, reason=Reason.TOO_LARGE)
    whole = saved(Image.fromarray(smooth()), "WebP", lossless=True)
    assert "cut short" in refused(whole[:-9])


def test_a_webp_that_is_damaged_inside_gets_an_answer() -> None:
    whole = saved(Image.fromarray(smooth()), "WebP", lossless=True)
    for at in range(30, len(whole), 7):
        damaged = bytearray(whole)
        damaged[at] ^= 0x55
        assert isinstance(decode(bytes(damaged)), np.ndarray | Refusal)


def test_a_decompression_bomb_is_refused_by_its_header() -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = made_png([(b"IHDR", header), (b"IDAT", zlib.compress(bytes(10**6))), (b"IEND", b"")])
    text = refused(bomb, reason=Reason.TOO_LARGE)
    assert "60000 x 60000 pixels, at most 64000000 pixels allowed" in text
    large = bytearray(jpeg())
    at = large.index(b"\xff\xc0") + 5
    large[at : at + 4] = struct.pack(">HH", 65_000, 65_000)
    assert "65000 x 65000" in refused(bytes(large), reason=Reason.TOO_LARGE)


def test_a_text_chunk_bomb_is_never_unpacked() -> None:
    bomb = (b"zTXt", b"x\0\0" + zlib.compress(bytes(50_000_000)))
    whole = png()
    with_bomb = whole[:33] + made_png([bomb])[8:] + whole[33:]
    assert np.array_equal(decode_image(with_bomb).rgb, smooth())


def test_a_png_whose_pixels_end_early_is_refused() -> None:
    header = struct.pack(">IIBBBBB", 640, 640, 8, 2, 0, 0, 0)
    short = made_png([(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")])
    assert "cannot be decoded" in refused(short)


@pytest.mark.parametrize("share", [0.0001, 0.02, 0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("make", [jpeg, png])
def test_a_file_cut_short_is_refused(share: float, make: type) -> None:
    data: bytes = make()
    text = refused(data[: max(2, int(len(data) * share))])
    assert "cut short" in text or "no image" in text


def test_a_jpeg_cut_short_with_a_whole_thumbnail_in_its_exif_is_refused() -> None:
    whole = jpeg()
    exif = b"Exif\0\0" + jpeg()
    app1 = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    with_thumbnail = whole[:2] + app1 + whole[2:]
    assert np.array_equal(decode_image(with_thumbnail).rgb, decode_image(whole).rgb)
    assert "cut short" in refused(with_thumbnail[:-100])


def test_bytes_behind_the_end_of_an_image_do_no_harm() -> None:
    assert np.array_equal(decode_image(jpeg() + bytes(100)).rgb, decode_image(jpeg()).rgb)
    assert np.array_equal(decode_image(png() + b"trailer").rgb, smooth())


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_exif_orientation_does_not_rotate(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(decode_image(jpeg(exif=exif)).rgb, decode_image(jpeg()).rgb)
    turned = saved(Image.fromarray(smooth()), "PNG", exif=exif)
    assert np.array_equal(decode_image(turned).rgb, smooth())


def test_a_damaged_png_is_refused_by_its_checksum() -> None:
    data = bytearray(png())
    data[len(data) // 2] ^= 0x10
    assert "damaged" in refused(bytes(data))


def test_limits_on_bytes_and_sides() -> None:
    small = DecodeLimits(max_bytes=10)
    assert "at most 10 allowed" in refused(png(), small, reason=Reason.TOO_LARGE)
    tiny = saved(Image.fromarray(smooth(4, 64)), "PNG")
    assert "at least 16 needed" in refused(tiny)


def test_a_jpeg_of_very_many_scans_is_refused() -> None:
    data = jpeg(progressive=True)
    start = data.index(b"\xff\xda")
    assert "scans" in refused(data[:start] + data[start:-2] * 60 + b"\xff\xd9")


@given(st.binary(max_size=400), st.sampled_from(["jpeg", "png", "none"]), st.integers(0, 700))
def test_any_bytes_are_decoded_or_refused(noise: bytes, kind: str, at: int) -> None:
    base = {"jpeg": jpeg(), "png": png(), "none": b""}[kind]
    data = base[:at] + noise + base[at + len(noise) :]
    try:
        decoded = decode_image(data)
    except DecodeRefused:
        return
    assert decoded.rgb.dtype == np.uint8 and decoded.rgb.shape[2] == 3


def test_decode_gives_pixels_or_a_refusal_as_values() -> None:
    assert np.array_equal(decode(bytearray(png())), smooth())  # type: ignore[arg-type]  # pixels
    refusal = decode(bytearray(jpeg()[:500]))
    assert isinstance(refusal, Refusal) and refusal.reason is Reason.DECODE


def test_the_header_tells_what_is_inside() -> None:
    header = read_header(jpeg())
    assert (header.width_px, header.height_px, header.channels, header.bits) == (64, 48, 3, 8)


def test_what_a_device_takes_by_default_a_worker_decodes_by_default() -> None:
    broker = BrokerSettings(username="worker")
    limits = WorkerSettings(archive_url="archive", broker=broker).limits
    assert limits.max_pixels == DecodeLimits().max_pixels == EncodeSettings().max_pixels
    assert EncodeSettings().max_bytes <= DecodeLimits().max_bytes
