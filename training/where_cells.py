"""Where white cells are: by the simulator's own masks, or found by the segmentation where nobody knows them.

What is found is not truth: cells are missed and too many are seen (docs/segmentation.md says how often).
"""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile, ZipFile

import cv2
import numpy as np
from numpy.typing import NDArray

from cloud_worker.cells.white_cells import find_white_cells
from edge_device.simulator.dataset import MASKS_FILE, mask_name
from training.data import DataError, Sample, read_image


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


def found_cells(sample: Sample) -> NDArray[np.uint8]:
    """H,W of the image's own size: 255 where a white cell is found, else 0; DataError without a scale."""
    if sample.um_per_px is None:
        raise DataError(f"{sample.path}: um per pixel unknown; white cells are found by their size")
    try:
        found = find_white_cells(read_image(sample.path), sample.um_per_px)
    except ValueError as error:
        raise DataError(f"{sample.path}: {error}") from error
    return np.where(found.mask, 255, 0).astype(np.uint8)
