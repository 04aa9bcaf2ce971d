"""Cameras of a device behind one Protocol: folder, V4L2, Picamera2, simulated; settings choose, none falls back."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

import cv2
import numpy as np

from edge_device.cameras.folder import FolderCamera
from edge_device.cameras.settings import (
    CameraSettings,
    FolderCameraSettings,
    Picamera2CameraSettings,
    SimulatedCameraSettings,
    V4l2CameraSettings,
)
from edge_device.cameras.shots import Camera, CameraError, Nothing, Pixels, Sequence, Shot, Unusable
from edge_device.cameras.simulated import SimulatedCamera
from edge_device.gate import measure


def open_camera(
    settings: CameraSettings, is_captured: Callable[[str], bool], *, max_bytes: int
) -> Camera:
    """The camera that the settings name; raises CameraError."""
    match settings:
        case FolderCameraSettings():
            return FolderCamera(settings, is_captured, max_bytes=max_bytes)
        case SimulatedCameraSettings():
            return SimulatedCamera(settings, is_captured, focus_of)
        case V4l2CameraSettings():
            from edge_device.cameras.v4l2 import open_v4l2

            return open_v4l2(settings, focus_of)
        case Picamera2CameraSettings():
            from edge_device.cameras.picamera2 import open_picamera2

            return open_picamera2(settings, focus_of)
        case _:
            assert_never(settings)


def focus_of(picture: Pixels) -> float:
    """The gate's own focus, so that the frame of a burst that is taken is the one it likes best."""
    return measure(np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), np.uint8)).focus


__all__ = [
    "Camera",
    "CameraError",
    "CameraSettings",
    "FolderCameraSettings",
    "Nothing",
    "Picamera2CameraSettings",
    "Pixels",
    "Sequence",
    "Shot",
    "SimulatedCameraSettings",
    "Unusable",
    "V4l2CameraSettings",
    "open_camera",
]
