"""Reads the QR code or barcode of a slide's label in a picture; a field costs little, and nothing is guessed.

Read are QR codes, Data Matrix, Code 128, EAN-13 and UPC-A, by zxing-cpp: OpenCV 5.0's QR detector frees
memory twice on some pictures of bars, which ends the program, and knows neither Data Matrix nor Code 128.
A square code, which corrects its errors, goes before bars beside it, which are often the maker's and
have one check digit only: bars count where two looks at the picture read the same and none another.
EAN-8 is left out: parts of longer codes pass for one. Of a code that is seen and cannot be read it is
said so: a picture with a code is a label, readable or not.

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
import zxingcpp

_SQUARES: Final = zxingcpp.BarcodeFormats(
    (zxingcpp.BarcodeFormat.QRCode, zxingcpp.BarcodeFormat.DataMatrix)
)
_SEEN: Final = zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode)
_BARS: Final = zxingcpp.BarcodeFormats(
    (
        zxingcpp.BarcodeFormat.Code128,
        zxingcpp.BarcodeFormat.EAN13,
        zxingcpp.BarcodeFormat.UPCA,
    )
)
_LOOK_WIDTH_PX: Final = 360
_NEAR: Final = np.ones((9, 9), np.uint8)
_INK_TO_PAPER: Final = 0.45
_LEAST_SHARE: Final = 0.002
#: Longer sides of the pictures that are searched, after the picture as it is.
_SEARCHED_PX: Final = (1440, 720)
#: Of the second look at bars.
_SOFTER_PX: Final = 0.8


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
    text = next(filter(None, map(_read_square, pictures)), "") or _read_bars_twice(pictures)
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


def _read_square(grey: Any) -> str:
    """What the one square code says; "" where there is none, or several that differ."""
    texts = set(_read(grey, _SQUARES))
    return texts.pop() if len(texts) == 1 else ""


def _read_bars_twice(pictures: list[Any]) -> str:
    """What two looks agree on, the picture and a softer one at each size; "" on any doubt."""
    seen: Counter[str] = Counter()
    for picture in pictures:
        seen.update(_read(picture, _BARS))
        seen.update(_read(cv2.GaussianBlur(picture, (0, 0), _SOFTER_PX), _BARS))
    return next(iter(seen)) if len(seen) == 1 and seen.total() >= 2 else ""


def _read(grey: Any, formats: zxingcpp.BarcodeFormats) -> list[str]:
    found = zxingcpp.read_barcodes(grey, formats, text_mode=zxingcpp.TextMode.Plain)
    return [code.text for code in found if code.valid and code.text]


def _sees_code(grey: Any) -> bool:
    """By signs that none of the real fields shows; an unreadable Data Matrix would be seen in some."""
    found = zxingcpp.read_barcodes(grey, _SEEN, return_errors=True)
    return bool(found) or bool(
        cv2.QRCodeDetectorAruco().detect(grey)[0] or cv2.barcode.BarcodeDetector().detect(grey)[0]
    )
