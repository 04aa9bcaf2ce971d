"""The four-class set's own colour segmentation: one hue, saturation and value range for the whole picture.

Its authors' masks (Islam et al. train their fusion on them) are a global HSV threshold, and their files hold
not the masked picture but its hue, saturation and value in place of colours, the hue taken with red and
blue swapped. The values are not published; ours are fitted (authors.json says how, and how well they fit).
It reproduces what they did, faults included: pale nuclei are lost. It does not find white cells.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

_FILE = "authors.json"


class AuthorsThresholds(BaseModel):
    """Ranges, both ends included, in OpenCV's units: hue 0 to 179, saturation and value 0 to 255."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hue: tuple[int, int]
    saturation: tuple[int, int]
    value: tuple[int, int]
    fitted_on: str
    command: str
    mask: str
    """What counted as inside in the authors' files."""
    iou_fitted: dict[str, float]
    iou_held_out: dict[str, float]
    """Per class, all pixels of the class's images together."""


@cache
def authors_thresholds() -> AuthorsThresholds:
    """The fitted thresholds with how they were made."""
    return AuthorsThresholds.model_validate_json(
        files(__package__).joinpath(_FILE).read_text(encoding="utf-8")
    )


def mask_as_authors(rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """H,W: True where the authors' thresholds keep the pixel of an 8-bit RGB image."""
    limits = authors_thresholds()
    ranges = (limits.hue, limits.saturation, limits.value)
    low, high = zip(*ranges, strict=True)
    kept = cv2.inRange(cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV), low, high)
    return np.asarray(kept > 0)


def segment_as_authors(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture as the authors' segmented files hold it when read as RGB, H,W,3.

    Where the mask is, (value, saturation, hue of the picture with red and blue swapped); black elsewhere.
    """
    swapped = cv2.cvtColor(rgb, cv2.COLOR_BGR2HSV)
    swapped[~mask_as_authors(rgb)] = 0
    return np.ascontiguousarray(swapped[:, :, ::-1], np.uint8)
