"""Versions on disk: numbers never given twice, undo and reset, damage and full disks survived."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_device.flat_field import FlatField, FlatFieldSettings, FlatFieldStore
from tests.edge_device.flat_field.conftest import Teach
from tests.edge_device.flat_field.pictures import OTHER_LIGHT, blurred, frame, light


def reopened(folder: Path, **changes: object) -> FlatField:
    return FlatField(folder, FlatFieldSettings.model_validate(changes))


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def two_versions(folder: Path, **changes: object) -> FlatField:
    """A light that moved, so that the second version is another field."""
    field = reopened(folder, min_frames=4, recent_frames=8, **changes)
    for seed in range(4):
        field.learn(frame(seed))
    moved = light() * np.float32(0.9) + OTHER_LIGHT * np.float32(0.1)
    for seed in range(10):
        field.learn(frame(seed, moved))
    field.correct(frame(50))
    assert field.version == 2
    return field


def test_a_restarted_device_corrects_at_once(tmp_path: Path, taught: Teach) -> None:
    raw = frame(99)
    expected = taught().correct(raw)
    again = reopened(tmp_path)
    assert np.abs(again.correct(raw).astype(int) - expected).max() <= 1
    assert again.version == 1
    assert again.state.learned_frames == 6


def test_nothing_is_written_before_there_is_a_version(tmp_path: Path) -> None:
    folder = tmp_path / "flat_field"
    field = reopened(folder)
    for seed in range(5):
        field.learn(frame(seed))
        field.correct(frame(seed))
    assert not folder.exists()
    field.learn(frame(6))
    assert files(folder) == ["v000001.npz"]


def test_steady_light_makes_no_further_versions(tmp_path: Path) -> None:
    field = reopened(tmp_path, min_frames=4, recent_frames=8, write_every_s=0)
    for seed in range(80):
        field.learn(frame(seed))
    assert len(files(tmp_path)) <= 2


def test_undo_goes_back_a_version_and_stays_there(tmp_path: Path) -> None:
    field = two_versions(tmp_path)
    first = reopened(tmp_path)
    assert field.undo() == 1
    assert field.state.held
    raw = frame(99, cells=0)
    for seed in range(30):
        field.learn(frame(seed))
    field.correct(raw)
    assert field.version == 1
    restarted = reopened(tmp_path, min_frames=4, recent_frames=8)
    assert restarted.state.held
    restarted.correct(raw)
    assert restarted.version == 1
    first.correct(raw)
    assert first.version == 2
    assert restarted.undo() == 0
    assert restarted.correct(raw) is raw
    assert restarted.state.said == "undone: as it is"
    assert reopened(tmp_path).correct(raw) is raw


def test_after_resume_learning_goes_on_under_a_new_number(tmp_path: Path) -> None:
    field = two_versions(tmp_path)
    field.undo()
    field.resume()
    moved = light() * np.float32(0.9) + OTHER_LIGHT * np.float32(0.1)
    for seed in range(20):
        field.learn(frame(seed, moved))
    corrected = field.correct(frame(99, moved, cells=0))
    assert field.version == 3
    assert np.abs(blurred(corrected) - 220).max() < 8
    assert FlatFieldStore(tmp_path).state().undone == (2,)


def test_reset_forgets_all_but_the_numbers(tmp_path: Path) -> None:
    field = two_versions(tmp_path)
    field.reset()
    assert field.version == 0
    assert field.correct(frame(1)) is not None
    assert files(tmp_path) == ["state.json"]
    again = reopened(tmp_path, min_frames=4)
    for seed in range(4):
        again.learn(frame(seed))
    again.correct(frame(50))
    assert again.version == 3


def test_only_a_few_versions_are_kept(tmp_path: Path) -> None:
    now = [0.0]
    settings = FlatFieldSettings(
        min_frames=3, recent_frames=3, write_every_frames=5, kept_versions=2
    )
    field = FlatField(tmp_path, settings, now_s=lambda: now[0])
    for seed in range(60):
        now[0] += 3600
        share = np.float32(0.2 * seed / 60)
        field.learn(frame(seed, light() * (1 - share) + OTHER_LIGHT * share))
    kept = files(tmp_path)
    assert len(kept) == 2
    assert int(kept[-1][1:7]) > 4


def test_only_eight_lights_are_kept(tmp_path: Path) -> None:
    field = reopened(tmp_path, min_frames=2, recent_frames=3)
    for lamp in range(10):
        angle = 2 * np.pi * lamp / 10
        shading = light((0.5 * np.cos(angle), 0.5 * np.sin(angle)), 0.35)
        for seed in range(2):
            field.learn(frame(seed, shading))
    assert len(files(tmp_path)) == 8


def test_a_torn_file_is_left_alone_and_its_number_not_given_again(tmp_path: Path) -> None:
    two_versions(tmp_path)
    newest = tmp_path / "v000002.npz"
    newest.write_bytes(newest.read_bytes()[:-3000])
    (tmp_path / "v000003.npz.tmp").write_bytes(b"half")
    field = reopened(tmp_path)
    field.correct(frame(99))
    assert field.version == 1
    assert newest.exists()
    assert FlatFieldStore(tmp_path).next_number() == 3


def test_a_flipped_byte_is_not_divided_out(tmp_path: Path) -> None:
    two_versions(tmp_path)
    newest = tmp_path / "v000002.npz"
    content = bytearray(newest.read_bytes())
    content[3000] ^= 0x40
    newest.write_bytes(content)
    field = reopened(tmp_path)
    field.correct(frame(99))
    assert field.version == 1


def test_an_unreadable_state_holds_learning(tmp_path: Path) -> None:
    two_versions(tmp_path)
    (tmp_path / "state.json").write_text("{", encoding="utf-8")
    field = reopened(tmp_path)
    assert field.state.held
    field.correct(frame(99))
    assert field.version == 2


def test_a_disk_that_cannot_be_written_stops_no_capture(tmp_path: Path) -> None:
    folder = tmp_path / "flat_field"
    folder.write_text("a file where the folder should be", encoding="utf-8")
    field = reopened(folder, min_frames=2)
    for seed in range(3):
        field.learn(frame(seed))
    raw = frame(99)
    assert field.correct(raw) is raw
    assert field.version == 0
    with pytest.raises(OSError):
        field.undo()


def test_another_camera_on_the_same_device_has_its_own_light(tmp_path: Path) -> None:
    settings = FlatFieldSettings(min_frames=2)
    left, right = (FlatField(tmp_path, settings, name) for name in ("left", "right"))
    for seed in range(2):
        left.learn(frame(seed))
        right.learn(frame(seed, OTHER_LIGHT))
    raw = frame(99)
    again = FlatField(tmp_path, settings, "right")
    assert again.correct(raw) is raw
    left.correct(raw)
    assert left.version == 1
