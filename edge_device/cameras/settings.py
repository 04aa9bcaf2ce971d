"""Which camera a device has and how fast it takes; the choice is explicit and has no fallback."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from edge_device.simulator.cell_types import DiagnosisClass
from service_runtime.settings import Settings


class _CameraSettings(Settings):
    #: Images a second, on a fixed schedule; as fast as it goes where it is not given.
    rate_per_s: float | None = Field(default=None, gt=0, le=10_000)
    #: How many captures this device makes in all, those of earlier runs included.
    count: int | None = Field(default=None, ge=1)


class FolderCameraSettings(_CameraSettings):
    """A folder of image files, subfolders included."""

    kind: Literal["folder"]
    folder: Path
    #: replay: each file once, then done. loop: from the start again until `count`. watch: for ever.
    mode: Literal["replay", "loop", "watch"] = "replay"
    #: A file is whole when its size and time have not changed for this long.
    settle_s: float = Field(default=1.0, ge=0, le=600)
    poll_s: float = Field(default=0.5, gt=0, le=600)


class SimulatedCameraSettings(_CameraSettings):
    """Rendered fields of simulated slides; every image says so."""

    kind: Literal["simulated"]
    seed: int = Field(default=0, ge=0)
    classes: tuple[DiagnosisClass, ...] = Field(default=tuple(DiagnosisClass), min_length=1)
    fields_per_slide: int = Field(default=8, ge=1)
    width_px: int = Field(default=640, ge=64, le=8192)
    height_px: int = Field(default=480, ge=64, le=8192)
    um_per_px: float = Field(default=0.2, gt=0.02, le=2)


CameraSettings = Annotated[
    FolderCameraSettings | SimulatedCameraSettings, Field(discriminator="kind")
]
