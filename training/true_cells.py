"""The simulator's own masks of white cells, for images of a simulated data set; it finds no cell itself."""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile, ZipFile

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_device.simulator.dataset import MASKS_FILE, mask_name
from training.data import DataError, Sample


class TrueCells:
    """The masks of one data set; DataError where it has none."""

    def __init__(self, root: Path) -> None:
        self._root = root
        try:
            self._archive = ZipFile(root / MASKS_FILE)
        except (OSError, BadZipFile) as error:
            raise DataError(
                f"{root / MASKS_FILE}: {error}; map_inside needs the masks of simulated images"
            ) from error

    def of(self, sample: Sample) -> NDArray[np.uint8]:
        """H,W of the image's own size: 255 where a white cell is, else 0."""
        name = mask_name(sample.path.relative_to(self._root).as_posix())
        try:
            packed = self._archive.read(name)
        except KeyError:
            raise DataError(f"{self._root / MASKS_FILE}: holds no {name}") from None
        planes = cv2.imdecode(np.frombuffer(packed, np.uint8), cv2.IMREAD_UNCHANGED)
        if planes is None or planes.ndim != 3:
            raise DataError(f"{self._root / MASKS_FILE}: {name} is damaged")
        return np.where(planes[:, :, 2] > 0, 255, 0).astype(np.uint8)
