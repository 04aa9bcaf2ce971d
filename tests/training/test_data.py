"""Data sets: both layouts, and every fault named by its file."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from training.data import IMAGE_SUFFIXES, DataError, Sample, join_identical, read_data_set

REAL_DATA = os.environ.get("HEMOWIRE_REAL_DATA")


def write_image(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (24, 32, 3), np.uint8)
    assert cv2.imwrite(str(path), pixels)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, label in enumerate(("a", "a", "b")):
        write_image(tmp_path / label / f"{number}.png", number)
    return tmp_path


def test_a_folder_per_class_is_read_with_a_group_per_image(folder: Path) -> None:
    samples = read_data_set(folder, ["a", "b"], um_per_px=0.3)
    assert [sample.label for sample in samples] == ["a", "a", "b"]
    assert len({sample.group for sample in samples}) == 3
    assert all(len(sample.sha256) == 64 and sample.um_per_px == 0.3 for sample in samples)


@pytest.mark.parametrize("suffix", sorted(IMAGE_SUFFIXES))
def test_every_kind_of_file_that_a_device_takes_is_read(tmp_path: Path, suffix: str) -> None:
    write_image(tmp_path / "a" / f"0{suffix}", 0)
    assert [s.label for s in read_data_set(tmp_path, ["a"], um_per_px=0.3)] == ["a"]


def test_a_manifest_gives_groups_and_scale(folder: Path) -> None:
    lines = ["path,label,near_duplicate_group,um_per_px", "a/0.png,a,g1,0.5", "a/1.png,a,g1,"]
    (folder / "index.csv").write_text("\n".join([*lines, "b/2.png,b,g2,0.25"]))
    samples = read_data_set(folder, ["a", "b"], um_per_px=0.3)
    assert [sample.group for sample in samples] == ["g1", "g1", "g2"]
    assert [sample.um_per_px for sample in samples] == [0.5, 0.3, 0.25]
    assert read_data_set(folder / "index.csv", ["a", "b"], um_per_px=0.3) == samples


def test_a_manifest_one_level_up_counts_where_it_points_into_the_folder(folder: Path) -> None:
    write_image(folder / "set" / "a" / "0.png", 1)
    (folder / "index.csv").write_text("path,label,group\nset/a/0.png,a,g\n")
    assert [s.group for s in read_data_set(folder / "set", ["a"])] == ["g"]


def test_byte_identical_files_share_a_group_whatever_the_manifest_says() -> None:
    names = [("1", "x", "d1"), ("2", "y", "d1"), ("3", "y", "d2"), ("4", "z", "d3")]
    joined = join_identical([Sample(Path(n), "a", g, d) for n, g, d in names])
    assert len({sample.group for sample in joined[:3]}) == 1
    assert joined[3].group == "z"


def test_unknown_labels_are_named_with_their_number(folder: Path) -> None:
    with pytest.raises(DataError, match=r"unknown label 'b' \(1 images\); known: a"):
        read_data_set(folder, ["a"])


def test_an_empty_class_is_named(folder: Path) -> None:
    with pytest.raises(DataError, match="no images of class c"):
        read_data_set(folder, ["a", "b", "c"])


def test_all_damaged_images_are_named(folder: Path) -> None:
    (folder / "a" / "0.png").write_bytes(b"not an image")
    whole = folder / "b" / "2.png"
    whole.write_bytes(whole.read_bytes()[:200])
    (folder / "b" / "3.jpg").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        read_data_set(folder, ["a", "b"])
    for name in ("0.png", "2.png", "3.jpg"):
        assert name in str(caught.value)


def test_a_manifest_without_groups_is_refused(folder: Path) -> None:
    (folder / "manifest.csv").write_text("path,label\na/0.png,a\n")
    with pytest.raises(DataError, match="no column a group"):
        read_data_set(folder, ["a"])


def test_a_missing_folder_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        read_data_set(tmp_path / "none", ["a"])
    with pytest.raises(DataError, match="no folder per class"):
        read_data_set(tmp_path, ["a"])


@pytest.mark.skipif(REAL_DATA is None, reason="HEMOWIRE_REAL_DATA is not set")
def test_the_four_class_set_is_read_with_its_near_duplicate_groups() -> None:
    root = Path(str(REAL_DATA)) / "ball4"
    samples = read_data_set(root / "original", ["Benign", "Early", "Pre", "Pro"], um_per_px=0.4)
    assert len(samples) == 2928
    assert len({sample.group for sample in samples}) < len({sample.path for sample in samples})
