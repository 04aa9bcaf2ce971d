"""What every camera gives: a shot with the name of its source, or nothing yet, or nothing ever again."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from edge_device.outbox.rows import Refusal

#: 8-bit RGB, (H, W, 3).
Pixels = npt.NDArray[np.uint8]
#: The widest preview.
PREVIEW_PX = 800


@dataclass(frozen=True, slots=True)
class Unusable:
    """A source that could not be taken in; it becomes a rejection and not a silent gap."""

    refusal: Refusal
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Sequence:
    """How a picture came about: whether the view had come to rest, and which frame of a burst it is."""

    #: Frames looked at while waiting for rest; 0 where nobody waited.
    waited_frames: int
    is_still: bool
    #: The focus of each frame of the burst; the picture is frame `chosen` (from 0).
    focus: tuple[float, ...]
    chosen: int


@dataclass(frozen=True, slots=True)
class Shot:
    """One capture. `source` is for people and stays on the device; `source_key` is what makes two
    captures the same one."""

    source: str
    source_key: str
    content: bytes | Pixels | Unusable
    #: Where the camera knows its own scale.
    um_per_px: float | None = None
    #: The file's folder relative to `camera.folder`, with forward slashes; "" where there is none.
    folder: str = ""
    #: Of a camera that waits for rest or takes bursts.
    sequence: Sequence | None = None


class Nothing(Enum):
    """Why there is no shot."""

    #: Ask again after `poll_s`.
    YET = auto()
    #: The camera is exhausted.
    EVER = auto()


class CameraError(Exception):
    """The camera that the settings name cannot be used; there is no other one instead."""


def at_most_preview(picture: Pixels) -> Pixels:
    """The picture made no wider than a preview."""
    height, width = picture.shape[:2]
    if width <= PREVIEW_PX:
        return picture
    size = (PREVIEW_PX, max(1, round(height * PREVIEW_PX / width)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


class Camera(Protocol):
    """A source of shots. Its methods may block and belong to the capture thread.

    One over a network (a microscope that serves HTTP) is a live camera like the others: what its
    server does not answer in time is `trouble`, and no name here speaks of a local device.
    """

    poll_s: float
    #: Takes pictures on demand and has a preview; files do not.
    is_live: bool

    @property
    def trouble(self) -> str:
        """Why there is no picture now, in words; "" while all is well. Any thread may ask."""
        ...

    def take(self) -> Shot | Nothing:
        """The next shot that was not captured before; raises CameraError where it cannot go on.

        A live camera takes a picture of now; in trouble it gives YET and goes on trying.
        """
        ...

    def preview(self) -> Pixels | None:
        """What is before the camera, at most PREVIEW_PX wide; None where it has none now."""
        ...

    def close(self) -> None:
        """Lets the camera go."""
        ...
