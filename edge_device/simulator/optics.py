"""From dye to picture: Beer-Lambert in linear light, the lens and the camera; it draws no cells."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from edge_device.simulator import texture
from edge_device.simulator.slide import Slide
from edge_device.simulator.texture import Plane

# Blue light focuses nearer than red: the rims of cells get coloured fringes.
_CHROMATIC_DEFOCUS = (-0.18, 0.0, 0.18)
_RIM_UM2 = 0.35


def photograph(
    dyes: Plane, slide: Slide, um_per_px: float, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Take an 8-bit RGB picture of a plane of dyes (H, W, 4)."""
    height, width = dyes.shape[:2]
    absorbance = dyes.reshape(-1, 4) @ (slide.stain_matrix * np.float32(slide.stain_strength))
    absorbance = absorbance.reshape(height, width, 3)
    # The plasma stains a little and unevenly.
    film = texture.noise(rng, 64, 64, 12.0) * np.float32(0.012)
    absorbance += cv2.resize(film, (width, height), interpolation=cv2.INTER_CUBIC)[:, :, None]
    light = np.asarray(cv2.exp(-absorbance), np.float32)
    light = _focus(light, slide, um_per_px)
    light *= _illumination(slide, height, width)
    light *= np.float32(0.96)
    noise = rng.standard_normal((height, width, 3), dtype=np.float32)
    np.maximum(light, 0, out=light)
    light += noise * np.sqrt(
        light * np.float32(1 / slide.photons) + np.float32(slide.read_noise**2)
    )
    return _develop(light, slide)


def _focus(light: Plane, slide: Slide, um_per_px: float) -> Plane:
    """Blur by lens and defocus; out of focus, thick edges bend light into bright or dark rims."""
    planes = []
    for channel, shift in enumerate(_CHROMATIC_DEFOCUS):
        plane = np.ascontiguousarray(light[:, :, channel])
        defocus = slide.defocus + shift
        sigma_px = float(np.hypot(slide.blur_um, 0.22 * defocus)) / um_per_px
        plane = np.asarray(cv2.GaussianBlur(plane, (0, 0), max(sigma_px, 0.3)), np.float32)
        rims = cv2.Laplacian(plane, cv2.CV_32F, ksize=3) / np.float32(8 * um_per_px**2)
        planes.append(plane + np.float32(_RIM_UM2 * 0.22 * defocus) * rims)
    return np.asarray(cv2.merge(planes), np.float32)


def _illumination(slide: Slide, height: int, width: int) -> Plane:
    """Lamp, empty slide and vignetting as one gain per pixel and channel."""
    x = np.linspace(-1, 1, width, dtype=np.float32) - np.float32(slide.vignetting_centre[0])
    y = np.linspace(-1, 1, height, dtype=np.float32) - np.float32(slide.vignetting_centre[1])
    corner = (x[None, :] ** 2 + y[:, None] ** 2) / 2
    planes = [
        np.float32(background * balance) * (1 - np.float32(slide.vignetting - shade) * corner)
        for background, balance, shade in zip(
            slide.background_rgb, slide.white_balance, slide.shading_rgb, strict=True
        )
    ]
    return np.asarray(cv2.merge(planes), np.float32)


def _develop(light: Plane, slide: Slide) -> npt.NDArray[np.uint8]:
    """Saturation, sharpening and the tone curve of the camera."""
    grey = light.mean(axis=2, keepdims=True)
    light = grey + (light - grey) * np.float32(slide.saturation)
    # A table over the square root resolves the dark tones; 4096 steps are finer than 8 bits.
    steps = np.linspace(0, 1, 4096)
    table = (255 * np.power(steps**2, 1 / slide.gamma)).astype(np.float32)
    index = (cv2.sqrt(np.clip(light, 0, 1)) * np.float32(4095)).astype(np.uint16)
    picture: Plane = table[index]
    if slide.sharpening > 0.05:
        soft = cv2.GaussianBlur(picture, (0, 0), 1.0)
        weight = slide.sharpening
        picture = np.asarray(cv2.addWeighted(picture, 1 + weight, soft, -weight, 0), np.float32)
    return np.asarray(np.clip(picture + np.float32(0.5), 0, 255), np.uint8)
