"""What every camera gives: a shot with the name of its source, or nothing yet, or nothing ever again."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge_device.outbox.rows import Refusal


@dataclass(frozen=True, slots=True)
class Unusable:
    """A source that could not be taken in; it becomes a rejection and not a silent gap."""

    refusal: Refusal
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Shot:
    """One capture. `source` is for people and stays on the device; `source_key` is what makes two
    captures the same one. Pixels are 8-bit RGB (H, W, 3)."""

    source: str
    source_key: str
    content: bytes | npt.NDArray[np.uint8] | Unusable
    #: Where the camera knows its own scale.
    um_per_px: float | None = None


class Nothing(Enum):
    """Why there is no shot."""

    #: Ask again after `poll_s`.
    YET = auto()
    #: The camera is exhausted.
    EVER = auto()


class CameraError(Exception):
    """The camera that the settings name cannot be used; there is no other one instead."""


class Camera(Protocol):
    """A source of shots. Its methods may block and belong to the capture thread."""

    poll_s: float

    def take(self) -> Shot | Nothing:
        """The next shot that was not captured before; raises CameraError where it cannot go on."""
        ...

    def close(self) -> None:
        """Lets the camera go."""
        ...
