"""Colour profiles are judged by their numbers; none travels, and one that is not sRGB is said."""

from __future__ import annotations

import io
import random
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from edge_device.encoding.colour_profile import ColourProfile, judge_profile
from edge_device.encoding.encode import Encoded, EncodeSettings, Opened, encode, open_file
from edge_device.encoding.file_facts import read_facts
from wire_protocol.image_header import read_header

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
#: Adobe RGB (1998)'s primaries, adapted to D50.
ADOBE = {
    b"rXYZ": (0.60974, 0.31111, 0.01947),
    b"gXYZ": (0.20528, 0.62567, 0.06087),
    b"bXYZ": (0.14919, 0.06322, 0.74457),
}


def with_tag(profile: bytes, name: bytes, body: bytes) -> bytes:
    """The profile with this tag's content in place of its own, at its end."""
    made = bytearray(profile)
    (count,) = struct.unpack_from(">I", made, 128)
    for at in range(132, 132 + 12 * count, 12):
        if made[at : at + 4] == name:
            struct.pack_into(">II", made, at + 4, len(made), len(body))
    return bytes(made) + body


def adobe_rgb() -> bytes:
    profile = SRGB
    for name, values in ADOBE.items():
        xyz = struct.pack(">3i", *(round(v * 65536) for v in values))
        profile = with_tag(profile, name, b"XYZ \0\0\0\0" + xyz)
    return profile


def with_curve(body: bytes) -> bytes:
    profile = SRGB
    for name in (b"rTRC", b"gTRC", b"bTRC"):
        profile = with_tag(profile, name, body)
    return profile


def gamma(value: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256))


def table(entries: int, power: float) -> bytes:
    values = [round(65535 * (i / (entries - 1)) ** power) for i in range(entries)]
    return b"curv\0\0\0\0" + struct.pack(f">I{entries}H", entries, *values)


def parametric(kind: int, *values: float) -> bytes:
    fixed = [round(value * 65536) for value in values]
    return b"para\0\0\0\0" + struct.pack(f">HH{len(fixed)}i", kind, 0, *fixed)


@pytest.mark.parametrize(
    ("icc", "verdict"),
    [
        (b"", ColourProfile.NONE),
        (SRGB, ColourProfile.SRGB),
        (with_curve(table(1024, 2.2)), ColourProfile.SRGB),
        (with_curve(parametric(0, 2.2)), ColourProfile.SRGB),
        (with_curve(parametric(4, 2.4, 0.948, 0.052, 0.077, 0.04, 0, 0)), ColourProfile.SRGB),
        (adobe_rgb(), ColourProfile.OTHER),
        (with_curve(gamma(1.8)), ColourProfile.OTHER),
        (with_curve(gamma(1.0)), ColourProfile.OTHER),
        (with_curve(b"curv\0\0\0\0\0\0\0\0"), ColourProfile.OTHER),
        (with_curve(parametric(9)), ColourProfile.OTHER),
        (b"not a profile", ColourProfile.OTHER),
        (SRGB[:140], ColourProfile.OTHER),
    ],
)
def test_a_profile_is_judged_by_its_primaries_and_curves(
    icc: bytes, verdict: ColourProfile
) -> None:
    assert judge_profile(icc) is verdict


@pytest.mark.parametrize("seed", range(100))
def test_a_damaged_profile_never_raises(seed: int) -> None:
    rng = random.Random(seed)
    damaged = bytearray(SRGB)
    for _ in range(20):
        damaged[rng.randrange(len(damaged))] = rng.randrange(256)
    assert judge_profile(bytes(damaged)) in ColourProfile


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_file_s_profile_is_told_and_does_not_travel(kind: str) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    large = adobe_rgb() + bytes(100_000)  # in a JPEG over two segments
    for icc, verdict in ((None, "none"), (SRGB, "srgb"), (adobe_rgb(), "other"), (large, "other")):
        out = io.BytesIO()
        Image.fromarray(rgb).save(out, kind, **({"icc_profile": icc} if icc else {}))
        data = out.getvalue()
        facts = read_facts(data, read_header(data).encoding)
        assert facts.profile == verdict
        opened = open_file(data, EncodeSettings())
        assert isinstance(opened, Opened) and opened.profile == verdict
        encoded = encode(opened, EncodeSettings())
        assert isinstance(encoded, Encoded)
        assert Image.open(io.BytesIO(encoded.data)).info.get("icc_profile") is None


def test_a_profile_that_unpacks_to_gigabytes_is_not_unpacked() -> None:
    import zlib

    packed = zlib.compress(bytes(200_000_000), 9)
    body = b"x\0\0" + packed
    chunk = struct.pack(">I", len(body)) + b"iCCP" + body
    chunk += struct.pack(">I", zlib.crc32(b"iCCP" + body))
    out = io.BytesIO()
    Image.new("RGB", (32, 32)).save(out, "PNG")
    whole = out.getvalue()
    data = whole[:33] + chunk + whole[33:]
    assert read_facts(data, read_header(data).encoding).profile is ColourProfile.OTHER
