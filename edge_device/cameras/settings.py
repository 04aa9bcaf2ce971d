"""Which camera a device has and how fast it takes; the choice is explicit and has no fallback."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from edge_device.simulator.cell_types import DiagnosisClass
from service_runtime.settings import Settings


class _CameraSettings(Settings):
    #: schedule: a picture whenever one is due. command: only when a person or a program asks.
    trigger: Literal["schedule", "command"] = "schedule"
    #: Images a second, on a fixed schedule; as fast as it goes where it is not given.
    rate_per_s: float | None = Field(default=None, gt=0, le=10_000)
    #: For load tests: a file of the times at which captures are due, nanoseconds of this machine's
    #: monotonic clock, one a line. It may come later, and grow; there is no capture without a time.
    planned: Path | None = None
    #: How many captures this device makes in all: those of earlier runs included where sources can
    #: be told again (files, simulated fields), of this run with a camera that looks at the world.
    count: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _has_one_schedule(self) -> Self:
        if self.planned is not None and self.rate_per_s is not None:
            raise ValueError("planned and rate_per_s are two schedules: give one")
        return self


class _SequenceSettings(_CameraSettings):
    """How one picture is taken by a camera that looks at something: wait till it is still, then N frames."""

    #: This many frames in a row must differ by no more than noise before the picture; 0: no waiting.
    settle_frames: int = Field(default=0, ge=0, le=100)
    #: No longer than this; a picture of what still moves is taken all the same, and says so.
    settle_s: float = Field(default=3.0, gt=0, le=60)
    #: Frames of which the sharpest is the picture.
    burst: int = Field(default=1, ge=1, le=32)


class FolderCameraSettings(_CameraSettings):
    """A folder of image files, subfolders included."""

    kind: Literal["folder"]
    folder: Path
    #: replay: each file once, then done. loop: from the start again until `count`. watch: for ever.
    mode: Literal["replay", "loop", "watch"] = "replay"
    #: A file is whole when its size and time have not changed for this long.
    settle_s: float = Field(default=1.0, ge=0, le=600)
    poll_s: float = Field(default=0.5, gt=0, le=600)
    #: How a watch learns of new files: by the kernel's events, or by listing every `poll_s` (for a
    #: folder on a network, of which the kernel hears nothing).
    watch_by: Literal["events", "polling"] = "events"
    #: The whole folder is listed this often all the same: events can be lost.
    rescan_s: float = Field(default=60.0, gt=0, le=86_400)


class V4l2CameraSettings(_SequenceSettings):
    """A USB or other V4L2 camera, through OpenCV."""

    kind: Literal["v4l2"]
    trigger: Literal["schedule", "command"] = "command"
    #: "/dev/video0", better one of /dev/v4l/by-id that stays the same; or a number. A video file
    #: or an image sequence (frame_%03d.png) plays as a camera.
    device: int | Path = 0
    #: As the camera is asked and must then give; its own choice where not given.
    width: int | None = Field(default=None, ge=16, le=16_384)
    height: int | None = Field(default=None, ge=16, le=16_384)
    fps: float | None = Field(default=None, gt=0, le=1000)
    #: "MJPG", "YUYV"
    fourcc: str | None = Field(default=None, pattern=r"^[A-Z0-9]{4}$")
    #: Dropped after opening, while the camera finds its exposure.
    warm_up_frames: int = Field(default=10, ge=0, le=1000)
    #: Held after the warm-up at the value the camera found; false leaves its automatics running.
    lock: bool = True
    #: In the driver's units (100 us with USB cameras), kelvin and the driver's gain.
    exposure: float | None = Field(default=None, gt=0)
    white_balance_k: int | None = Field(default=None, ge=1000, le=20_000)
    gain: float | None = Field(default=None, ge=0)
    #: A read that takes longer is given up and the camera opened anew.
    timeout_s: float = Field(default=5.0, gt=0, le=120)


class Picamera2CameraSettings(_SequenceSettings):
    """A Raspberry Pi camera, through Picamera2."""

    kind: Literal["picamera2"]
    trigger: Literal["schedule", "command"] = "command"
    camera: int = Field(default=0, ge=0, le=15)
    width: int = Field(default=2028, ge=64, le=16_384, multiple_of=2)
    height: int = Field(default=1520, ge=64, le=16_384, multiple_of=2)
    #: Frames in which the automatics find exposure and white balance before these are held.
    warm_up_frames: int = Field(default=30, ge=0, le=1000)
    #: Held from the start where given; measured once and then held where not.
    exposure_us: int | None = Field(default=None, ge=1, le=200_000_000)
    analogue_gain: float | None = Field(default=None, ge=1, le=64)
    colour_gains: tuple[float, float] | None = None
    timeout_s: float = Field(default=10.0, gt=0, le=300)


class SimulatedCameraSettings(_SequenceSettings):
    """Rendered fields of simulated slides; every image says so."""

    kind: Literal["simulated"]
    seed: int = Field(default=0, ge=0)
    classes: tuple[DiagnosisClass, ...] = Field(default=tuple(DiagnosisClass), min_length=1)
    fields_per_slide: int = Field(default=8, ge=1)
    width_px: int = Field(default=640, ge=64, le=8192)
    height_px: int = Field(default=480, ge=64, le=8192)
    um_per_px: float = Field(default=0.2, gt=0.02, le=2)


CameraSettings = Annotated[
    FolderCameraSettings | SimulatedCameraSettings | V4l2CameraSettings | Picamera2CameraSettings,
    Field(discriminator="kind"),
]
