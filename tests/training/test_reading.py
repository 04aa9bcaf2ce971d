"""One way to read a data set: groups come from a manifest that has them, else from an index."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from training.data import DataError, Sample
from training.indexing import index_images, write_manifest
from training.reading import LabelRules, read_samples, some_of

RULES = LabelRules(("a", "b"), {"B": "b"}, ("noise",))


def write_picture(file: Path, seed: int, *, flipped: bool = False, quality: int = 95) -> None:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (12, 12, 3), np.uint8)
    pixels = cv2.resize(small, (96, 96), interpolation=cv2.INTER_CUBIC)
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.ascontiguousarray(pixels[:, ::-1]) if flipped else pixels
    assert cv2.imwrite(str(file), pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(4):
        write_picture(tmp_path / "set" / "a" / f"{number}.jpg", number)
        write_picture(tmp_path / "set" / "B" / f"{number}.jpg", 10 + number)
    write_picture(tmp_path / "set" / "a" / "9.jpg", 0, flipped=True, quality=80)
    write_picture(tmp_path / "set" / "noise" / "0.jpg", 99)
    write_picture(tmp_path / "set" / "noise" / "1.jpg", 98)
    return tmp_path / "set"


def test_a_mirrored_copy_shares_its_group_though_no_manifest_says_so(folder: Path) -> None:
    samples, index = read_samples(folder, RULES, um_per_px=0.4)
    group = {s.path.relative_to(folder).as_posix(): s.group for s in samples}
    assert group["a/0.jpg"] == group["a/9.jpg"]
    assert len(set(group.values())) == 8
    assert index is not None
    assert {s.label for s in samples} == {"a", "b"}
    assert all(s.um_per_px == 0.4 and len(s.sha256) == 64 for s in samples)


def test_near_duplicates_join_groups_that_a_given_manifest_keeps_apart(folder: Path) -> None:
    rows = ["path,label,near_duplicate_group"]
    rows += [f"a/{n}.jpg,a,{n}" for n in (0, 1, 2, 3, 9)]
    rows += [f"B/{n}.jpg,b,1{n}" for n in range(4)]
    (folder / "index.csv").write_text("\n".join(rows) + "\n")
    samples, _ = read_samples(folder, RULES)
    group = {s.path.relative_to(folder).as_posix(): s.group for s in samples}
    assert group["a/0.jpg"] == group["a/9.jpg"]


def test_a_manifest_by_the_index_is_trusted_and_gives_the_same_groups(folder: Path) -> None:
    indexed, _ = read_samples(folder, RULES)
    write_manifest(index_images(folder), folder / "manifest.csv")
    trusted, made = read_samples(folder, RULES)
    assert made is None
    assert trusted == indexed


def test_an_unknown_label_and_an_empty_class_are_named(folder: Path) -> None:
    with pytest.raises(DataError, match=r"noise/0.jpg: unknown label 'noise'; known: a, b"):
        read_samples(folder, LabelRules(("a", "b"), {"B": "b"}, ()))
    with pytest.raises(DataError, match="no images of class c"):
        read_samples(folder, LabelRules(("a", "b", "c"), {"B": "b"}, ("noise",)))


def test_a_damaged_image_is_named(folder: Path) -> None:
    (folder / "a" / "2.jpg").write_bytes((folder / "a" / "2.jpg").read_bytes()[:200])
    with pytest.raises(DataError, match=r"a/2\.jpg"):
        read_samples(folder, RULES)


def test_some_images_are_whole_groups_of_every_class() -> None:
    samples = [
        Sample(Path(f"{label}{n:03d}"), label, f"{label}{n // 2}", f"{label}{n}")
        for label in "ab"
        for n in range(100)
    ]
    kept = some_of(samples, 30)
    for label in "ab":
        own = [s for s in kept if s.label == label]
        assert 28 <= len(own) <= 36
        assert all(sum(s.group == one.group for s in own) == 2 for one in own)
    assert some_of(samples, None) == samples
    assert some_of(samples, 1000) == samples
