"""A camera through the real OpenCV, over files, a pipe that hangs and a device that comes and goes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_device.cameras import (
    Camera,
    CameraError,
    Nothing,
    Shot,
    V4l2CameraSettings,
    open_camera,
)
from edge_device.cameras.shots import PREVIEW_PX

WIDTH, HEIGHT = 320, 240


def write_video(path: Path, *, width: int = WIDTH, height: int = HEIGHT, frames: int = 30) -> Path:
    """Frame n is grey level 8 n."""
    beside = path.with_name(f"being-written-{path.name}")
    writer = cv2.VideoWriter(
        str(beside), cv2.VideoWriter.fourcc(*"MJPG"), 20, (width, height), True
    )
    for n in range(frames):
        writer.write(np.full((height, width, 3), 8 * n, np.uint8))
    writer.release()
    return beside.rename(path)


@contextmanager
def opened(device: Path, **settings: object) -> Iterator[Camera]:
    values = {"kind": "v4l2", "device": device, "warm_up_frames": 0} | settings
    checked = V4l2CameraSettings.model_validate(values)
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


def level(shot: Shot) -> float:
    assert isinstance(shot.content, np.ndarray)
    return float(shot.content.mean())


def test_a_picture_is_rgb_of_the_negotiated_size_and_a_capture_of_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for n in range(3):
        red = np.zeros((48, 64, 3), np.uint8)
        red[:, :, 2] = 200
        cv2.imwrite(str(folder / f"frame_{n:03d}.png"), red)
    with opened(folder / "frame_%03d.png", width=64, height=48) as camera:
        first, second = wait_for_shot(camera), wait_for_shot(camera)
    assert isinstance(first.content, np.ndarray) and first.content.shape == (48, 64, 3)
    assert first.content[0, 0].tolist() == [200, 0, 0]
    assert first.source_key != second.source_key and camera.is_live
    assert first.source.startswith("v4l2:")


def test_frames_of_the_warm_up_are_dropped(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.avi")
    with opened(video, warm_up_frames=10) as camera:
        # One more frame is read at the opening, to see the true size.
        assert level(wait_for_shot(camera)) == pytest.approx(8 * 11, abs=2)


def test_a_preview_is_small_and_none_while_there_is_no_picture(tmp_path: Path) -> None:
    with opened(write_video(tmp_path / "v.avi", width=1600, height=1200)) as camera:
        preview = camera.preview()
        assert preview is not None and preview.shape == (600, PREVIEW_PX, 3)
    with opened(tmp_path / "nowhere.avi") as camera:
        assert camera.preview() is None


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"width": 640}, r"camera\.width: .*v\.avi gives 320 px, not 640"),
        ({"height": 480}, r"camera\.height: .* gives 240 px, not 480"),
        ({"fourcc": "YUYV"}, r"camera\.fourcc: .* gives 'MJPG', not 'YUYV'"),
        ({"fps": 30}, r"camera\.fps: .* gives 20 frames a second, not 30"),
        ({"exposure": 150}, r"camera\.exposure: .* does not take 150"),
        ({"white_balance_k": 4600}, r"camera\.white_balance_k: .* does not take 4600"),
        ({"gain": 2.0}, r"camera\.gain: .* does not take 2"),
    ],
)
def test_what_the_camera_does_not_give_is_refused_at_the_start(
    tmp_path: Path, settings: dict[str, object], named: str
) -> None:
    video = write_video(tmp_path / "v.avi")
    with pytest.raises(CameraError, match=named), opened(video, **settings):
        pass


def test_what_the_camera_gives_as_asked_is_taken(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.avi")
    with opened(video, width=WIDTH, height=HEIGHT, fourcc="MJPG", fps=20) as camera:
        assert level(wait_for_shot(camera)) == pytest.approx(8, abs=2)


def test_a_camera_that_is_not_plugged_in_is_waited_for(tmp_path: Path) -> None:
    with opened(tmp_path / "v.avi") as camera:
        assert camera.take() is Nothing.YET
        assert "no such device" in camera.trouble and "v.avi" in camera.trouble
        write_video(tmp_path / "v.avi")
        wait_for_shot(camera)
        assert camera.trouble == ""


def test_a_camera_that_is_unplugged_says_so_without_being_asked_and_comes_back(
    tmp_path: Path,
) -> None:
    video = write_video(tmp_path / "v.avi")
    with opened(video) as camera:
        wait_for_shot(camera)
        video.rename(tmp_path / "elsewhere.avi")
        wait_until(lambda: camera.trouble)
        assert camera.take() is Nothing.YET
        (tmp_path / "elsewhere.avi").rename(video)
        wait_until(lambda: not camera.trouble)
        wait_for_shot(camera)


def test_another_camera_in_its_place_is_trouble_and_not_taken(tmp_path: Path) -> None:
    """Not the end of the program: the outbox has to go on."""
    video = write_video(tmp_path / "v.avi")
    with opened(video, width=WIDTH) as camera:
        wait_for_shot(camera)
        video.unlink()
        wait_until(lambda: camera.trouble)
        write_video(video, width=160)
        wait_until(lambda: "gives 160 px, not 320" in camera.trouble)
        assert camera.take() is Nothing.YET


def test_a_camera_that_gives_no_frame_any_more_is_opened_again(tmp_path: Path) -> None:
    with opened(write_video(tmp_path / "v.avi", frames=4)) as camera:
        levels = [level(wait_for_shot(camera)) for _ in range(5)]
    assert levels == pytest.approx([8, 16, 24, 8, 16], abs=2)


def test_a_count_ends_the_captures_of_this_run(tmp_path: Path) -> None:
    with opened(write_video(tmp_path / "v.avi"), count=2) as camera:
        assert isinstance(wait_for_shot(camera), Shot) and isinstance(camera.take(), Shot)
        assert camera.take() is Nothing.EVER


def test_bursts_and_waiting_use_frames_of_the_device(tmp_path: Path) -> None:
    with opened(write_video(tmp_path / "v.avi"), settle_frames=2, settle_s=0.3, burst=3) as camera:
        sequence = wait_for_shot(camera).sequence
    assert sequence is not None and len(sequence.focus) == 3
    assert sequence.is_still  # each frame of this video is plain: it differs by its lamp alone


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Path]:
    """Opening it blocks for ever, as a read of a confused camera does; let go at the end.

    OpenCV opens videos one at a time in a process: meanwhile no other file may be opened here.
    """
    path = tmp_path / "camera"
    os.mkfifo(path)
    yield path
    if path.exists() and path.is_fifo():
        let_go(path)


def let_go(pipe: Path) -> None:
    for thread in threading.enumerate():
        while thread.name.startswith("camera v4l2:") and thread.is_alive():
            with suppress(OSError):  # nobody may be opening it at this moment
                os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
            thread.join(0.02)


def test_a_driver_that_hangs_costs_the_timeout_and_no_more(pipe: Path) -> None:
    began = time.monotonic()
    with opened(pipe, timeout_s=0.3) as camera:
        assert camera.take() is Nothing.YET
        assert "did not answer within 0.3 s" in camera.trouble
    assert time.monotonic() - began < 10


def test_threads_that_hang_are_bounded_and_the_person_is_told(pipe: Path) -> None:
    with opened(pipe, timeout_s=0.1) as camera:
        for _ in range(8):
            assert camera.take() is Nothing.YET
        hanging = [t for t in threading.enumerate() if t.name.startswith("camera v4l2:")]
        assert len(hanging) <= 3
        assert "unplug it and plug it in again, or restart" in camera.trouble
