"""From an image's bytes to its thumbnail and its field ready for the network; pure, in any process."""

from __future__ import annotations

from dataclasses import dataclass

from cloud_worker.decode import DecodeLimits, decode
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


@dataclass(frozen=True, slots=True)
class Opened:
    """What is left of an image when its bytes are gone."""

    #: None where the bytes could not be decoded.
    thumbnail: bytes | None
    #: Why the network will not see it, where it will not.
    prepared: Prepared | Refusal


def open_image(data: bytes | bytearray, request: OpenRequest) -> Opened:
    """Decodes, makes the thumbnail and prepares; every refusal is a value."""
    rgb = decode(data, request.limits)
    if isinstance(rgb, Refusal):
        return Opened(None, rgb)
    thumbnail = make_thumbnail(rgb, request.image_id)
    return Opened(thumbnail, prepare(rgb, request.um_per_px, request.preprocessing))
