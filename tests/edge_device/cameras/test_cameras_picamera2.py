"""The Raspberry Pi camera on a stand-in of Picamera2: calls, their order, what is held. No real one was seen."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from edge_device.cameras import (
    Camera,
    CameraError,
    Nothing,
    Picamera2CameraSettings,
    Shot,
    open_camera,
)
from edge_device.cameras.shots import PREVIEW_PX
from tests.edge_device.cameras.picamera2_stand_in import FOUND, RED_GREEN_BLUE, Picamera2


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Picamera2]]:
    Picamera2.reset()
    module = ModuleType("picamera2")
    module.Picamera2 = Picamera2  # type: ignore[attr-defined]  # a module made here
    monkeypatch.setitem(sys.modules, "picamera2", module)
    yield Picamera2
    Picamera2.let_go.set()


@contextmanager
def opened(**settings: object) -> Iterator[Camera]:
    values = {"kind": "picamera2", "width": 1280, "height": 960} | settings
    checked = Picamera2CameraSettings.model_validate(values)
    camera = open_camera(checked, lambda _key: False, max_bytes=1)
    try:
        yield camera
    finally:
        camera.close()


def wait_for_shot(camera: Camera, deadline_s: float = 15.0) -> Shot:
    until = time.monotonic() + deadline_s
    while not isinstance(shot := camera.take(), Shot):
        assert time.monotonic() < until, camera.trouble
        time.sleep(0.01)
    return shot


def wait_until(is_true: Callable[[], object], deadline_s: float = 15.0) -> None:
    until = time.monotonic() + deadline_s
    while not is_true():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_picture_is_red_green_blue_of_the_size_asked_for() -> None:
    with opened() as camera:
        shot = wait_for_shot(camera)
    assert isinstance(shot.content, np.ndarray) and shot.content.shape == (960, 1280, 3)
    assert tuple(shot.content[0, 0]) == RED_GREEN_BLUE and camera.is_live
    assert shot.source.startswith("picamera2:0 ")


@pytest.mark.parametrize("width", [1280, 640])
def test_a_preview_is_small_in_the_same_colours_without_a_change_of_mode(width: int) -> None:
    with opened(width=width, height=width * 3 // 4) as camera:
        preview = camera.preview()
        assert preview is not None and preview.shape[1] <= PREVIEW_PX
        assert preview.shape[0] == preview.shape[1] * 3 // 4
        assert np.abs(preview[5, 5].astype(int) - RED_GREEN_BLUE).max() <= 3
        (camera_of_glass,) = Picamera2.opened
        assert camera_of_glass.calls.count("configure") == 1


def test_every_buffer_goes_back() -> None:
    with opened() as camera:
        for _ in range(5):
            wait_for_shot(camera)
            assert camera.preview() is not None
        assert Picamera2.opened[0].held == 0


def test_the_automatics_settle_once_and_are_held_at_what_they_found() -> None:
    with opened() as camera:
        wait_for_shot(camera)
        first, held = Picamera2.opened[0].controls
    assert first == {"AeEnable": True, "AwbEnable": True}
    assert held == {"AeEnable": False, "AwbEnable": False} | FOUND


def test_a_camera_opened_again_is_given_the_values_found_the_first_time() -> None:
    with opened(timeout_s=1.0) as camera:
        wait_for_shot(camera)
        Picamera2.frames_come.clear()
        wait_until(lambda: "no frame within 0.8 s" in camera.trouble)
        Picamera2.frames_come.set()
        wait_for_shot(camera)
        assert camera.trouble == ""
        first, again = Picamera2.opened[0], Picamera2.opened[-1]
    assert again is not first and first.calls[-3:] == ["cancel_all_and_flush", "stop", "close"]
    assert again.controls == [{"AeEnable": False, "AwbEnable": False} | FOUND]


def test_what_the_settings_give_is_held_from_the_start() -> None:
    given: dict[str, Any] = {
        "exposure_us": 20_000,
        "analogue_gain": 2.0,
        "colour_gains": (1.5, 2.5),
    }
    with opened(**given) as camera:
        wait_for_shot(camera)
        assert Picamera2.opened[0].controls == [
            {
                "AeEnable": False,
                "AwbEnable": False,
                "ExposureTime": 20_000,
                "AnalogueGain": 2.0,
                "ColourGains": (1.5, 2.5),
            }
        ]


def test_one_value_given_is_held_while_the_others_are_measured() -> None:
    with opened(colour_gains=(1.5, 2.5)) as camera:
        wait_for_shot(camera)
        first, held = Picamera2.opened[0].controls
    assert first == {"AeEnable": True, "AwbEnable": False, "ColourGains": (1.5, 2.5)}
    assert held["ColourGains"] == (1.5, 2.5) and held["ExposureTime"] == FOUND["ExposureTime"]


def test_a_value_that_the_camera_does_not_take_is_refused() -> None:
    Picamera2.ignores = frozenset({"AnalogueGain"})
    with (
        pytest.raises(CameraError, match=r"AnalogueGain 8\.0 is not taken, it is"),
        opened(exposure_us=20_000, analogue_gain=8.0),
    ):
        pass


def test_another_size_than_asked_is_refused_and_the_camera_let_go() -> None:
    Picamera2.gives_size = (1296, 972)
    with pytest.raises(CameraError, match="1296 x 972 BGR888, not 1280 x 960"), opened():
        pass
    assert not Picamera2.opened[0].is_open


def test_without_picamera2_the_error_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    named = "apt install python3-picamera2.*--system-site-packages"
    with pytest.raises(CameraError, match=named), opened():
        pass


def test_a_camera_that_is_not_there_is_waited_for() -> None:
    Picamera2.cameras = 0
    with opened() as camera:
        assert camera.take() is Nothing.YET
        assert camera.trouble == "no Raspberry Pi camera 0: 0 found"
        Picamera2.cameras = 1
        wait_for_shot(camera)


def test_a_driver_that_is_stuck_is_given_up() -> None:
    with opened(timeout_s=0.5) as camera:
        wait_for_shot(camera)
        Picamera2.is_stuck = True
        assert camera.take() is Nothing.YET and camera.trouble
        Picamera2.is_stuck = False
        Picamera2.let_go.set()
        wait_for_shot(camera)
        first, *_, last = Picamera2.opened
        assert not first.is_open and last.is_open


def test_odd_sides_are_refused_in_the_settings() -> None:
    with pytest.raises(ValueError, match="multiple of 2"), opened(width=1281):
        pass
