"""Simulated fields with the white cell that each pixel belongs to."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_device.simulator import draw_slide, encode_field, field, render_field

CLASSES = ("ALL", "AML", "CLL", "CML", "healthy")
#: Dye above which a pixel is part of a cell that was drawn.
_DYED = 0.12


@dataclass(frozen=True, slots=True)
class TrueField:
    """One field as a camera stores it, and its truth."""

    rgb: NDArray[np.uint8]
    labels: NDArray[np.int32]
    """0, or the white cell's number from 1."""

    @property
    def white_cells(self) -> int:
        return int(self.labels.max())


def true_field(
    seed: int,
    kind: str,
    *,
    um_per_px: float = 0.2,
    size: tuple[int, int] = (640, 480),
    jpeg_quality: int = 85,
    background_only: bool = False,
) -> TrueField:
    """Rendered, stored as JPEG and read again."""
    drawn: list[NDArray[np.float32]] = []
    with pytest.MonkeyPatch.context() as patched:
        if hasattr(field, "paste"):
            _note_what_is_drawn(patched, drawn)
        made = render_field(
            draw_slide(seed),
            kind,
            0,
            width_px=size[0],
            height_px=size[1],
            um_per_px=um_per_px,
            background_only=background_only,
        )
    masks = getattr(made, "masks", None)
    labels = np.zeros(made.image.shape[:2], np.int32)
    if masks is not None:
        labels[:] = masks.white_cells
    for number, dye in enumerate(drawn, 1):
        labels[dye > _DYED] = number
    stored = cv2.imdecode(np.frombuffer(encode_field(made, jpeg_quality), np.uint8), 1)
    assert stored is not None
    return TrueField(np.ascontiguousarray(stored[:, :, ::-1], np.uint8), labels)


def _note_what_is_drawn(patched: pytest.MonkeyPatch, drawn: list[NDArray[np.float32]]) -> None:
    """A simulator that keeps no masks draws each white cell by `field.paste`."""
    paste = field.paste  # type: ignore[attr-defined, unused-ignore]  # gone where it keeps masks

    def noting(dyes: NDArray[np.float32], cell: NDArray[np.float32], x: float, y: float) -> None:
        alone = np.zeros(dyes.shape, np.float32)
        paste(alone, cell, x, y)
        drawn.append(alone.sum(axis=2))
        paste(dyes, cell, x, y)

    patched.setattr(field, "paste", noting)
