"""Raw frames: lossless, kept once, bounded in age and bytes, never in the way of a capture."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_device.flat_field import RawFiles
from tests.edge_device.flat_field.pictures import frame


def digest(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def test_pixels_come_back_unchanged(tmp_path: Path) -> None:
    raw = frame(1)
    path = RawFiles(tmp_path / "raw").keep(digest(1), raw)
    assert path == tmp_path / "raw" / f"{digest(1)}.png"
    back = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert back is not None
    assert np.array_equal(back, raw)


def test_a_files_own_bytes_are_kept_as_they_are(tmp_path: Path) -> None:
    path = RawFiles(tmp_path).keep(digest(1), b"the file", ".jpg")
    assert path is not None
    assert path.name == f"{digest(1)}.jpg"
    assert path.read_bytes() == b"the file"


def test_the_oldest_make_room(tmp_path: Path) -> None:
    now = [1000.0]
    kept = RawFiles(tmp_path, max_bytes=1000, now_s=lambda: now[0])
    for number in range(5):
        now[0] += 1
        kept.keep(digest(number), bytes(300), ".jpg")
    assert {path.stem for path in tmp_path.iterdir()} == {digest(n) for n in (2, 3, 4)}


def test_the_bound_holds_over_a_restart(tmp_path: Path) -> None:
    for number in range(3):
        path = RawFiles(tmp_path, max_bytes=1000).keep(digest(number), bytes(300), ".jpg")
        assert path is not None
        modified_s = time.time() - 100 + number
        os.utime(path, (modified_s, modified_s))
    RawFiles(tmp_path, max_bytes=1000).keep(digest(3), bytes(300), ".jpg")
    assert {path.stem for path in tmp_path.iterdir()} == {digest(n) for n in (1, 2, 3)}


def test_what_is_too_old_goes(tmp_path: Path) -> None:
    now = [1e9]
    kept = RawFiles(tmp_path, max_days=14, now_s=lambda: now[0])
    kept.keep(digest(0), b"old", ".jpg")
    now[0] += 13 * 86_400
    kept.keep(digest(1), b"young", ".jpg")
    assert kept.free() == 0
    now[0] += 2 * 86_400
    assert kept.free() == 1
    assert [path.stem for path in tmp_path.iterdir()] == [digest(1)]


def test_a_frame_over_the_bound_or_a_disk_that_fails_is_said_and_not_raised(tmp_path: Path) -> None:
    assert RawFiles(tmp_path, max_bytes=10).keep(digest(1), bytes(11), ".jpg") is None
    blocked = tmp_path / "raw"
    blocked.write_text("a file", encoding="utf-8")
    assert RawFiles(blocked).keep(digest(1), b"x", ".jpg") is None


def test_a_name_that_is_no_digest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a sha256"):
        RawFiles(tmp_path).keep("../../etc/passwd", b"x")
