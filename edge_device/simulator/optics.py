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
    # The dried plasma stains a little and unevenly.
    film = np.float32(slide.plasma) * (1 + 0.4 * texture.noise(rng, 64, 64, 12.0))
    stained = cv2.resize(film, (width, height), interpolation=cv2.INTER_CUBIC)
    absorbance += stained[:, :, None] * np.array([0.7, 1.0, 0.8], np.float32)
    light = np.asarray(cv2.exp(-absorbance), np.float32)
    light = _focus(light, slide, um_per_px)
    light *= _illumination(slide, height, width)
    light *= _exposure(slide)
    noise = rng.standard_normal((height, width, 3), dtype=np.float32)
    # Each colour is measured at every other pixel: neighbours share some of their noise.
    noise += 0.6 * cv2.blur(noise, (2, 2))
    np.maximum(light, 0, out=light)
    light += noise * np.sqrt(
        light * np.float32(1 / slide.photons) + np.float32(slide.read_noise**2)
    )
    return _develop(light, slide)


def _focus(light: Plane, slide: Slide, um_per_px: float) -> Plane:
    """Blur by lens and defocus; out of focus, thick edges bend light into bright or dark rims.

    The slide may lie askew: one side of the field is then nearer to focus than the other.
    """
    height, width = light.shape[:2]
    x = np.linspace(-0.5, 0.5, width, dtype=np.float32) * np.float32(np.cos(slide.tilt_direction))
    y = np.linspace(-0.5, 0.5, height, dtype=np.float32) * np.float32(np.sin(slide.tilt_direction))
    across = x[None, :] + y[:, None] + np.float32(0.5)
    planes = []
    for channel, shift in enumerate(_CHROMATIC_DEFOCUS):
        plane = _enlarged(
            np.ascontiguousarray(light[:, :, channel]), (1 - channel) * slide.fringe_px
        )
        near, far = (
            _defocused(plane, slide, slide.defocus + shift + side * slide.tilt / 2, um_per_px)
            for side in (-1, 1)
        )
        planes.append(near + across * (far - near))
    return np.asarray(cv2.merge(planes), np.float32)


def _defocused(plane: Plane, slide: Slide, defocus: float, um_per_px: float) -> Plane:
    sigma_px = float(np.hypot(slide.blur_um, 0.22 * defocus)) / um_per_px
    plane = np.asarray(cv2.GaussianBlur(plane, (0, 0), max(sigma_px, 0.3)), np.float32)
    rims = cv2.Laplacian(plane, cv2.CV_32F, ksize=3) / np.float32(8 * um_per_px**2)
    return np.asarray(plane + np.float32(_RIM_UM2 * 0.22 * defocus) * rims, np.float32)


def _enlarged(plane: Plane, by_px: float) -> Plane:
    """The plane so much larger that a point 320 px from the centre moves by this many pixels."""
    if abs(by_px) < 0.1:
        return plane
    height, width = plane.shape
    scale = 1 + by_px / 320
    move = np.array(
        [[scale, 0, (1 - scale) * width / 2], [0, scale, (1 - scale) * height / 2]], np.float32
    )
    moved = cv2.warpAffine(plane, move, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


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


def _exposure(slide: Slide) -> np.float32:
    """The gain by which the empty slide, where it is brightest, is developed to its white level."""
    empty = np.array(slide.background_rgb) * np.array(slide.white_balance)
    vivid = empty.mean() + (empty - empty.mean()) * slide.saturation
    return np.float32((slide.white_level / 255) ** slide.gamma / vivid.max())


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
