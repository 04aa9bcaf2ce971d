"""Simulated fields with the white cell that each pixel belongs to."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_device.simulator import draw_slide, encode_field, render_field

CLASSES = ("ALL", "AML", "CLL", "CML", "healthy")


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
    made = render_field(
        draw_slide(seed),
        kind,
        0,
        width_px=size[0],
        height_px=size[1],
        um_per_px=um_per_px,
        background_only=background_only,
    )
    stored = cv2.imdecode(np.frombuffer(encode_field(made, jpeg_quality), np.uint8), 1)
    assert stored is not None
    return TrueField(
        np.ascontiguousarray(stored[:, :, ::-1], np.uint8), made.masks.white_cells.astype(np.int32)
    )
