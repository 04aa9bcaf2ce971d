"""How uneven the empty background of a frame is, measured apart from how it is learned; it corrects nothing.

The measure: standard deviation over mean of the background after a heavy blur, per channel, and the
root mean square of the three. The background is chosen once, on the raw frame, by another rule than
learning's (which ranks pixels within tiles and fits a polynomial), so that neither flatters the
other. At a width of about 360 px a pixel is background where
- it is at least as bright as the mean of its surroundings (a square of a fifth of the width; cells
  are darker than what is between them), within 1 %, and at most 15 % brighter (glints, halos);
- no steep step is within 2 px: cells have rims, the light has none.
The blur is a Gaussian of 1/24 of the width over those pixels alone; where fewer than 5 % of its
weight lies on background, nothing is measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge_device.flat_field.background import Pixels

_WORK_WIDTH_PX = 360
_SURROUNDINGS = 5
_BLUR = 24
_LEAST_WEIGHT = 0.05
#: Steps over this many times the median step are rims, and at least this share of the level.
_STEEP, _LEAST_STEP = 2.5, 0.015

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Evenness:
    """The background after the blur: per channel std/mean (B G R), their rms, and the mean level."""

    per_channel: tuple[float, float, float]
    unevenness: float
    level: tuple[float, float, float]
    #: Share of the frame where the blur found background.
    measured: float


def background_mask(raw: Pixels) -> Mask:
    """Background pixels of a raw frame, at the working size (rows, columns)."""
    grey = cv2.GaussianBlur(_small(raw).mean(axis=2), (0, 0), 1.0)
    side = (grey.shape[1] // _SURROUNDINGS) | 1
    around = cv2.blur(grey, (side, side), borderType=cv2.BORDER_REFLECT)
    ratio = grey / around
    across, down = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    step = cv2.magnitude(across, down) / (8 * around)
    steep = (step > max(_STEEP * float(np.median(step)), _LEAST_STEP)).astype(np.uint8)
    near = cv2.dilate(steep, np.ones((5, 5), np.uint8)) > 0
    return np.asarray((ratio > 0.99) & (ratio < 1.15) & ~near, np.bool_)


def blurred_background(bgr: Pixels, mask: Mask) -> tuple[npt.NDArray[np.float32], Mask]:
    """The background after the blur (working size), and where there is enough of it."""
    small = _small(bgr)
    sigma = small.shape[1] / _BLUR
    weight = mask.astype(np.float32)
    blurred_weight = cv2.GaussianBlur(weight, (0, 0), sigma)
    blurred = cv2.GaussianBlur(small * weight[:, :, None], (0, 0), sigma)
    blurred = blurred / np.maximum(blurred_weight, 1e-6)[:, :, None]
    return np.asarray(blurred, np.float32), np.asarray(blurred_weight > _LEAST_WEIGHT, np.bool_)


def evenness(bgr: Pixels, mask: Mask) -> Evenness:
    """The measure, of a frame raw or corrected, with the mask of its raw frame."""
    blurred, enough = blurred_background(bgr, mask)
    places = blurred[enough]
    if len(places) == 0:
        return Evenness((0.0, 0.0, 0.0), 0.0, (0.0, 0.0, 0.0), 0.0)
    mean = places.mean(axis=0)
    per_channel = places.std(axis=0) / mean
    rms = float(np.sqrt(np.mean(np.square(per_channel))))
    return Evenness(_three(per_channel), rms, _three(mean), float(enough.mean()))


def _three(values: npt.NDArray[np.float32]) -> tuple[float, float, float]:
    blue, green, red = (float(value) for value in values)
    return blue, green, red


def _small(bgr: Pixels) -> npt.NDArray[np.float32]:
    factor = max(1, round(bgr.shape[1] / _WORK_WIDTH_PX))
    size = (bgr.shape[1] // factor, bgr.shape[0] // factor)
    cut = bgr[: size[1] * factor, : size[0] * factor]
    return cv2.resize(cut, size, interpolation=cv2.INTER_AREA).astype(np.float32)
