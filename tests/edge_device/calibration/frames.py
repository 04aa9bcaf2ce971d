"""Frames to calibrate from: simulated fields, spoilt ones and a drawn stage micrometer."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from edge_device.simulator import draw_slide, render_field

Image = npt.NDArray[np.uint8]


def field(index: int, seed: int = 1) -> Image:
    rgb = render_field(draw_slide(seed), "healthy", index).image
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), np.uint8)


def blurred(image: Image, sigma: float = 4) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)


def micrometer(
    spacing_px: float, angle_deg: float, *, noise: float = 3, blur_px: float = 1.5
) -> Image:
    """Ticks of three lengths at an angle, in uneven light, as a stage micrometer shows."""
    width, height = 1000, 700
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle = np.deg2rad(angle_deg)
    across = (x - width / 2) * np.cos(angle) + (y - height / 2) * np.sin(angle)
    along = (y - height / 2) * np.cos(angle) - (x - width / 2) * np.sin(angle)
    number = np.round(across / spacing_px)
    length = np.where(number % 10 == 0, 250, np.where(number % 5 == 0, 190, 130))
    away = np.abs(across - number * spacing_px)
    ink = np.clip(max(1.5, 0.15 * spacing_px) / 2 - away + 0.5, 0, 1)
    ink *= (along > -80) & (along < length - 80)
    corner = ((x - width / 2) ** 2 + (y - height / 2) ** 2) / (width**2 / 4 + height**2 / 4)
    picture = cv2.GaussianBlur(220 * (1 - 0.8 * ink) * (1 - 0.3 * corner), (0, 0), blur_px)
    picture = picture + np.random.default_rng(0).normal(0, noise, picture.shape)
    grey = np.clip(picture, 0, 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), np.uint8)
