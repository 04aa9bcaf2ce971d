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
    #: None where the bytes could not be decoded.
    seen: SeenField | None = None


def open_image(data: bytes | bytearray, request: OpenRequest) -> Opened:
    """Decodes, makes the thumbnail and prepares; every refusal is a value."""
    rgb = decode(data, request.limits)
    if isinstance(rgb, Refusal):
        return Opened(None, rgb)
    thumbnail = make_thumbnail(rgb, request.image_id)
    prepared, seen = prepare_counted(
        rgb, request.um_per_px, request.preprocessing, count=request.count_white_cells
    )
    return Opened(thumbnail, prepared, seen)


def prepare_counted(
    rgb: NDArray[np.uint8], um_per_px: float | None, to: Preprocessing, *, count: bool
) -> tuple[Prepared | Refusal, SeenField]:
    """The field and its white cells; without any white cell no network is asked."""
    seen = look_at(rgb, um_per_px, count=count)
    prepared = prepare(rgb, um_per_px, to)
    if isinstance(prepared, Prepared):
        prepared = too_few_white_cells(seen.white_cells) or prepared
    return prepared, seen
