"""Cameras: each file once, whole and in order; frames that a restart repeats exactly; no fallback."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from edge_device.cameras import (
    CameraError,
    FolderCameraSettings,
    Nothing,
    Shot,
    SimulatedCameraSettings,
    Unusable,
    focus_of,
    open_camera,
)
from edge_device.cameras.folder import FolderCamera
from edge_device.cameras.shots import at_most_preview
from edge_device.cameras.simulated import SimulatedCamera
from edge_device.simulator import render_field
from wire_protocol.json_messages import Reason

LONG_AGO_S = 1_700_000_000.0


def write(path: Path, content: bytes = b"x", *, at_s: float = LONG_AGO_S) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (at_s, at_s))


def folder_camera(
    folder: Path, captured: frozenset[str] = frozenset(), **settings: object
) -> FolderCamera:
    values = {"kind": "folder", "folder": folder} | settings
    checked = FolderCameraSettings.model_validate(values)
    return FolderCamera(checked, captured.__contains__, max_bytes=1000)


def take_all(camera: FolderCamera | SimulatedCamera) -> list[Shot]:
    shots = []
    while isinstance(shot := camera.take(), Shot):
        shots.append(shot)
    return shots


def names(shots: list[Shot]) -> list[str]:
    return [Path(shot.source).name for shot in shots]


def test_replay_takes_each_image_file_once_in_order_of_path(tmp_path: Path) -> None:
    for name in ("b.JPG", "a/z.png", "a/y.jpeg", "c.tif", "notes.txt", ".hidden.jpg", "d.jpg.part"):
        write(tmp_path / name)
    camera = folder_camera(tmp_path)
    assert names(take_all(camera)) == ["y.jpeg", "z.png", "b.JPG", "c.tif"]
    assert camera.take() is Nothing.EVER


def test_what_was_captured_before_is_not_taken_again_but_a_new_version_is(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        write(tmp_path / name)
    keys = frozenset(shot.source_key for shot in take_all(folder_camera(tmp_path)))
    assert take_all(folder_camera(tmp_path, keys)) == []
    write(tmp_path / "b.jpg", b"new bytes")
    assert names(take_all(folder_camera(tmp_path, keys))) == ["b.jpg"]


def test_two_files_with_the_same_bytes_are_two_captures(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        write(tmp_path / name, b"same")
    assert len({shot.source_key for shot in take_all(folder_camera(tmp_path))}) == 2


def test_count_is_of_all_runs_together(tmp_path: Path) -> None:
    for n in range(5):
        write(tmp_path / f"{n}.jpg")
    first = take_all(folder_camera(tmp_path, count=3))
    assert names(first) == ["0.jpg", "1.jpg", "2.jpg"]
    keys = frozenset(shot.source_key for shot in first[:2])
    assert names(take_all(folder_camera(tmp_path, keys, count=3))) == ["2.jpg"]


def test_loop_begins_again_until_the_count(tmp_path: Path) -> None:
    for n in range(2):
        write(tmp_path / f"{n}.jpg")
    shots = take_all(folder_camera(tmp_path, mode="loop", count=5))
    assert names(shots) == ["0.jpg", "1.jpg", "0.jpg#turn2", "1.jpg#turn2", "0.jpg#turn3"]
    assert len({shot.source_key for shot in shots}) == 5


def test_a_file_that_is_being_written_is_waited_for(tmp_path: Path) -> None:
    write(tmp_path / "a.jpg", b"half", at_s=time.time() + 1000)  # a clock that cannot be trusted
    camera = folder_camera(tmp_path, settle_s=0.2)
    assert camera.take() is Nothing.YET
    write(tmp_path / "a.jpg", b"whole", at_s=time.time() + 1001)
    deadline = time.monotonic() + 10
    while (shot := camera.take()) is Nothing.YET:
        assert time.monotonic() < deadline
    assert isinstance(shot, Shot) and shot.content == b"whole"


def test_the_folder_of_a_file_travels_with_it_relative_to_the_cameras(tmp_path: Path) -> None:
    for name in ("a.jpg", "S-1/b.jpg", "S-2/left/c.jpg"):
        write(tmp_path / name)
    shots = take_all(folder_camera(tmp_path))
    assert {Path(shot.source).name: shot.folder for shot in shots} == {
        "a.jpg": "",
        "b.jpg": "S-1",
        "c.jpg": "S-2/left",
    }


def test_files_are_no_live_camera(tmp_path: Path) -> None:
    write(tmp_path / "a.jpg")
    camera = folder_camera(tmp_path)
    assert (camera.is_live, camera.trouble, camera.preview()) == (False, "", None)


def test_a_file_over_the_limit_or_unreadable_is_a_rejection_and_no_gap(tmp_path: Path) -> None:
    write(tmp_path / "large.jpg", bytes(1001))
    (tmp_path / "folder.jpg").mkdir()
    write(tmp_path / "folder.jpg" / "in.jpg")
    large = take_all(folder_camera(tmp_path))[-1].content
    assert isinstance(large, Unusable)
    assert (large.refusal.reason, large.size_bytes) == (Reason.TOO_LARGE, 1001)


def test_a_link_is_taken_by_its_own_name(tmp_path: Path) -> None:
    write(tmp_path / "real" / "a.jpg", b"bytes")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "0.jpg").symlink_to(tmp_path / "real" / "a.jpg")
    (shot,) = take_all(folder_camera(tmp_path / "links"))
    assert (shot.source, shot.content) == (str(tmp_path / "links" / "0.jpg"), b"bytes")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"folder": "nowhere"}, "no such folder"),
        ({}, "no image file"),
        ({"mode": "loop"}, "needs camera.count"),
    ],
)
def test_a_camera_that_cannot_work_is_refused_by_name(
    tmp_path: Path, settings: dict[str, object], named: str
) -> None:
    with pytest.raises(CameraError, match=named):
        folder_camera(**({"folder": tmp_path} | settings))  # type: ignore[arg-type]  # strings are checked by pydantic


def test_simulated_frames_are_the_same_in_every_run_and_say_what_they_are() -> None:
    settings = SimulatedCameraSettings(
        kind="simulated", seed=5, count=4, fields_per_slide=2, width_px=96, height_px=64
    )
    first = take_all(SimulatedCamera(settings, lambda _key: False, focus_of))
    again = take_all(
        SimulatedCamera(settings, frozenset({first[0].source_key}).__contains__, focus_of)
    )
    assert [shot.source for shot in first] == [
        "simulated:seed5:ALL:slide0:field0",
        "simulated:seed5:ALL:slide0:field1",
        "simulated:seed5:AML:slide1:field0",
        "simulated:seed5:AML:slide1:field1",
    ]
    assert [shot.source_key for shot in again] == [shot.source_key for shot in first[1:]]
    assert all(
        np.array_equal(a.content, b.content)  # type: ignore[arg-type]  # the simulator gives arrays
        for a, b in zip(again, first[1:], strict=True)
    )
    assert first[0].um_per_px == settings.um_per_px


def simulated(**settings: object) -> SimulatedCamera:
    values = {"kind": "simulated", "width_px": 320, "height_px": 240} | settings
    checked = SimulatedCameraSettings.model_validate(values)
    return SimulatedCamera(checked, lambda _key: False, focus_of)


def test_a_simulated_preview_shows_what_is_taken_next_and_then_the_last_field() -> None:
    camera = simulated(count=1, width_px=1600, height_px=1200)
    before = camera.preview()
    assert before is not None and before.shape == (600, 800, 3)
    shot = camera.take()
    assert isinstance(shot, Shot) and isinstance(shot.content, np.ndarray)
    small = at_most_preview(shot.content).astype(int)
    for preview in (before, camera.preview()):
        assert preview is not None and 0 < np.abs(preview - small).max() <= 4
    assert camera.take() is Nothing.EVER
    last = camera.preview()
    assert last is not None and not np.array_equal(before, last)  # its noise is drawn anew


def test_previews_render_no_field_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered = []

    def counted(*args: object, **kwargs: object) -> object:
        rendered.append(args)
        return render_field(*args, **kwargs)  # type: ignore[arg-type]  # passed through as it came

    monkeypatch.setattr("edge_device.cameras.simulated.render_field", counted)
    camera = simulated()
    for _ in range(3):
        assert camera.preview() is not None and isinstance(camera.take(), Shot)
        assert camera.preview() is not None
    assert len(rendered) == 3


def test_a_simulated_stage_comes_to_rest_and_the_sharpest_frame_is_the_picture() -> None:
    shot = simulated(settle_frames=2, settle_s=30, burst=4).take()
    assert isinstance(shot, Shot) and shot.sequence is not None
    sequence = shot.sequence
    assert sequence.is_still and sequence.waited_frames >= 4
    assert len(sequence.focus) == 4 and max(sequence.focus) == sequence.focus[sequence.chosen]
    assert isinstance(shot.content, np.ndarray)
    assert focus_of(shot.content) == sequence.focus[sequence.chosen]


def test_the_settings_choose_the_camera(tmp_path: Path) -> None:
    write(tmp_path / "a.jpg")
    folder = FolderCameraSettings(kind="folder", folder=tmp_path)
    simulated = SimulatedCameraSettings(kind="simulated")
    assert isinstance(open_camera(folder, lambda _: False, max_bytes=9), FolderCamera)
    assert isinstance(open_camera(simulated, lambda _: False, max_bytes=9), SimulatedCamera)
