"""USB and other V4L2 cameras through OpenCV; one that gives another size or exposure than asked is refused.

A file or an image sequence plays as a camera too, by OpenCV's own readers: for trying things out.
"""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np

from edge_device.cameras.device_thread import DeviceGoneError
from edge_device.cameras.live import LiveCamera
from edge_device.cameras.sequence import Focus
from edge_device.cameras.settings import V4l2CameraSettings
from edge_device.cameras.shots import CameraError, Pixels, at_most_preview
from service_runtime.log import get_log

#: The kernel holds this many frames of before the question (OpenCV asks for four buffers).
_BUFFERS = 4
#: More stale frames than this in a row are a driver without a clock we know.
_MOST_DROPPED = 32
#: Stamps of frames are of the monotonic clock where they are this near to it.
_SAME_CLOCK_S = 60.0
#: V4L2_CID_EXPOSURE_AUTO: 1 is manual, 3 is automatic by aperture priority.
_MANUAL_EXPOSURE = 1.0


def open_v4l2(settings: V4l2CameraSettings, focus: Focus) -> LiveCamera:
    """The camera; raises CameraError where it is there and gives not what was asked."""
    held = Held()
    return LiveCamera(
        settings, f"v4l2:{settings.device}", lambda: V4l2Device(settings, held), focus
    )


class Held:
    """Values that a camera's automatics found once; a camera that is opened again gets them back."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}


class V4l2Device:
    """A driver; see Device."""

    def __init__(self, settings: V4l2CameraSettings, held: Held) -> None:
        self._settings = settings
        self._held = held
        self._capture: cv2.VideoCapture | None = None
        self._shape: tuple[int, int] | None = None
        device = settings.device
        self._path = Path(f"/dev/video{device}") if isinstance(device, int) else device
        self._is_v4l2 = isinstance(device, int) or device.is_relative_to("/dev")
        self._log = get_log("edge").bind(camera=f"v4l2:{self._path}")

    def open(self) -> None:
        """Opens, negotiates, warms up, locks; what was asked must be what it gives."""
        self._must_exist()
        backend = cv2.CAP_V4L2 if self._is_v4l2 else cv2.CAP_FFMPEG
        if "%" in self._path.name:
            backend = cv2.CAP_IMAGES
        self._capture = cv2.VideoCapture(str(self._path), backend)
        if not self._capture.isOpened():
            raise DeviceGoneError(f"{self._path} cannot be opened: in use, no right, or no camera")
        self._negotiate(self._capture)
        for _ in range(self._settings.warm_up_frames):
            self._grab()
        self._lock(self._capture)
        height, width = self._retrieve_after_grab().shape[:2]
        self._must_be("width", width, "px")
        self._must_be("height", height, "px")
        self._shape = (height, width)
        self._log.info("camera_opened", width=width, height=height, **self._held.values)

    def frame(self, *, is_fresh: bool) -> Pixels:
        """8-bit RGB, (H, W, 3)."""
        if is_fresh and self._is_v4l2:
            return self._fresh()
        return self._retrieve_after_grab()

    def preview(self) -> Pixels:
        """A fresh frame, made small."""
        return at_most_preview(self.frame(is_fresh=True))

    def look(self) -> None:
        """One frame is let go by, which fails where a camera was unplugged; of a file, none."""
        self._must_exist()
        if self._is_v4l2:
            self._grab()

    def close(self) -> None:
        """Harmless when it is closed already."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    # --- what was asked and what is given -------------------------------------------------------

    def _negotiate(self, capture: cv2.VideoCapture) -> None:
        s = self._settings
        if s.fourcc is not None:
            capture.set(cv2.CAP_PROP_FOURCC, float(cv2.VideoWriter.fourcc(*s.fourcc)))
        for prop, value in (
            (cv2.CAP_PROP_FRAME_WIDTH, s.width),
            (cv2.CAP_PROP_FRAME_HEIGHT, s.height),
            (cv2.CAP_PROP_FPS, s.fps),
        ):
            if value is not None:
                capture.set(prop, value)
        self._must_be("width", capture.get(cv2.CAP_PROP_FRAME_WIDTH), "px")
        self._must_be("height", capture.get(cv2.CAP_PROP_FRAME_HEIGHT), "px")
        given = (
            int(capture.get(cv2.CAP_PROP_FOURCC))
            .to_bytes(4, "little", signed=True)
            .decode("latin-1")
        )
        if s.fourcc is not None and given != s.fourcc:
            raise CameraError(f"camera.fourcc: {self._path} gives {given!r}, not {s.fourcc!r}")
        rate = capture.get(cv2.CAP_PROP_FPS)
        if s.fps is not None and abs(rate - s.fps) > 0.1 * s.fps:
            raise CameraError(
                f"camera.fps: {self._path} gives {rate:g} frames a second, not {s.fps:g}"
            )

    def _must_be(self, key: str, given: float, unit: str) -> None:
        asked = getattr(self._settings, key)
        if asked is not None and round(given) != asked:
            raise CameraError(
                f"camera.{key}: {self._path} gives {given:g} {unit}, not {asked}"
                " (`hemowire edge cameras` lists what there is)"
            )

    def _lock(self, capture: cv2.VideoCapture) -> None:
        """Exposure and white balance stay as they are from here on, where the driver takes that."""
        s = self._settings
        exposure = ("exposure", cv2.CAP_PROP_EXPOSURE, s.exposure)
        white = ("white_balance_k", cv2.CAP_PROP_WB_TEMPERATURE, s.white_balance_k)
        free = []
        if (s.lock or s.exposure is not None) and not self._hold(
            capture, *exposure, automatic=(cv2.CAP_PROP_AUTO_EXPOSURE, _MANUAL_EXPOSURE)
        ):
            free.append("exposure")
        if (s.lock or s.white_balance_k is not None) and not self._hold(
            capture, *white, automatic=(cv2.CAP_PROP_AUTO_WB, 0.0)
        ):
            free.append("white balance")
        if s.gain is not None:
            self._hold(capture, "gain", cv2.CAP_PROP_GAIN, s.gain, automatic=None)
        if free and self._is_v4l2:
            self._log.warning("camera_cannot_lock", what=free)

    def _hold(
        self,
        capture: cv2.VideoCapture,
        key: str,
        prop: int,
        asked: float | None,
        *,
        automatic: tuple[int, float] | None,
    ) -> bool:
        """Whether the value is held; one from the settings that is not taken is refused.

        `automatic` is what turns the automatics off, and the value that does.
        """
        # Read while they still run: what the camera says afterwards may be of long ago.
        value = asked if asked is not None else self._held.values.get(key, capture.get(prop))
        is_manual = True
        if automatic is not None:
            capture.set(*automatic)
            is_manual = capture.get(automatic[0]) == automatic[1]
        is_taken = bool(capture.set(prop, value)) and is_manual
        given = capture.get(prop)
        if asked is not None and not (is_taken and abs(given - asked) <= 0.01 * asked):
            raise CameraError(
                f"camera.{key}: {self._path} does not take {asked:g}, it has {given:g}"
            )
        if is_taken:
            self._held.values[key] = given
        return is_taken

    # --- frames -----------------------------------------------------------------------------------

    def _fresh(self) -> Pixels:
        """A frame of after this call: what waits in the driver's buffers is of before it."""
        capture, asked_s = self._opened(), time.monotonic()
        for dropped in range(_MOST_DROPPED):
            self._grab()
            stamp_s = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            is_known = abs(stamp_s - asked_s) < _SAME_CLOCK_S
            if stamp_s >= asked_s if is_known else dropped >= _BUFFERS:
                return self._retrieve()
        raise DeviceGoneError(f"{self._path} gives only frames of before they were asked for")

    def _retrieve_after_grab(self) -> Pixels:
        self._grab()
        return self._retrieve()

    def _grab(self) -> None:
        if not self._opened().grab():
            raise DeviceGoneError(f"{self._path} gives no frame any more: unplugged?")

    def _retrieve(self) -> Pixels:
        done, bgr = self._opened().retrieve()
        if not done or bgr is None:
            raise DeviceGoneError(f"{self._path} gave a frame that cannot be decoded")
        if self._shape is not None and bgr.shape[:2] != self._shape:
            raise DeviceGoneError(f"{self._path} changed its size to {bgr.shape[1]}x{bgr.shape[0]}")
        return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)

    def _opened(self) -> cv2.VideoCapture:
        if self._capture is None:
            raise DeviceGoneError(f"{self._path} is closed")
        return self._capture

    def _must_exist(self) -> None:
        if "%" not in self._path.name and not self._path.exists():
            raise DeviceGoneError(f"no such device: {self._path}; is the camera plugged in?")
