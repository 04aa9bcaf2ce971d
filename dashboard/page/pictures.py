"""The archived pictures: their own bytes, crops of their own pixels without loss, and small ones; it changes none.

Bytes are given out only where their sha256 is the recorded one. Crops are lossless WebP of the
decoded picture at full resolution; only the small picture is made anew (JPEG).
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from threading import Lock
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from dashboard.blobs import BlobArchive, BlobDamagedError
from wire_protocol.manifest import MAX_PIXELS

#: Decoded pictures that are kept, by bytes: the crops of a case come from the same few.
KEPT_BYTES: Final = 192 * 1024 * 1024
#: Made crops and small pictures that are kept, by bytes.
MADE_BYTES: Final = 32 * 1024 * 1024
_SMALL_PX: Final = 640
_SMALL_QUALITY: Final = 80
#: OpenCV: above 100 means without loss.
_LOSSLESS: Final = 101

Pixels = NDArray[np.uint8]


class NoPictureError(Exception):
    """There is no picture to show; the message says why, for the person."""


class Pictures:
    """Over one archive; safe to use from several threads."""

    def __init__(self, archive: BlobArchive) -> None:
        self._archive = archive
        self._lock = Lock()
        self._decoding: dict[str, Lock] = {}
        self._decoded: OrderedDict[str, Pixels] = OrderedDict()
        self._made: OrderedDict[tuple[object, ...], bytes] = OrderedDict()

    def original(self, sha256: str) -> bytes:
        """The bytes as they were archived; raises NoPictureError, ArchiveAway."""
        try:
            return self._archive.read(sha256)
        except FileNotFoundError as error:
            raise NoPictureError("the archive does not hold this picture") from error
        except BlobDamagedError as error:
            raise NoPictureError("the archived bytes are not the recorded ones") from error

    def crop(self, sha256: str, x: int, y: int, side_px: int) -> bytes:
        """A square as lossless WebP, moved into the picture; raises as `original`."""
        key = (sha256, x, y, side_px)
        made = self._find(key)
        if made is None:
            pixels = self._pixels(sha256)
            height, width = pixels.shape[:2]
            side = max(1, min(side_px, width, height))
            left, top = min(x, width - side), min(y, height - side)
            cut = pixels[top : top + side, left : left + side]
            made = self._keep(key, _encode(".webp", cut, [cv2.IMWRITE_WEBP_QUALITY, _LOSSLESS]))
        return made

    def small(self, sha256: str) -> bytes:
        """A JPEG of at most 640 px; raises as `original`."""
        key = (sha256,)
        made = self._find(key)
        if made is None:
            pixels = self._pixels(sha256)
            scale = min(1.0, _SMALL_PX / max(pixels.shape[:2]))
            small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            quality = [cv2.IMWRITE_JPEG_QUALITY, _SMALL_QUALITY]
            made = self._keep(key, _encode(".jpg", small.astype(np.uint8, copy=False), quality))
        return made

    def _pixels(self, sha256: str) -> Pixels:
        """Decoded once, however many ask at the same time."""
        with self._lock:
            own = self._decoding.setdefault(sha256, Lock())
        with own:
            with self._lock:
                if sha256 in self._decoded:
                    self._decoded.move_to_end(sha256)
                    return self._decoded[sha256]
            pixels = _decode(self.original(sha256))
            with self._lock:
                self._decoded[sha256] = pixels
                while sum(p.nbytes for p in self._decoded.values()) > KEPT_BYTES:
                    self._decoded.popitem(last=False)
        with self._lock, suppress(KeyError):
            del self._decoding[sha256]
        return pixels

    def _find(self, key: tuple[object, ...]) -> bytes | None:
        with self._lock:
            if key in self._made:
                self._made.move_to_end(key)
            return self._made.get(key)

    def _keep(self, key: tuple[object, ...], made: bytes) -> bytes:
        with self._lock:
            self._made[key] = made
            while sum(map(len, self._made.values())) > MADE_BYTES:
                self._made.popitem(last=False)
        return made


def _decode(data: bytes) -> Pixels:
    """BGR as stored: a turned picture would lose its boxes. Raises NoPictureError."""
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise NoPictureError("the picture cannot be decoded") from error
    if pixels is None or pixels.shape[0] * pixels.shape[1] > MAX_PIXELS:
        raise NoPictureError("the picture cannot be decoded")
    return pixels.astype(np.uint8, copy=False)


def _encode(kind: str, pixels: Pixels, options: list[int]) -> bytes:
    done, data = cv2.imencode(kind, pixels, options)
    if not done:
        raise NoPictureError("the picture cannot be encoded")
    return data.tobytes()
