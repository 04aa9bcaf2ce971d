"""Pictures for a report: the surest right and the surest wrong answer of each class, with their exact maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training.metrics import Numbers, Probabilities
from wire_protocol.words import class_word, percent

_WIDTH_PX = 320
_QUALITY = 85
_HOT = (255, 150, 0)
"""Orange: no stain of a smear has it."""


@dataclass(frozen=True, slots=True)
class Example:
    """One field as JPEG files, and the words below it."""

    words: str
    true_word: str
    answer_word: str
    picture: bytes
    overlay: bytes | None


def choose(p: Probabilities, labels: Numbers, images: Sequence[int]) -> list[int]:
    """Numbers among `images` (one per row of p): per class its surest right and surest wrong answer."""
    answers, confidence = p.argmax(axis=1), p.max(axis=1)
    chosen = []
    for kind in np.unique(labels):
        for is_right in (True, False):
            own = np.flatnonzero((labels == kind) & ((answers == labels) == is_right))
            if own.size:
                chosen.append(images[int(own[confidence[own].argmax()])])
    return chosen


def make_example(
    field: NDArray[np.uint8],
    class_map: NDArray[np.float32] | None,
    p: NDArray[np.float64],
    label: int,
    keys: Sequence[str],
) -> Example:
    """The field, and over it the map of the largest class where there is one."""
    answer = int(p.argmax())
    true_word, answer_word = class_word(keys[label]), class_word(keys[answer])
    verdict = "right" if answer == label else "wrong"
    words = f"True {true_word}, largest {answer_word} at {percent(float(p[answer]))}: {verdict}"
    overlay = None if class_map is None else _jpeg(overlaid(field, class_map[answer]))
    return Example(words, true_word, answer_word, _jpeg(field), overlay)


def overlaid(field: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The field with what speaks for the class in orange, as strong as its share of the largest."""
    height, width = field.shape[:2]
    share = np.clip(heat / max(float(heat.max()), 1e-6), 0.0, 1.0)
    # The map covers the padded field, which is larger at the top and left.
    whole = cv2.resize(share.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    alpha = 0.65 * whole[..., None]
    mixed = field * (1 - alpha) + np.array(_HOT, np.float32) * alpha
    return np.asarray(np.rint(mixed), np.uint8)


def _jpeg(rgb: NDArray[np.uint8]) -> bytes:
    width = min(_WIDTH_PX, rgb.shape[1])
    height = round(rgb.shape[0] * width / rgb.shape[1])
    small = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
    options = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    return bytes(cv2.imencode(".jpg", small[..., ::-1], options)[1])
