"""Pixels to network input, the same for training and serving; refuses an unsuitable scale.

RGB uint8 with a known um per pixel -> resampled to the bundle's um per pixel -> tiles that cover
the whole field -> corner mask -> normalised float32 N,3,H,W.

"Off by more than 1.5x" means: the larger of (image's um per pixel / bundle's um per pixel) and its
inverse is above 1.5. It is refused in BOTH directions: a coarser image lacks the detail that the
network reads, and a much finer one comes from another objective or camera, whose sharpness
resampling does not bring back to what the network was trained on. Exactly 1.5 is accepted. A bundle
whose network sees images much smaller than they are taken names their scale, and that is compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cloud_worker.models.card import Preprocessing
from cloud_worker.refusal import Refusal
from cloud_worker.tiling import TilePlan, cut_tiles, plan_tiles
from wire_protocol.json_messages import Reason

LARGEST_SCALE_RATIO = 1.5
SMALLEST_SHARE_OF_INPUT = 0.5
"""A field below half of the input's side would be mostly padding."""

Rgb = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A field at the bundle's scale and the tiles that cover it; tiles are cut when asked for."""

    field: Rgb
    plan: TilePlan
    preprocessing: Preprocessing

    @property
    def count(self) -> int:
        """Number of tiles."""
        return self.plan.count

    @property
    def weights(self) -> NDArray[np.float64]:
        """Share of the field per tile; they sum to 1."""
        return self.plan.weights

    def tiles(self, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Tiles `start` to `stop` as network input, float32 N,3,H,W."""
        return normalise(cut_tiles(self.field, self.plan, start, stop), self.preprocessing)


def prepare(rgb: Rgb, um_per_px: float | None, to: Preprocessing) -> Prepared | Refusal:
    """The field ready for the network, or why it cannot be: magnification or outside_scope."""
    scale = resampling_factor(um_per_px, to)
    if isinstance(scale, Refusal):
        return scale
    return lay_out(resample(rgb, scale), to)


def lay_out(field: Rgb, to: Preprocessing) -> Prepared | Refusal:
    """A field that is at the bundle's scale already, with its tiles, or why it is out of scope."""
    height, width = field.shape[:2]
    share = min(height / to.height_px, width / to.width_px)
    if share < SMALLEST_SHARE_OF_INPUT:
        needed = (
            f"{_um(to.width_px * SMALLEST_SHARE_OF_INPUT, to)} x "
            f"{_um(to.height_px * SMALLEST_SHARE_OF_INPUT, to)}"
        )
        return Refusal(
            Reason.OUTSIDE_SCOPE,
            f"the image shows {_um(width, to)} x {_um(height, to)} um, "
            f"at least {needed} um needed. Send the whole field.",
        )
    plan = plan_tiles(
        height,
        width,
        tile_height_px=to.height_px,
        tile_width_px=to.width_px,
        overlap=to.tile_overlap,
        masked_corner_px=to.masked_corner_px,
    )
    return Prepared(field, plan, to)


def resample(rgb: Rgb, factor: float) -> Rgb:
    """H,W,3 uint8 scaled by `factor`; area interpolation when shrinking, linear when enlarging."""
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ValueError(f"need H,W,3 uint8 RGB, got {rgb.shape} {rgb.dtype}")
    height, width = (max(1, round(side * factor)) for side in rgb.shape[:2])
    if (height, width) == rgb.shape[:2]:
        return rgb
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    resized: Rgb = np.asarray(cv2.resize(rgb, (width, height), interpolation=how), np.uint8)
    return resized


def resampling_factor(um_per_px: float | None, to: Preprocessing) -> float | Refusal:
    """What to resample by; a magnification refusal where unknown or off by more than 1.5x."""
    made_for = to.made_for_um_per_px or to.um_per_px
    if um_per_px is None or not um_per_px > 0:
        return Refusal(
            Reason.MAGNIFICATION,
            f"um per pixel unknown, {made_for:.3g} needed. Set the camera's um per pixel.",
        )
    ratio = max(um_per_px / made_for, made_for / um_per_px)
    if ratio <= LARGEST_SCALE_RATIO * (1 + 1e-9):
        return um_per_px / to.um_per_px
    low, high = made_for / LARGEST_SCALE_RATIO, made_for * LARGEST_SCALE_RATIO
    return Refusal(
        Reason.MAGNIFICATION,
        f"{um_per_px:.3g} um per pixel, {low:.3g} to {high:.3g} needed. "
        "Use the objective that the model was made for, or correct the scale.",
    )


def normalise(tiles: NDArray[np.uint8], to: Preprocessing) -> NDArray[np.float32]:
    """Tiles N,H,W,3 uint8 -> float32 N,3,H,W: (x / 255 - mean) / std; masked corner 0."""
    mean = np.asarray(to.mean, np.float32) * np.float32(255)
    std = np.asarray(to.std, np.float32) * np.float32(255)
    images = (tiles.astype(np.float32) - mean) / std
    if to.masked_corner_px:
        images[:, -to.masked_corner_px :, -to.masked_corner_px :, :] = 0.0
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def _um(pixels: float, to: Preprocessing) -> str:
    return f"{pixels * to.um_per_px:.0f}"
