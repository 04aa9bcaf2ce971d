"""Reads the QR code or barcode of a slide's label in a picture; a field costs little, and nothing is guessed.

Read are QR codes, EAN-13 and UPC-A (OpenCV's detectors; Code 128 and Data Matrix it does not know).
A QR code, which corrects its errors, goes before a barcode beside it, which is often the maker's and
has one check digit only: bars count where two looks at the picture read the same and none another.
EAN-8 is left out: OpenCV takes parts of longer codes for one. Of a code that is seen and cannot be
read it is said so: a picture with a code is a label, readable or not.

The first look asks for ink on paper: places where, within a few pixels of the small picture, all
three colours fall below 45 % of the brightest. Stained nuclei stay bright in blue, so a field has
none, whatever its shading. Only pictures that pass are searched for codes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

_LOOK_WIDTH_PX: Final = 360
_NEAR: Final = np.ones((9, 9), np.uint8)
_INK_TO_PAPER: Final = 0.45
_LEAST_SHARE: Final = 0.002
#: Longer sides of the pictures that are searched, after the picture as it is.
_SEARCHED_PX: Final = (1440, 720)
#: Of the second look at bars.
_SOFTER_PX: Final = 0.8
#: UPC-A; EAN-13 has one more.
_LEAST_DIGITS: Final = 12


class CodeKind(Enum):
    """What was found."""

    #: No code: a field.
    NONE = auto()
    #: A code and what it says; whether that may be a case id is not decided here.
    TEXT = auto()
    #: A code that cannot be read: still a label, and no field.
    UNREADABLE = auto()


@dataclass(frozen=True, slots=True, repr=False)
class CodeRead:
    """`text` may be a name: it goes to `CaseDesk.assign` and nowhere else, no log included."""

    kind: CodeKind
    text: str = ""

    def __repr__(self) -> str:
        return f"CodeRead({self.kind.name})"


#: A picture that is narrower holds no label.
_LEAST_SIDE_PX: Final = 64
NO_CODE: Final = CodeRead(CodeKind.NONE)


def read_code(bgr: npt.NDArray[np.uint8]) -> CodeRead:
    """The code in a picture of shape (H, W, 3), 8-bit BGR."""
    if min(bgr.shape[:2]) < _LEAST_SIDE_PX or not may_hold_code(bgr):
        return NO_CODE
    grey = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
    pictures = _sizes(grey)
    text = next(filter(None, map(_read_qr, pictures)), "") or _read_bars_twice(pictures)
    if text:
        return CodeRead(CodeKind.TEXT, text)
    return CodeRead(CodeKind.UNREADABLE) if any(map(_sees_code, pictures)) else NO_CODE


def may_hold_code(bgr: npt.NDArray[np.uint8]) -> bool:
    """The first look: whether there is enough black beside bright for a code."""
    step = max(1, bgr.shape[1] // (2 * _LOOK_WIDTH_PX))  # skipping pixels first is cheap
    bgr = np.ascontiguousarray(bgr[::step, ::step])
    height, width = bgr.shape[:2]
    if width > _LOOK_WIDTH_PX:
        size = (_LOOK_WIDTH_PX, max(1, height * _LOOK_WIDTH_PX // width))
        bgr = np.asarray(cv2.resize(bgr, size, interpolation=cv2.INTER_AREA), np.uint8)
    brightest = cv2.max(cv2.max(bgr[:, :, 0], bgr[:, :, 1]), bgr[:, :, 2])
    ink = cv2.erode(brightest, _NEAR).astype(np.float32)
    paper = cv2.dilate(brightest, _NEAR).astype(np.float32)
    return bool(np.count_nonzero(ink < _INK_TO_PAPER * paper) >= _LEAST_SHARE * ink.size)


def _sizes(grey: Any) -> list[Any]:
    """The picture and smaller ones: blur and noise vanish in them, and large codes are found."""
    longer = max(grey.shape[:2])
    smaller = [side / longer for side in _SEARCHED_PX if side < longer]
    return [
        *(cv2.resize(grey, None, fx=f, fy=f, interpolation=cv2.INTER_AREA) for f in smaller),
        grey,
    ]


def _read_qr(grey: Any) -> str:
    try:
        return str(cv2.QRCodeDetector().detectAndDecode(grey)[0])
    except (cv2.error, UnicodeDecodeError, SystemError):  # a code of other bytes than text
        return ""


def _read_bars_twice(pictures: list[Any]) -> str:
    """The number that two looks agree on, the picture and a softer one at each size; "" on any doubt."""
    seen: Counter[str] = Counter()
    for picture in pictures:
        seen.update(_read_bars(picture))
        seen.update(_read_bars(cv2.GaussianBlur(picture, (0, 0), _SOFTER_PX)))
    numbers = [number for number in seen if len(number) >= _LEAST_DIGITS]
    return numbers[0] if len(numbers) == 1 and seen[numbers[0]] >= 2 else ""


def _read_bars(grey: Any) -> list[str]:
    try:
        found = cv2.barcode.BarcodeDetector().detectAndDecodeMulti(grey)[1]
    except (cv2.error, UnicodeDecodeError, SystemError):
        return []
    return [text for text in found or () if text]


def _sees_code(grey: Any) -> bool:
    """By the two detectors that saw none in any of the real fields."""
    try:
        return bool(
            cv2.QRCodeDetectorAruco().detect(grey)[0]
            or cv2.barcode.BarcodeDetector().detect(grey)[0]
        )
    except cv2.error:
        return False
