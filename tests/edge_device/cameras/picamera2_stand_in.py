"""A stand-in of Picamera2's API: as strict as the real one about names, order and types, with its delays.

Written from Picamera2's source: what `create_still_configuration`, `configure`, `start`,
`set_controls`, `capture_request`, `capture_metadata`, `cancel_all_and_flush`, `stop` and `close`
take, and what they refuse. No real camera was ever before it.
"""

from __future__ import annotations

import threading
from typing import Any, ClassVar

import cv2
import numpy as np
import numpy.typing as npt

RED_GREEN_BLUE = (200, 100, 50)
#: Frames until a control arrives.
DELAY = 3
#: What the automatics come to, after so many frames.
FOUND: dict[str, Any] = {"ExposureTime": 12_345, "AnalogueGain": 1.875, "ColourGains": (1.75, 2.25)}
SETTLING_FRAMES = 8

_TYPES: dict[str, type] = {
    "AeEnable": bool,
    "AwbEnable": bool,
    "ExposureTime": int,
    "AnalogueGain": float,
    "ColourGains": tuple,
}


class Request:
    """A completed request; its buffer must go back."""

    def __init__(self, camera: Picamera2) -> None:
        self._camera = camera
        self._is_released = False

    def make_array(self, name: str) -> npt.NDArray[np.uint8]:
        assert not self._is_released, "the buffer was given back already"
        width, height = self._camera.config[name]["size"]
        picture = np.full((height, width, 3), RED_GREEN_BLUE, np.uint8)
        match self._camera.config[name]["format"]:
            case "BGR888":
                return picture
            case "RGB888":
                return np.ascontiguousarray(picture[:, :, ::-1])
            case "YUV420":
                return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420), np.uint8)
            case other:
                raise RuntimeError(f"Format {other} not supported")

    def release(self) -> None:
        assert not self._is_released, "released twice"
        self._is_released = True
        self._camera.held -= 1


class Picamera2:
    """One camera; class attributes set what the next one does, `opened` has all there were."""

    cameras: ClassVar[int] = 1
    opened: ClassVar[list[Picamera2]] = []
    #: What the camera makes of the size that it is asked for.
    gives_size: ClassVar[tuple[int, int] | None] = None
    #: Controls that the camera ignores.
    ignores: ClassVar[frozenset[str]] = frozenset()
    #: Set while frames come; clear: they do not, and a limited wait for one raises.
    frames_come: ClassVar[threading.Event] = threading.Event()
    #: Set: the driver is stuck so that not even its own limits work.
    is_stuck: ClassVar[bool] = False
    let_go: ClassVar[threading.Event] = threading.Event()
    is_open: bool

    @classmethod
    def reset(cls) -> None:
        cls.cameras, cls.opened, cls.gives_size = 1, [], None
        cls.ignores, cls.is_stuck = frozenset(), False
        cls.frames_come, cls.let_go = threading.Event(), threading.Event()
        cls.frames_come.set()

    @staticmethod
    def global_camera_info() -> list[dict[str, Any]]:
        return [{"Model": "imx477", "Num": n} for n in range(Picamera2.cameras)]

    def __init__(self, camera_num: int = 0) -> None:
        if not 0 <= camera_num < self.cameras:
            raise IndexError("list index out of range")
        if any(camera.is_open for camera in self.opened):
            raise RuntimeError("Camera __init__ sequence did not complete.")
        self.opened.append(self)
        self.calls: list[str] = []
        self.controls: list[dict[str, Any]] = []
        self.config: dict[str, Any] = {}
        self.is_open = True
        self.is_started = False
        self.held = 0
        self._frame = 0
        self._waiting: list[tuple[int, dict[str, Any]]] = []
        self._now: dict[str, Any] = {"AeEnable": True, "AwbEnable": True}
        self._now |= {"ExposureTime": 5000, "AnalogueGain": 1.0, "ColourGains": (1.0, 1.0)}

    def create_still_configuration(
        self,
        main: dict[str, Any],
        lores: dict[str, Any] | None = None,
        buffer_count: int = 1,
        queue: bool = True,
    ) -> dict[str, Any]:
        self.calls.append("create_still_configuration")
        return {"main": main, "lores": lores, "buffer_count": buffer_count, "queue": queue}

    def configure(self, config: dict[str, Any]) -> None:
        self.calls.append("configure")
        assert not self.is_started, "configured while it runs"
        for name in ("main", "lores"):
            stream = config[name]
            if stream is None:
                continue
            assert set(stream) == {"size", "format"}, f"bad keys {sorted(stream)}"
            size = stream["size"]
            assert type(size) is tuple and len(size) == 2, f"{name} size should be a pair"
            assert all(type(side) is int and side % 2 == 0 for side in size), "sides are even"
        if config["lores"] is not None:
            assert config["lores"]["format"] == "YUV420", "lores stream must be YUV"
            for low, high in zip(config["lores"]["size"], config["main"]["size"], strict=True):
                assert low <= high, "lores stream dimensions may not exceed main stream"
        self.config = config | {"main": dict(config["main"])}
        if self.gives_size is not None:
            self.config["main"]["size"] = self.gives_size

    def camera_configuration(self) -> dict[str, Any]:
        assert self.config, "not configured"
        return self.config

    def start(self) -> None:
        self.calls.append("start")
        assert self.config and not self.is_started
        self.is_started = True

    def set_controls(self, controls: dict[str, Any]) -> None:
        self.calls.append("set_controls")
        for name, value in controls.items():
            assert name in _TYPES, f"Control {name} is not advertised by libcamera"
            assert type(value) is _TYPES[name], f"{name} {value!r} has the wrong type"
        if "ColourGains" in controls:
            assert [type(gain) for gain in controls["ColourGains"]] == [float, float]
        self.controls.append(controls)
        taken = {name: value for name, value in controls.items() if name not in self.ignores}
        self._waiting.append((self._frame + DELAY, taken))

    def capture_request(self, wait: float, flush: bool) -> Request:
        assert type(flush) is bool
        self._wait(wait)
        self.held += 1
        assert self.held <= self.config["buffer_count"], "all buffers are out: no frame ever comes"
        return Request(self)

    def capture_metadata(self, wait: float) -> dict[str, Any]:
        self._wait(wait)
        return {name: self._now[name] for name in FOUND}

    def cancel_all_and_flush(self) -> None:
        self.calls.append("cancel_all_and_flush")

    def stop(self) -> None:
        self.calls.append("stop")
        self.is_started = False

    def close(self) -> None:
        self.calls.append("close")
        self.is_open = False

    def _wait(self, wait: float) -> None:
        assert self.is_started, "no frame comes before start"
        assert type(wait) is float and 0 < wait < 600, "waits for ever"
        if self.is_stuck:
            self.let_go.wait()
        if not self.frames_come.is_set():
            raise TimeoutError
        self._frame += 1
        while self._waiting and self._waiting[0][0] <= self._frame:
            self._now |= self._waiting.pop(0)[1]
        share = min(1.0, self._frame / SETTLING_FRAMES)
        if self._now["AeEnable"]:
            self._now["ExposureTime"] = round(5000 + share * (FOUND["ExposureTime"] - 5000))
            self._now["AnalogueGain"] = 1 + share * (FOUND["AnalogueGain"] - 1)
        if self._now["AwbEnable"]:
            self._now["ColourGains"] = tuple(1 + share * (g - 1) for g in FOUND["ColourGains"])
