"""A watched folder: whole files only, each version once, whatever becomes of events, files and the folder itself.

Longer than most: each way in which writers and kernels misbehave is a short test of the same watch.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from watchdog.events import DirCreatedEvent
from watchdog.observers.api import BaseObserver

from edge_device.cameras import FolderCameraSettings, Nothing, Shot
from edge_device.cameras import watching as watching_module
from edge_device.cameras.folder import FolderCamera
from edge_device.cameras.image_files import files_below

LONG_AGO_S = 1_700_000_000.0
#: Longer than any test: what is found was told by events.
NEVER_S = 86_400.0


@contextmanager
def watching(
    folder: Path, captured: Callable[[str], bool] = lambda _key: False, **settings: object
) -> Iterator[FolderCamera]:
    values = {"kind": "folder", "folder": folder, "mode": "watch", "rescan_s": NEVER_S} | settings
    camera = FolderCamera(FolderCameraSettings.model_validate(values), captured, max_bytes=10**6)
    try:
        yield camera
    finally:
        camera.close()


def wait_for(camera: FolderCamera, deadline_s: float = 15) -> Shot:
    until = time.monotonic() + deadline_s
    while not isinstance(shot := camera.take(), Shot):
        assert time.monotonic() < until
        time.sleep(0.005)
    return shot


def nothing_for(camera: FolderCamera, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if camera.take() is not Nothing.YET:
            return False
        time.sleep(0.005)
    return True


def jpeg(level: int = 128) -> bytes:
    done, data = cv2.imencode(".jpg", np.full((64, 64, 3), level, np.uint8))
    assert done
    return data.tobytes()


def image(suffix: str) -> bytes:
    done, data = cv2.imencode(suffix, np.full((64, 64, 3), 9, np.uint8))
    assert done
    return data.tobytes()


def test_files_that_were_there_come_first_in_order_of_path(tmp_path: Path) -> None:
    for name in ("b.jpg", "a/z.png", "a-1.jpg", "notes.txt", ".hidden/x.jpg", "c.jpg.part"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
        os.utime(path, (LONG_AGO_S, LONG_AGO_S))
    with watching(tmp_path) as camera:
        names = [Path(wait_for(camera).source).name for _ in range(3)]
        assert names == ["z.png", "a-1.jpg", "b.jpg"] and camera.take() is Nothing.YET


def test_a_file_renamed_into_place_is_taken_at_once(tmp_path: Path) -> None:
    with watching(tmp_path, settle_s=600) as camera:
        assert camera.take() is Nothing.YET
        (tmp_path / "a.jpg.tmp").write_bytes(b"whole, though no image")
        (tmp_path / "a.jpg.tmp").rename(tmp_path / "a.jpg")
        assert wait_for(camera).content == b"whole, though no image"
        assert camera.take() is Nothing.YET


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp"])
def test_a_file_that_was_closed_and_ends_as_it_should_is_taken_at_once(
    tmp_path: Path, suffix: str
) -> None:
    with watching(tmp_path, settle_s=600) as camera:
        assert camera.take() is Nothing.YET
        whole = image(suffix)
        with (tmp_path / f"a{suffix}").open("wb") as file:
            file.write(whole)
        assert wait_for(camera).content == whole


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp"])
def test_half_a_file_is_waited_for_though_its_writer_closed_it(tmp_path: Path, suffix: str) -> None:
    """A writer that opens the file again for each block closes it each time."""
    whole = image(suffix)
    with watching(tmp_path, settle_s=600) as camera:
        assert camera.take() is Nothing.YET
        with (tmp_path / f"a{suffix}").open("wb") as file:
            file.write(whole[: len(whole) // 2])
        assert nothing_for(camera, 0.3)
        with (tmp_path / f"a{suffix}").open("ab") as file:
            file.write(whole[len(whole) // 2 :])
        assert wait_for(camera).content == whole


def test_a_file_that_is_open_is_waited_for_whatever_it_says_of_itself(tmp_path: Path) -> None:
    with watching(tmp_path, settle_s=600) as camera, (tmp_path / "a.jpg").open("wb") as file:
        file.write(jpeg())
        file.flush()
        assert nothing_for(camera, 0.3)
        file.write(jpeg())
        file.close()
        assert wait_for(camera).content == 2 * jpeg()


def test_what_never_ends_as_it_should_is_taken_when_it_has_settled(tmp_path: Path) -> None:
    """Each change begins the time anew; a clock far ahead of ours makes no file old."""
    with watching(tmp_path, settle_s=0.4) as camera:
        assert camera.take() is Nothing.YET
        for size in range(1, 5):
            (tmp_path / "a.tif").write_bytes(bytes(size))
            os.utime(tmp_path / "a.tif", (LONG_AGO_S + size, LONG_AGO_S + size))
            assert nothing_for(camera, 0.2)
        assert wait_for(camera).content == bytes(4)


def test_a_writer_that_never_closes_its_file_is_waited_for_while_it_writes(tmp_path: Path) -> None:
    """Of what it writes comes no event: only looking again tells."""
    with watching(tmp_path, settle_s=0.4) as camera, (tmp_path / "a.tif").open("wb") as file:
        for _ in range(5):
            file.write(b"more")
            file.flush()
            assert nothing_for(camera, 0.2)
        assert wait_for(camera).content == 5 * b"more"


def test_a_new_file_is_not_old_because_its_time_says_so(tmp_path: Path) -> None:
    """A copy that keeps times, or a server whose clock is behind."""
    with watching(tmp_path, watch_by="polling", poll_s=0.02, settle_s=0.5) as camera:
        assert camera.take() is Nothing.YET
        (tmp_path / "a.jpg").write_bytes(b"half")
        os.utime(tmp_path / "a.jpg", (LONG_AGO_S, LONG_AGO_S))
        assert nothing_for(camera, 0.3)
        (tmp_path / "a.jpg").write_bytes(jpeg())
        assert wait_for(camera).content == jpeg()


def test_a_file_that_changes_while_it_is_read_is_read_again(tmp_path: Path) -> None:
    keys: list[str] = []

    def captured(key: str) -> bool:
        if not keys:  # after the look at the file, before it is read
            (tmp_path / "a.jpg").write_bytes(jpeg(2))
        keys.append(key)
        return False

    with watching(tmp_path, captured, settle_s=0) as camera:
        (tmp_path / "a.jpg").write_bytes(b"first")
        shot = wait_for(camera)
        assert (shot.content, shot.source_key) == (jpeg(2), keys[-1]) and keys[0] != keys[-1]
        assert camera.take() is Nothing.YET


def test_a_file_written_anew_is_a_new_capture_and_no_other_is(tmp_path: Path) -> None:
    with watching(tmp_path) as camera:
        (tmp_path / "a.jpg").write_bytes(jpeg(1))
        (tmp_path / "b.jpg").write_bytes(jpeg(2))
        assert {wait_for(camera).content for _ in range(2)} == {jpeg(1), jpeg(2)}
        (tmp_path / "a.jpg").write_bytes(jpeg(3))
        assert wait_for(camera).content == jpeg(3)
        (tmp_path / "c.jpg").write_bytes(jpeg(4))
        assert wait_for(camera).content == jpeg(4)


def test_a_file_deleted_before_it_was_taken_is_no_capture_and_no_harm(tmp_path: Path) -> None:
    with watching(tmp_path, settle_s=0.2) as camera:
        assert camera.take() is Nothing.YET
        (tmp_path / "a.jpg").write_bytes(b"half")
        assert camera.take() is Nothing.YET
        (tmp_path / "a.jpg").unlink()
        (tmp_path / "b.jpg").write_bytes(jpeg())
        assert Path(wait_for(camera).source).name == "b.jpg"
        assert nothing_for(camera, 0.4)


def test_folders_that_appear_or_are_moved_in_are_watched_too(tmp_path: Path) -> None:
    outside = tmp_path / "outside" / "S-2"
    outside.mkdir(parents=True)
    (outside / "b.jpg").write_bytes(jpeg(2))
    folder = tmp_path / "images"
    folder.mkdir()
    with watching(folder, settle_s=0.1) as camera:
        assert camera.take() is Nothing.YET
        (folder / "S-1").mkdir()
        (folder / "S-1" / "a.jpg").write_bytes(jpeg(1))
        assert wait_for(camera).folder == "S-1"
        outside.rename(folder / "S-2")
        assert wait_for(camera).folder == "S-2"
        (folder / "S-2" / "c.jpg").write_bytes(jpeg(3))
        assert wait_for(camera).content == jpeg(3)


def test_of_a_new_folder_the_files_are_found_whose_events_came_too_early(tmp_path: Path) -> None:
    """The kernel tells of a folder's files only after somebody has begun to watch it."""
    with watching(tmp_path, settle_s=0) as camera:
        assert camera.take() is Nothing.YET and camera._new is not None
        deaf(camera)
        (tmp_path / "S-1").mkdir()
        (tmp_path / "S-1" / "a.jpg").write_bytes(jpeg())
        camera._new._handler.on_any_event(DirCreatedEvent(str(tmp_path / "S-1")))
        assert wait_for(camera).folder == "S-1"


def test_what_the_events_missed_the_listing_finds(tmp_path: Path) -> None:
    with watching(tmp_path, settle_s=0, rescan_s=0.2) as camera:
        assert camera.take() is Nothing.YET
        deaf(camera)
        (tmp_path / "a.jpg").write_bytes(jpeg())
        assert wait_for(camera).content == jpeg()


def test_more_events_than_are_kept_cost_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching_module, "_MOST_TOLD", 10)
    with watching(tmp_path, settle_s=0) as camera:
        assert camera.take() is Nothing.YET
        for n in range(100):
            (tmp_path / f"{n}.jpg").write_bytes(jpeg())
        assert len({wait_for(camera).source for _ in range(100)}) == 100
        assert camera.take() is Nothing.YET


def test_polling_hears_no_events_and_finds_files(tmp_path: Path) -> None:
    with watching(tmp_path, watch_by="polling", poll_s=0.05, settle_s=0.1) as camera:
        assert camera.take() is Nothing.YET
        (tmp_path / "a.jpg").write_bytes(b"half")
        assert nothing_for(camera, 0.08)
        (tmp_path / "a.jpg").write_bytes(jpeg())
        assert wait_for(camera).content == jpeg()


def test_where_the_kernel_gives_no_events_the_folder_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_watch_left(*_args: object, **_kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "inotify watch limit reached")

    monkeypatch.setattr(BaseObserver, "schedule", no_watch_left)
    with watching(tmp_path, poll_s=0.05, settle_s=0) as camera:
        assert camera.take() is Nothing.YET
        (tmp_path / "a.jpg").write_bytes(jpeg())
        assert wait_for(camera).content == jpeg()


def test_a_folder_that_goes_is_trouble_and_one_that_comes_back_is_watched(tmp_path: Path) -> None:
    """A share that was unmounted; what comes back may be another folder under the same name."""
    folder = tmp_path / "share"
    folder.mkdir()
    with watching(folder, settle_s=0) as camera:
        (folder / "a.jpg").write_bytes(jpeg(1))
        assert wait_for(camera).content == jpeg(1)
        folder.rename(tmp_path / "unmounted")
        assert camera.take() is Nothing.YET and "No such file" in camera.trouble
        folder.mkdir()
        (folder / "b.jpg").write_bytes(jpeg(2))
        assert wait_for(camera).content == jpeg(2) and camera.trouble == ""
        (folder / "c.jpg").write_bytes(jpeg(3))
        assert wait_for(camera).content == jpeg(3)


def test_the_same_folder_that_comes_back_is_watched_again(tmp_path: Path) -> None:
    folder = tmp_path / "share"
    folder.mkdir()
    with watching(folder, settle_s=0) as camera:
        assert camera.take() is Nothing.YET
        folder.rename(tmp_path / "unmounted")
        assert camera.take() is Nothing.YET and camera.trouble
        (tmp_path / "unmounted").rename(folder)
        (folder / "a.jpg").write_bytes(jpeg(1))
        assert wait_for(camera).content == jpeg(1) and camera.trouble == ""


def test_a_count_is_of_all_runs_and_ends_the_watch(tmp_path: Path) -> None:
    for n in range(4):
        (tmp_path / f"{n}.jpg").write_bytes(jpeg(n))
    with watching(tmp_path, settle_s=0) as camera:
        first = wait_for(camera).source_key
    with watching(tmp_path, first.__eq__, settle_s=0, count=3) as camera:
        assert [Path(wait_for(camera).source).name for _ in range(2)] == ["1.jpg", "2.jpg"]
        assert camera.take() is Nothing.EVER


def test_taking_two_thousand_files_lists_the_folder_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(2000):
        (tmp_path / f"{n:04d}.jpg").write_bytes(b"x")
        os.utime(tmp_path / f"{n:04d}.jpg", (LONG_AGO_S, LONG_AGO_S))
    listings = []

    def counted(folder: Path) -> Iterator[Path]:
        listings.append(folder)
        return files_below(folder)

    monkeypatch.setattr(watching_module, "files_below", counted)
    with watching(tmp_path) as camera:
        began_s = time.thread_time()
        assert sum(isinstance(camera.take(), Shot) for _ in range(2000)) == 2000
        taken_s = time.thread_time() - began_s
        began_s = time.thread_time()
        assert all(camera.take() is Nothing.YET for _ in range(500))
        idle_s = time.thread_time() - began_s
        (tmp_path / "new.jpg").write_bytes(jpeg())
        assert wait_for(camera).content == jpeg()
    assert len(listings) == 1
    # Measured here: 0.1 s and 5 ms of CPU time; listing for each shot took over 20 s.
    assert taken_s < 2 and idle_s < 0.2


def deaf(camera: FolderCamera) -> None:
    """Its observer ends, as one does that the kernel told nothing."""
    assert camera._new is not None
    camera._new.close()
