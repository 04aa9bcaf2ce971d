"""`hemowire edge cameras` says what there is, what there is not, and takes one frame with its scores."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import structlog

from edge_device.cameras.found import v4l2_cameras
from hemowire.cli import main
from tests.edge_device.cameras.picamera2_stand_in import Picamera2


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    """The job configures logging for its process, to a stream that ends with its test."""
    yield
    structlog.reset_defaults()


def settings(tmp_path: Path, camera: str) -> Path:
    path = tmp_path / "edge.toml"
    path.write_text(
        f"""
site = "lab"
device = "scope-1"
data_dir = "{tmp_path / "data"}"
[camera]
{camera}
[broker]
host = "127.0.0.1"
port = 1
root = "t/v1"
username = "edge"
password = "p"
""",
        encoding="utf-8",
    )
    return path


def job(*args: object) -> int:
    return main(["edge", "cameras", *map(str, args)])


def test_devices_are_listed_with_their_names_and_the_link_that_stays(tmp_path: Path) -> None:
    dev, sys_class = tmp_path / "dev", tmp_path / "class"
    by_id = dev / "v4l" / "by-id"
    by_id.mkdir(parents=True)
    for number, (name, index) in enumerate(
        [("USB Microscope: UVC", 0), ("USB Microscope: UVC", 1), ("Gone", 0)]
    ):
        entry = sys_class / f"video{number}"
        entry.mkdir(parents=True)
        (entry / "name").write_text(f"{name}\n")
        (entry / "index").write_text(f"{index}\n")
        if name != "Gone":
            (dev / f"video{number}").touch()
    (sys_class / "video10").mkdir()
    (dev / "video10").touch()
    (by_id / "usb-Maker_Microscope-video-index0").symlink_to("../../video0")
    found = [(camera.device, camera.name, camera.note) for camera in v4l2_cameras(sys_class, dev)]
    assert found == [
        (str(by_id / "usb-Maker_Microscope-video-index0"), "USB Microscope: UVC", ""),
        (str(dev / "video1"), "USB Microscope: UVC", "metadata only"),
        (str(dev / "video2"), "Gone", f"{dev / 'video2'} is not there"),
        (str(dev / "video10"), "without a name", ""),
    ]


def test_a_machine_without_cameras_says_so_and_how_to_see_more(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    monkeypatch.setattr("edge_device.cameras.found.v4l2_cameras", list)
    assert job() == 0
    shown = capsys.readouterr().out
    assert "No camera is connected" in shown and "apt install python3-picamera2" in shown


def test_raspberry_pi_cameras_are_listed_by_their_sensor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import types

    Picamera2.reset()
    module = types.ModuleType("picamera2")
    module.Picamera2 = Picamera2  # type: ignore[attr-defined]  # a module made here
    monkeypatch.setitem(sys.modules, "picamera2", module)
    monkeypatch.setattr("edge_device.cameras.found.v4l2_cameras", list)
    assert job() == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["picamera2", "0", "imx477"]


def test_one_frame_is_written_with_the_scores_of_the_gate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    camera = 'kind = "simulated"\nseed = 7\nwidth_px = 320\nheight_px = 240\nburst = 2'
    config, picture = settings(tmp_path, camera), tmp_path / "frame.png"
    assert job("--config", config, "--take", picture) == 0
    shown = capsys.readouterr().out
    assert "scope-1 uses the simulated camera (seed 7)." in shown
    assert "320 x 240 px" in shown and "focus of the burst" in shown
    assert "The gate: " in shown and "white level" in shown
    written = cv2.imread(str(picture))
    assert written is not None and written.shape == (240, 320, 3)


def test_a_file_of_the_folder_is_the_frame_of_a_folder_camera(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), np.full((64, 96, 3), (10, 20, 30), np.uint8))
    config = settings(tmp_path, f'kind = "folder"\nfolder = "{folder}"\nsettle_s = 0')
    assert job("--config", config, "--take", tmp_path / "frame.png") == 0
    assert "96 x 64 px" in capsys.readouterr().out
    written = cv2.imread(str(tmp_path / "frame.png"))
    assert written is not None and written[0, 0].tolist() == [10, 20, 30]


def test_no_frame_says_why_and_ends_with_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = settings(tmp_path, 'kind = "v4l2"\ndevice = "/dev/video-none"')
    assert job("--config", config, "--take", tmp_path / "frame.png", "--wait", 0.3) == 1
    shown = capsys.readouterr()
    assert "scope-1 uses the V4L2 camera /dev/video-none." in shown.out
    assert "no such device: /dev/video-none" in shown.err
    assert not (tmp_path / "frame.png").exists()


@pytest.mark.parametrize("name", ["frame.txt", "no/such/folder/frame.png"])
def test_a_file_that_cannot_be_written_is_named(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = settings(tmp_path, 'kind = "simulated"\nwidth_px = 96\nheight_px = 64')
    assert job("--config", config, "--take", tmp_path / name) == 2
    assert name in capsys.readouterr().err


def test_taking_needs_the_settings_of_the_camera(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert job("--take", tmp_path / "frame.png") == 2
    assert "--config" in capsys.readouterr().err
