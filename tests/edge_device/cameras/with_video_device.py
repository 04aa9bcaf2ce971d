"""Runs one scenario of a V4L2 camera in a process whose /dev/video77 is video_device.c; prints what it saw as JSON."""

from __future__ import annotations

import ctypes
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from edge_device.cameras import Camera, CameraError, Shot, V4l2CameraSettings, open_camera

FOLDER = Path(os.environ["HEMOWIRE_TEST_VIDEO"])
DEVICE, AWAY, HANG = FOLDER / "device", FOLDER / "away", FOLDER / "hang"
TICKS_PER_S = 20
#: V4L2_CID_...: EXPOSURE_AUTO, EXPOSURE_ABSOLUTE, AUTO_WHITE_BALANCE, WHITE_BALANCE_TEMPERATURE, GAIN
CONTROLS = {
    "exposure_auto": 0x9A0901,
    "exposure": 0x9A0902,
    "white_auto": 0x98090C,
    "white": 0x98091A,
    "gain": 0x980913,
}


@contextmanager
def opened(**settings: object) -> Iterator[Camera]:
    values = {"kind": "v4l2", "device": "/dev/video77", "warm_up_frames": 2} | settings
    checked = V4l2CameraSettings.model_validate(values)
    camera = open_camera(checked, lambda _key: False, max_bytes=1)
    try:
        yield camera
    finally:
        camera.close()


def wait_for_shot(camera: Camera) -> Shot:
    until = time.monotonic() + 30
    while not isinstance(shot := camera.take(), Shot):
        assert time.monotonic() < until, camera.trouble
        time.sleep(0.01)
    return shot


def wait_until(is_true: Callable[[], object]) -> None:
    until = time.monotonic() + 30
    while not is_true():
        assert time.monotonic() < until
        time.sleep(0.01)


def age_s(shot: Shot) -> float:
    """How long before now the frame was made, by its grey level; negative never."""
    assert isinstance(shot.content, np.ndarray)
    tick = round(float(shot.content.mean()) / (255 / 219))  # video levels go from 16 to 235
    return ((time.monotonic() * TICKS_PER_S - tick) % 200) / TICKS_PER_S


def controls() -> dict[str, int]:
    device = ctypes.CDLL(None)
    return {name: device.video_device_control(number) for name, number in CONTROLS.items()}


def size() -> object:
    """Asked, given, and asked for what it has not got."""
    with opened(width=320, height=240, fps=20, fourcc="YUYV") as camera:
        shot = wait_for_shot(camera)
        assert isinstance(shot.content, np.ndarray)
        shape = list(shot.content.shape)
    try:
        with opened(width=1920):
            return shape, "not refused"
    except CameraError as error:
        return shape, str(error)


def now() -> object:
    """Ages of pictures that were asked for after a pause, in which the driver's buffers grew old."""
    ages = []
    with opened() as camera:
        for _ in range(3):
            time.sleep(0.9)
            ages.append(age_s(wait_for_shot(camera)))
        time.sleep(0.9)
        assert camera.preview() is not None
    return ages


def locked() -> object:
    """The automatics' values, once found, before and after the camera lost its power."""
    found = []
    with opened() as camera:
        for _ in range(2):
            wait_for_shot(camera)
            found.append(controls())
            DEVICE.rename(AWAY)
            wait_until(lambda: camera.trouble)
            AWAY.rename(DEVICE)
            wait_until(lambda: not camera.trouble)
    return found


def given() -> object:
    with opened(exposure=220, white_balance_k=5200, gain=30) as camera:
        wait_for_shot(camera)
        return controls()


def stubborn() -> object:
    """A driver that keeps its automatics: refused where values were given, else used."""
    (FOLDER / "stubborn").touch()
    with opened() as camera:
        wait_for_shot(camera)
    try:
        with opened(exposure=220):
            return "not refused"
    except CameraError as error:
        return str(error)


def unplugged() -> object:
    with opened() as camera:
        wait_for_shot(camera)
        DEVICE.rename(AWAY)
        wait_until(lambda: camera.trouble)
        trouble = camera.trouble
        AWAY.rename(DEVICE)
        return trouble, age_s(wait_for_shot(camera)), camera.trouble


def hanging() -> object:
    """A read that never returns; the time that asking costs; then the camera comes to its senses."""
    with opened(timeout_s=0.5) as camera:
        wait_for_shot(camera)
        HANG.touch()
        began_s = time.monotonic()
        camera.take()
        cost_s, trouble = time.monotonic() - began_s, camera.trouble
        for _ in range(5):
            camera.take()
        threads = sum(thread.name.startswith("camera v4l2:") for thread in threading.enumerate())
        HANG.unlink()
        return cost_s, trouble, threads, age_s(wait_for_shot(camera)), camera.trouble


if __name__ == "__main__":
    scenarios: dict[str, Callable[[], object]] = {
        run.__name__: run for run in (size, now, locked, given, stubborn, unplugged, hanging)
    }
    print(json.dumps(scenarios[sys.argv[1]]()), flush=True)  # noqa: T201 - for the test
    os._exit(0)  # a driver that still hangs must not hold this process
