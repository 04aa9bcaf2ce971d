"""Draws pictures of slide labels as a camera may see them: a code on paper, turned, small, blurred, shaded, noisy."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import zxingcpp

Picture = npt.NDArray[np.uint8]

_LEFT_ODD = ("0001101", "0011001", "0010011", "0111101", "0100011",
             "0110001", "0101111", "0111011", "0110111", "0001011")  # fmt: skip
_PARITY = ("OOOOOO", "OOEOEE", "OOEEOE", "OOEEEO", "OEOOEE",
           "OEEOOE", "OEEEOO", "OEOEOE", "OEOEEO", "OEEOEO")  # fmt: skip


def qr_code(text: str, quiet: int = 4) -> Picture:
    """A QR code, one pixel a module, in a quiet zone."""
    code = cv2.QRCodeEncoder.create().encode(text)
    return np.pad(np.asarray(code, np.uint8), quiet, constant_values=255)


def smudged(code: Picture) -> Picture:
    """The code with a white patch over more of its corner without a finder than it can correct."""
    middle = code.shape[0] // 2
    patched = code.copy()
    patched[middle - 2 : -4, middle - 2 : -4] = 255
    return patched


def printed(text: str, kind: zxingcpp.BarcodeFormat) -> Picture:
    """A code as a label printer makes it, one pixel a module, in a quiet zone."""
    return np.asarray(zxingcpp.create_barcode(text, kind).to_image(), np.uint8)


def ean(digits: str) -> Picture:
    """The bars of an EAN-13 or EAN-8 of 12 or 7 digits, one pixel a module wide, check digit added."""
    weights = (3, 1) if len(digits) == 7 else (1, 3)
    total = sum(int(d) * weights[n % 2] for n, d in enumerate(digits))
    digits += str(-total % 10)
    half = len(digits) // 2
    left = digits[:half] if half == 4 else digits[1:7]
    parity = "O" * 4 if half == 4 else _PARITY[int(digits[0])]
    bits = "101"
    for digit, kind in zip(left, parity, strict=True):
        odd = _LEFT_ODD[int(digit)]
        bits += odd if kind == "O" else _inverted(odd)[::-1]
    bits += "01010"
    bits += "".join(_inverted(_LEFT_ODD[int(digit)]) for digit in digits[-half:]) + "101"
    row = np.array([0 if bit == "1" else 255 for bit in "0" * 10 + bits + "0" * 10], np.uint8)
    return np.repeat(row[None, :], 50, axis=0)


def _inverted(bits: str) -> str:
    return bits.translate(str.maketrans("01", "10"))


@dataclass(frozen=True)
class View:
    """How the camera sees a label."""

    width_px: int = 1440
    height_px: int = 900
    #: Of the code's longer side to the picture's height.
    size: float = 0.5
    turned_deg: float = 0.0
    blur_px: float = 0.8
    #: How dark the darkest corner is, to the brightest place.
    shading: float = 0.6
    noise: float = 3.0
    #: Brightness of ink and paper.
    ink: float = 30.0
    paper: float = 225.0
    tint_bgr: tuple[float, float, float] = (0.92, 0.97, 1.0)
    words: bool = True


def photograph(code: Picture, view: View, seed: int = 0) -> Picture:
    """The label on the stage, 8-bit BGR."""
    rng = np.random.default_rng(seed)
    height, width = view.height_px, view.width_px
    scale = view.size * height / max(code.shape)
    angle = math.radians(view.turned_deg)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    centre = np.array([width / 2 + rng.uniform(-30, 30), height / 2 + rng.uniform(-30, 30)])
    middle = np.array([code.shape[1] / 2, code.shape[0] / 2])
    matrix = np.hstack([turn * scale, (centre - turn @ middle * scale)[:, None]])
    paper = np.full((height, width), 255, np.uint8)
    if view.words:
        for line in range(3):
            place = (40, 60 + 40 * line)
            cv2.putText(paper, "LAB 4 B2", place, cv2.FONT_HERSHEY_SIMPLEX, 1.0, 0, 2)
    big = cv2.resize(code, None, fx=8, fy=8, interpolation=cv2.INTER_NEAREST)
    matrix[:, :2] /= 8
    drawn = cv2.warpAffine(
        big, matrix, (width, height), dst=paper, flags=cv2.INTER_AREA,
        borderMode=cv2.BORDER_TRANSPARENT,
    )  # fmt: skip
    light = view.ink + (view.paper - view.ink) * drawn.astype(np.float32) / 255
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    far = np.hypot(x / width - 0.4, y / height - 0.45) / 0.85
    light *= 1 - (1 - view.shading) * far**2
    picture: npt.NDArray[np.floating] = light[:, :, None] * np.array(view.tint_bgr, np.float32)
    if view.blur_px:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), view.blur_px), np.float32)
    picture = picture + rng.normal(0, view.noise, picture.shape)
    return np.asarray(np.clip(picture, 0, 255), np.uint8)
