"""Uneven light and colour of a device, learned from its own frames and divided out; it moves no pixel."""

from edge_device.flat_field.background import Background, Unfit, look
from edge_device.flat_field.flat_field import FlatField, FlatFieldState
from edge_device.flat_field.raw_files import RawFiles
from edge_device.flat_field.settings import FlatFieldSettings
from edge_device.flat_field.store import FlatFieldStore, Version

__all__ = [
    "Background",
    "FlatField",
    "FlatFieldSettings",
    "FlatFieldState",
    "FlatFieldStore",
    "RawFiles",
    "Unfit",
    "Version",
    "look",
]
