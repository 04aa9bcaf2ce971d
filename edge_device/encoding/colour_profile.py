"""Whether a file's colour profile is sRGB, from the profile's own numbers; it converts nothing.

The profile never travels (its texts name cameras and people, and the classifier reads pixels as
they are, as its training did). One that is not sRGB is worth a warning: a person who looks at the
picture later sees other colours than the camera's maker meant.
"""

from __future__ import annotations

import struct
from enum import StrEnum
from typing import Final

#: sRGB's primaries, adapted to D50 (IEC 61966-2-1 as ICC profiles give them).
_PRIMARIES: Final = {
    b"rXYZ": (0.4361, 0.2225, 0.0139),
    b"gXYZ": (0.3851, 0.7169, 0.0971),
    b"bXYZ": (0.1431, 0.0606, 0.7141),
}
#: Profiles round, and some adapt otherwise; Adobe RGB and Display P3 are further off than this.
_PRIMARY_TOLERANCE: Final = 0.006
#: sRGB's curve at one half is 0.2140; gamma 2.2 gives 0.2176, gamma 1.8 gives 0.2872.
_HALF: Final = 0.2140
_HALF_TOLERANCE: Final = 0.01
_MOST_TAGS: Final = 256
#: Parameters of each kind of parametric curve.
_PARAMETERS: Final = (1, 3, 4, 5, 7)


class ColourProfile(StrEnum):
    """What a file says of its colours; without a profile everybody takes sRGB."""

    NONE = "none"
    SRGB = "srgb"
    OTHER = "other"


def judge_profile(icc: bytes) -> ColourProfile:
    """SRGB where primaries and curves are sRGB's; OTHER for all else, unreadable ones included."""
    if not icc:
        return ColourProfile.NONE
    try:
        return ColourProfile.SRGB if _is_srgb(icc) else ColourProfile.OTHER
    except (struct.error, ArithmeticError):
        return ColourProfile.OTHER


def _is_srgb(icc: bytes) -> bool:
    tags = _tags(icc)
    if icc[16:20] == b"GRAY":
        return _curve_is_srgb(tags.get(b"kTRC", b""))
    if icc[16:20] != b"RGB ":
        return False
    for name, primary in _PRIMARIES.items():
        found = [v / 65536 for v in struct.unpack_from(">3i", tags.get(name, b""), 8)]
        if max(abs(a - b) for a, b in zip(found, primary, strict=True)) > _PRIMARY_TOLERANCE:
            return False
    return all(_curve_is_srgb(tags.get(name, b"")) for name in (b"rTRC", b"gTRC", b"bTRC"))


def _tags(icc: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", icc, 128)
    tags: dict[bytes, bytes] = {}
    for number in range(min(count, _MOST_TAGS)):
        name, start, size = struct.unpack_from(">4sII", icc, 132 + 12 * number)
        tags[name] = icc[start : start + size]
    return tags


def _curve_is_srgb(curve: bytes) -> bool:
    return abs(_at_half(curve) - _HALF) <= _HALF_TOLERANCE


def _at_half(curve: bytes) -> float:
    """The curve's value at 0.5: a table, a gamma, or a parametric curve (ICC.1, 10.6 and 10.18)."""
    if curve[:4] == b"curv":
        (count,) = struct.unpack_from(">I", curve, 8)
        if count == 0:
            return 0.5
        if count == 1:
            return float(0.5 ** (struct.unpack_from(">H", curve, 12)[0] / 256))
        (value,) = struct.unpack_from(">H", curve, 12 + 2 * round((count - 1) / 2))
        return float(value / 65535)
    if curve[:4] == b"para":
        (kind,) = struct.unpack_from(">H", curve, 8)
        count = _PARAMETERS[kind] if kind < len(_PARAMETERS) else 0
        parameters = [v / 65536 for v in struct.unpack_from(f">{count}i", curve, 12)]
        if not parameters:
            return 0.0
        # Above its linear foot, where 0.5 is, every kind is (a x + b) ** g + an offset.
        a, b = parameters[1:3] if kind else (1.0, 0.0)
        offset = parameters[{2: 3, 4: 5}[kind]] if kind in (2, 4) else 0.0
        return float(max(0.0, a * 0.5 + b) ** parameters[0] + offset)
    return 0.0
