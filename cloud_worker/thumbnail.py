"""A small JPEG of a field with the end of its image id burned in, so that no app shows one image
beside another's result; it carries no metadata and no name."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

LONG_SIDE_PX = 320
JPEG_QUALITY = 80
ID_CHARACTERS = 6
_FONT, _SCALE, _THICKNESS = cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1
_MARGIN_PX = 4


def make_thumbnail(rgb: NDArray[np.uint8], image_id: str) -> bytes:
    """H,W,3 uint8 RGB -> JPEG bytes, long side at most 320 px, the id's last 6 characters in it."""
    height, width = rgb.shape[:2]
    factor = min(1.0, LONG_SIDE_PX / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    small = rgb.copy()
    if factor < 1:
        small = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    _burn_in(small, image_id[-ID_CHARACTERS:])
    done, data = cv2.imencode(
        ".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    )
    if not done:
        raise RuntimeError(f"thumbnail of image {image_id} cannot be encoded")
    return bytes(data)


def _burn_in(rgb: NDArray[np.uint8], text: str) -> None:
    """White on a dark plate in the top left corner; shrunk where the picture is narrower."""
    (text_width, text_height), below = cv2.getTextSize(text, _FONT, _SCALE, _THICKNESS)
    scale = min(1.0, rgb.shape[1] / (text_width + 2 * _MARGIN_PX))
    right = round((text_width + 2 * _MARGIN_PX) * scale)
    bottom = round((text_height + below + 2 * _MARGIN_PX) * scale)
    rgb[:bottom, :right] = 20
    at = round(_MARGIN_PX * scale), round((text_height + _MARGIN_PX) * scale)
    cv2.putText(rgb, text, at, _FONT, _SCALE * scale, (255, 255, 255), _THICKNESS, cv2.LINE_AA)
