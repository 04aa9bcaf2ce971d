"""From an image's bytes to its thumbnail, its white cells and its field ready for the network; pure, in any process."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cloud_worker.cells import SeenField, look_at
from cloud_worker.decode import DecodeLimits, decode
from cloud_worker.diagnosis import too_few_white_cells
from cloud_worker.models.card import Preprocessing
from cloud_worker.preprocess import Prepared, prepare
from cloud_worker.refusal import Refusal
from cloud_worker.thumbnail import make_thumbnail


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """All that opening an image needs beside its bytes."""

    image_id: str
    um_per_px: float | None
    preprocessing: Preprocessing
    limits: DecodeLimits
    count_white_cells: bool = True


@dataclass(frozen=True, slots=True)
class Opened:
    """What is left of an image when its bytes are gone."""

    #: None where the bytes could not be decoded.
    thumbnail: bytes | None
    #: Why the network will not see it, where it will not.
    prepared: Prepared | Refusal
    #: None where the bytes could not be decoded, or nobody has looked yet.
    seen: SeenField | None = None


def open_image(data: bytes | bytearray, request: OpenRequest) -> Opened:
    """Decodes, makes the thumbnail, prepares and counts; every refusal is a value."""
    opened, pixels = begin_image(data, request)
    if pixels is None:
        return opened
    seen = look_at(pixels, request.um_per_px, count=request.count_white_cells)
    return Opened(opened.thumbnail, judge_count(opened.prepared, seen), seen)


def begin_image(
    data: bytes | bytearray, request: OpenRequest
) -> tuple[Opened, NDArray[np.uint8] | None]:
    """All but the white cells, and the pixels that they can be counted on meanwhile (`look_at`)."""
    rgb = decode(data, request.limits)
    if isinstance(rgb, Refusal):
        return Opened(None, rgb), None
    thumbnail = make_thumbnail(rgb, request.image_id)
    return Opened(thumbnail, prepare(rgb, request.um_per_px, request.preprocessing)), rgb


def prepare_counted(
    rgb: NDArray[np.uint8], um_per_px: float | None, to: Preprocessing, *, count: bool
) -> tuple[Prepared | Refusal, SeenField]:
    """The field and its white cells; without any white cell no network is asked."""
    seen = look_at(rgb, um_per_px, count=count)
    return judge_count(prepare(rgb, um_per_px, to), seen), seen


def judge_count(prepared: Prepared | Refusal, seen: SeenField) -> Prepared | Refusal:
    """The field as it was prepared, or why its white cells do not do."""
    if isinstance(prepared, Refusal):
        return prepared
    return too_few_white_cells(seen.white_cells) or prepared
