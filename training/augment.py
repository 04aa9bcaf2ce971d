"""Random changes to training images: geometry, stain, light, focus, noise and JPEG; never at test."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from training.recipe import Augmentation

Image = NDArray[np.uint8]


def augment(image: Image, by: Augmentation, rng: np.random.Generator) -> Image:
    """One changed copy of an RGB image H,W,3 of the same size.

    A fourth channel (what a segmentation keeps) follows every move and no change of colour.
    """
    if by.flips:
        image = image[::-1] if rng.random() < 0.5 else image
        image = image[:, ::-1] if rng.random() < 0.5 else image
        if image.shape[0] == image.shape[1] and rng.random() < 0.5:
            image = image.transpose(1, 0, 2)
    image = move(np.ascontiguousarray(image), by, rng)
    image, kept = np.ascontiguousarray(image[..., :3]), image[..., 3:]
    image = _change_colours(image, by, rng)
    if rng.random() < by.blur_share:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.2, by.blur_px)), np.uint8)
    if by.noise > 0:
        image = _add_noise(image, rng.uniform(0, by.noise), rng)
    if rng.random() < by.jpeg_share:
        quality = int(rng.integers(by.jpeg_quality[0], by.jpeg_quality[1] + 1))
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return np.concatenate([image, kept], axis=2) if kept.shape[2] else image


def move(image: Image, by: Augmentation, rng: np.random.Generator) -> Image:
    """Turned, sheared, zoomed and shifted about its middle, all channels alike; borders mirror."""
    if not (by.rotation_deg or by.shear_deg or by.zoom or by.shift):
        return image
    height, width = image.shape[:2]
    angle = np.deg2rad(rng.uniform(-by.rotation_deg, by.rotation_deg))
    shear = np.tan(np.deg2rad(rng.uniform(-by.shear_deg, by.shear_deg)))
    scale = 1 + rng.uniform(-by.zoom, by.zoom)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = scale * turn @ np.array([[1.0, shear], [0.0, 1.0]])
    middle = np.array([width / 2, height / 2])
    offset = middle - matrix @ middle + rng.uniform(-by.shift, by.shift, 2) * (width, height)
    whole = np.concatenate([matrix, offset[:, None]], axis=1)
    moved = cv2.warpAffine(image, whole, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(moved, np.uint8)


def cut_part(image: Image, height_px: int, width_px: int, rng: np.random.Generator) -> Image:
    """A random part of this size, or the whole image where it is as large."""
    top = int(rng.integers(image.shape[0] - height_px + 1))
    left = int(rng.integers(image.shape[1] - width_px + 1))
    return image[top : top + height_px, left : left + width_px]


def _change_colours(image: Image, by: Augmentation, rng: np.random.Generator) -> Image:
    steps = np.linspace(0, 1, 256)
    gamma = np.exp(rng.normal(0, by.gamma / 2)) if by.gamma else 1.0
    tables = [
        # By Beer-Lambert a stain of other strength is a power of the transmitted light.
        np.power(steps, gamma * np.exp(rng.normal(0, by.absorbance / 2)))
        * (1 + rng.uniform(-by.channel_gain, by.channel_gain))
        for _ in range(3)
    ]
    table = np.clip(np.stack(tables, axis=1) * 255 + 0.5, 0, 255).astype(np.uint8)
    image = np.asarray(cv2.LUT(image, table.reshape(256, 1, 3)), np.uint8)
    if by.brightness or by.contrast:
        gain = 1 + rng.uniform(-by.contrast, by.contrast)
        light = 255 * rng.uniform(-by.brightness, by.brightness)
        line = np.clip((np.arange(256) - 127.5) * gain + 127.5 + light, 0, 255)
        image = np.asarray(cv2.LUT(image, line.round().astype(np.uint8)), np.uint8)
    if by.saturation > 0:
        grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        factor = 1 + rng.uniform(-by.saturation, by.saturation)
        image = np.asarray(cv2.addWeighted(image, factor, grey, 1 - factor, 0), np.uint8)
    return image


def _add_noise(image: Image, deviation: float, rng: np.random.Generator) -> Image:
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    noise *= np.float32(255 * deviation)
    noise += image
    return np.asarray(np.clip(noise, 0, 255), np.uint8)
