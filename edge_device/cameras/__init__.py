"""Cameras of a device: one Protocol, a folder and a simulated one; the settings say which, nothing falls back."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from edge_device.cameras.folder import FolderCamera
from edge_device.cameras.settings import (
    CameraSettings,
    FolderCameraSettings,
    Picamera2CameraSettings,
    SimulatedCameraSettings,
    V4l2CameraSettings,
)
from edge_device.cameras.shots import Camera, CameraError, Nothing, Shot, Unusable
from edge_device.cameras.simulated import SimulatedCamera


def open_camera(
    settings: CameraSettings, is_captured: Callable[[str], bool], *, max_bytes: int
) -> Camera:
    """The camera that the settings name; raises CameraError."""
    match settings:
        case FolderCameraSettings():
            return FolderCamera(settings, is_captured, max_bytes=max_bytes)
        case SimulatedCameraSettings():
            return SimulatedCamera(settings, is_captured)
        case V4l2CameraSettings() | Picamera2CameraSettings():
            raise CameraError(f"camera.kind: {settings.kind} is not built yet")
        case _:
            assert_never(settings)


__all__ = [
    "Camera",
    "CameraError",
    "CameraSettings",
    "FolderCameraSettings",
    "Nothing",
    "Shot",
    "SimulatedCameraSettings",
    "Unusable",
    "open_camera",
]
