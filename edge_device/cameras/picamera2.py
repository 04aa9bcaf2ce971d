"""Raspberry Pi cameras through Picamera2, exposure and white balance held; tested on a stand-in of its API only.

One still configuration serves pictures (its main stream) and previews (its lores stream): no mode is
switched, so what is seen and what is taken have the same sensor mode and the same exposure. The
automatics run once, until they agree with themselves, and are then turned off at what they found;
the values are in the log, to be put into the settings. Refuses a Pi without Picamera2 by name.
"""

from __future__ import annotations

import importlib
from contextlib import suppress
from typing import Any

import cv2
import numpy as np

from edge_device.cameras.device_thread import DeviceGoneError
from edge_device.cameras.live import LiveCamera
from edge_device.cameras.sequence import Focus
from edge_device.cameras.settings import Picamera2CameraSettings
from edge_device.cameras.shots import PREVIEW_PX, CameraError, Pixels, at_most_preview
from service_runtime.log import get_log

HOW_TO_INSTALL = (
    "camera.kind: picamera2 cannot be imported here: on Raspberry Pi OS `sudo apt install"
    " python3-picamera2`, then make the virtual environment with --system-site-packages"
)
#: Rows of a lores picture are padded to a multiple of 64 bytes: a width that is one has no padding.
_LORES_WIDTH_PX = PREVIEW_PX // 64 * 64
#: So many frames in a row that differ by less: the automatics have settled.
_SETTLED_FRAMES = 4
_SETTLED_SHARE = 0.02
#: A sensor takes exposure in whole rows and gain in steps.
_HELD_SHARE = 0.05
#: Controls arrive some frames after they were set.
_MOST_FRAMES_TO_HOLD = 30
_HELD_CONTROLS = ("ExposureTime", "AnalogueGain", "ColourGains")


def open_picamera2(settings: Picamera2CameraSettings, focus: Focus) -> LiveCamera:
    """The camera; raises CameraError where Picamera2 is not installed or the camera gives not what was asked."""
    module = import_picamera2()
    held: dict[str, Any] = {}
    name = f"picamera2:{settings.camera}"
    return LiveCamera(settings, name, lambda: Picamera2Device(module, settings, held), focus)


def import_picamera2() -> Any:
    """The class Picamera2; it comes with the operating system and not from an index of packages."""
    try:
        return importlib.import_module("picamera2").Picamera2
    except (ImportError, OSError) as error:  # libcamera's own library may be missing or too old
        raise CameraError(f"{HOW_TO_INSTALL} ({error})") from error


class Picamera2Device:
    """A driver; see Device. `held` outlives it: a camera that is opened again gets its values back."""

    def __init__(self, module: Any, settings: Picamera2CameraSettings, held: dict[str, Any]):
        self._class = module
        self._settings = settings
        self._held = held
        self._camera: Any = None
        self._log = get_log("edge").bind(camera=f"picamera2:{settings.camera}")

    def open(self) -> None:
        """Configures, starts, lets the automatics settle, holds what they found."""
        s = self._settings
        found = self._class.global_camera_info()
        if s.camera >= len(found):
            raise DeviceGoneError(f"no Raspberry Pi camera {s.camera}: {len(found)} found")
        try:
            self._camera = camera = self._class(s.camera)
        except RuntimeError as error:
            raise DeviceGoneError(f"Raspberry Pi camera {s.camera} is in use: {error}") from error
        lores_height = round(_LORES_WIDTH_PX * s.height / s.width / 2) * 2
        lores = {"size": (_LORES_WIDTH_PX, lores_height), "format": "YUV420"}
        config = camera.create_still_configuration(
            # Picamera2 names the bytes from the last one on: BGR888 is red, green, blue in memory.
            main={"size": (s.width, s.height), "format": "BGR888"},
            lores=lores if s.width >= _LORES_WIDTH_PX else None,
            buffer_count=2,
            queue=False,
        )
        camera.configure(config)
        given = camera.camera_configuration()["main"]
        if tuple(given["size"]) != (s.width, s.height) or given["format"] != "BGR888":
            raise CameraError(
                f"camera.width, camera.height: the camera gives {given['size'][0]} x"
                f" {given['size'][1]} {given['format']}, not {s.width} x {s.height} BGR888"
            )
        camera.start()
        self._hold(camera)
        self._log.info("camera_opened", width=s.width, height=s.height, **self._held)

    def frame(self, *, is_fresh: bool) -> Pixels:
        """8-bit RGB, (H, W, 3); a fresh one began its exposure after the call."""
        picture = self._array("main", is_fresh=is_fresh)
        if picture.shape != (self._settings.height, self._settings.width, 3):
            raise DeviceGoneError(f"the camera gave a frame of shape {picture.shape}")
        return picture

    def preview(self) -> Pixels:
        """The lores stream, or the main one where that is as small."""
        if self._settings.width < _LORES_WIDTH_PX:
            return at_most_preview(self.frame(is_fresh=True))
        planes = self._array("lores", is_fresh=True)
        return np.asarray(cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_I420), np.uint8)

    def look(self) -> None:
        """Frames are coming."""
        self._metadata()

    def close(self) -> None:
        """Stops it; what it still waits for is cancelled first, or closing would wait too."""
        camera, self._camera = self._camera, None
        if camera is None:
            return
        if hasattr(camera, "cancel_all_and_flush"):  # older ones have not got it
            camera.cancel_all_and_flush()
        with suppress(RuntimeError):  # a camera that was unplugged cannot be stopped
            camera.stop()
        camera.close()

    # --- exposure and white balance ---------------------------------------------------------------

    def _hold(self, camera: Any) -> None:
        s = self._settings
        asked: dict[str, Any] = {}
        if s.exposure_us is not None:
            asked["ExposureTime"] = s.exposure_us
        if s.analogue_gain is not None:
            asked["AnalogueGain"] = s.analogue_gain
        if s.colour_gains is not None:
            asked["ColourGains"] = s.colour_gains
        wanted = self._held | asked
        if missing := [name for name in _HELD_CONTROLS if name not in wanted]:
            # What is given is held already while the others settle around it.
            camera.set_controls(
                {
                    "AeEnable": not {"ExposureTime", "AnalogueGain"} <= wanted.keys(),
                    "AwbEnable": "ColourGains" not in wanted,
                    **wanted,
                }
            )
            measured = self._settled()
            wanted |= {name: measured[name] for name in missing}
        wanted["ExposureTime"] = int(wanted["ExposureTime"])
        wanted["AnalogueGain"] = float(wanted["AnalogueGain"])
        wanted["ColourGains"] = tuple(float(gain) for gain in wanted["ColourGains"])
        camera.set_controls({"AeEnable": False, "AwbEnable": False, **wanted})
        for _ in range(_MOST_FRAMES_TO_HOLD):
            metadata = self._metadata()
            different = [
                name
                for name in _HELD_CONTROLS
                if not _near(metadata[name], wanted[name], _HELD_SHARE)
            ]
            if not different:
                self._held.update(wanted)
                return
        name = different[0]
        raise CameraError(f"camera: {name} {wanted[name]} is not taken, it is {metadata[name]}")

    def _settled(self) -> dict[str, Any]:
        """What the automatics say once frames agree, or after those of the warm-up."""
        before, agreed = self._metadata(), 0
        for _ in range(self._settings.warm_up_frames):
            now = self._metadata()
            is_near = all(_near(now[name], before[name], _SETTLED_SHARE) for name in _HELD_CONTROLS)
            agreed = agreed + 1 if is_near else 0
            if agreed == _SETTLED_FRAMES:
                return now
            before = now
        self._log.warning("automatics_did_not_settle", frames=self._settings.warm_up_frames)
        return before

    # --- frames -----------------------------------------------------------------------------------

    def _array(self, stream: str, *, is_fresh: bool) -> Pixels:
        request = self._asked(
            lambda camera, wait: camera.capture_request(wait=wait, flush=is_fresh)
        )
        try:
            return np.array(request.make_array(stream), np.uint8)
        finally:
            request.release()

    def _metadata(self) -> dict[str, Any]:
        found: dict[str, Any] = self._asked(lambda camera, wait: camera.capture_metadata(wait=wait))
        return found

    def _asked(self, question: Any) -> Any:
        if self._camera is None:
            raise DeviceGoneError("the camera is closed")
        # Picamera2's own limit comes first: a thread that it gives back need not be given up.
        wait_s = 0.8 * self._settings.timeout_s
        try:
            return question(self._camera, wait_s)
        except TimeoutError as error:
            raise DeviceGoneError(
                f"the camera gave no frame within {wait_s:g} s: is its cable in place?"
            ) from error


def _near(given: Any, wanted: Any, share: float) -> bool:
    pairs = np.atleast_1d(np.asarray(given, float)), np.atleast_1d(np.asarray(wanted, float))
    return bool(np.all(np.abs(pairs[0] - pairs[1]) <= share * np.abs(pairs[1]) + 1e-9))
