"""An index joins what shows the same field, keeps what the data set joins, and names every fault."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hemowire.cli import main
from training.data import DataError, read_data_set
from training.indexing import COLUMNS, connect, index_images, write_manifest
from training.perceptual_hash import (
    BITS,
    grey_thumbnail,
    hash_thumbnails,
    hash_word,
    near_pairs,
)
from training.split import split_by_group

REAL_DATA = os.environ.get("HEMOWIRE_REAL_DATA")
Image = NDArray[np.uint8]


def field(seed: int) -> Image:
    """A picture with large and small shapes, unlike that of any other seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (14, 14, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (112, 112), interpolation=cv2.INTER_CUBIC), np.uint8)


def turned(image: Image, orientation: int) -> Image:
    seen = np.rot90(image, orientation // 2)
    return np.asarray(np.ascontiguousarray(seen[:, ::-1] if orientation % 2 else seen), np.uint8)


def write(path: Path, image: Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(6):
        write(tmp_path / "set" / "ab"[number % 2] / f"{number}.png", field(number))
    return tmp_path / "set"


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(0, 7),
    st.floats(0.8, 1.0),
    st.integers(0, 30),
    st.integers(40, 95),
)
def test_a_turned_brighter_and_compressed_copy_is_near_and_another_field_is_not(
    seed: int, orientation: int, contrast: float, light: int, quality: int
) -> None:
    first = field(seed)
    changed = cv2.convertScaleAbs(turned(first, orientation), alpha=contrast, beta=light)
    _, data = cv2.imencode(".jpg", changed, [cv2.IMWRITE_JPEG_QUALITY, quality])
    copy: Image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    pictures = [grey_thumbnail(image) for image in (first, copy, field(seed + 20_000))]
    hashes = hash_thumbnails(np.stack(pictures))
    assert hashes.shape == (8, 3, BITS)
    assert [(i, j) for i, j, _ in near_pairs(hashes)] == [(0, 1)]


@pytest.mark.parametrize("orientation", range(8))
def test_the_stored_hash_is_the_same_for_an_exact_copy_in_each_orientation(
    orientation: int,
) -> None:
    for seed in range(10):
        pictures = [grey_thumbnail(image) for image in (field(seed), field(seed + 100))]
        copies = [grey_thumbnail(turned(field(seed), orientation))]
        hashes = hash_thumbnails(np.stack(pictures + copies))
        first, other, copy = (hash_word(hashes[:, i]) for i in range(3))
        assert first == copy != other


def test_pairs_are_found_across_the_blocks_that_they_are_compared_in() -> None:
    thumbnails = np.random.default_rng(1).uniform(0, 255, (1100, 32, 32)).astype(np.float32)
    thumbnails[1090] = thumbnails[3].T
    assert [(i, j) for i, j, _ in near_pairs(hash_thumbnails(thumbnails))] == [(3, 1090)]


def test_groups_are_connected_through_chains_and_numbered_by_first_member() -> None:
    assert connect(6, [(4, 5), (1, 4), (5, 2)]) == [0, 1, 1, 2, 1, 1]


def test_copies_and_turned_fields_share_a_group_and_the_rest_does_not(folder: Path) -> None:
    (folder / "a" / "copy.png").write_bytes((folder / "a" / "0.png").read_bytes())
    write(folder / "a" / "turned.jpg", turned(field(0), 3))
    index = index_images(folder)
    groups = {image.path.name: image.group for image in index.images}
    assert groups["0.png"] == groups["copy.png"] == groups["turned.jpg"]
    assert len(set(groups.values())) == 6
    assert index.identical_files == 1
    assert index.largest_group() == 3
    assert index.agreement() is None


def test_the_same_field_under_two_labels_is_told(folder: Path) -> None:
    write(folder / "b" / "0-again.png", turned(field(0), 5))
    (pair,) = index_images(folder).between_labels
    assert {path.name for path in pair} == {"0.png", "0-again.png"}


def test_patients_and_their_slides_are_kept_together(folder: Path) -> None:
    rows = [
        "path,label,source,patient,slide",
        "a/0.png,a,x,p1,s1",
        "a/2.png,a,x,p1,s2",
        "a/4.png,a,y,p1,s1",
        "b/1.png,b,x,,s1",
        "b/3.png,b,x,,s1",
        "b/5.png,b,x,p2,s1",
    ]
    (folder / "manifest.csv").write_text("\n".join(rows))
    groups = [image.group for image in index_images(folder).images]
    assert groups == ["g00000", "g00000", "g00001", "g00002", "g00002", "g00003"]


def test_given_near_duplicates_are_compared_pair_by_pair(folder: Path) -> None:
    write(folder / "b" / "7.png", turned(field(5), 2))
    rows = ["path,label,near_duplicate_group", "a/0.png,a,1", "a/2.png,a,1", "a/4.png,a,2"]
    rows += ["b/1.png,b,3", "b/3.png,b,4", "b/5.png,b,5", "b/7.png,b,6"]
    (folder / "index.csv").write_text("\n".join(rows))
    agreement = index_images(folder).agreement()
    assert agreement is not None
    assert agreement.both == 0
    assert [(a.name, b.name) for a, b in agreement.only_given] == [("0.png", "2.png")]
    assert [(a.name, b.name) for a, b in agreement.only_ours] == [("5.png", "7.png")]


def test_a_written_manifest_is_read_back_and_split_by_its_groups(folder: Path) -> None:
    for number in range(20):
        write(folder / "ab"[number % 2] / f"m{number}.png", turned(field(number), number % 8))
    index = index_images(folder)
    write_manifest(index, folder / "manifest.csv")
    with (folder / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert not any(Path(row["path"]).is_absolute() for row in rows)
    samples = read_data_set(folder, ["a", "b"], um_per_px=0.3)
    assert [s.group for s in samples] == [image.group for image in index.images]
    parts = split_by_group(samples, calibration=0.2, test=0.2, seed=1).named().values()
    seen = [{s.group for s in part} for part in parts]
    assert sum(map(len, seen)) == len(set.union(*seen))


def test_every_damaged_image_is_named(folder: Path) -> None:
    (folder / "a" / "0.png").write_bytes(b"not an image")
    whole = folder / "b" / "1.png"
    whole.write_bytes(whole.read_bytes()[:300])
    with pytest.raises(DataError) as caught:
        index_images(folder)
    assert str(folder / "a" / "0.png") in str(caught.value)
    assert str(whole) in str(caught.value)


def test_a_class_without_images_is_named(folder: Path) -> None:
    (folder / "c").mkdir()
    with pytest.raises(DataError, match=rf"{folder / 'c'}: a class without images"):
        index_images(folder)
    (folder / "c").rmdir()
    with pytest.raises(DataError, match="no images of class c"):
        index_images(folder, ["a", "b", "c"])


def test_a_class_that_is_one_group_is_named_with_an_image(folder: Path) -> None:
    write(folder / "c" / "first.png", field(30))
    write(folder / "c" / "second.png", turned(field(30), 6))
    with pytest.raises(DataError, match=r"first\.png: class c is one group of 2 images"):
        index_images(folder)


def test_a_label_that_is_not_in_the_list_is_named_with_an_image(folder: Path) -> None:
    with pytest.raises(DataError, match=r"1\.png: label 'b' is not in the list \(a\); 3 such"):
        index_images(folder, ["a"])


def test_the_command_writes_a_manifest_once_and_says_what_it_found(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder / "a" / "turned.png", turned(field(0), 3))
    assert main(["data", "index", str(folder), "--labels", "a,b", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["images"] == {"a": 4, "b": 3}
    assert facts["groups"] == {"a": 3, "b": 3}
    assert facts["images_of_a_field_seen_before"] == 1
    assert main(["data", "index", str(folder)]) == 2
    assert "manifest.csv: is there already" in capsys.readouterr().err
    (folder / "a" / "0.png").write_bytes(b"")
    assert main(["data", "index", str(folder), "--out", str(folder / "other.csv")]) == 2
    assert f"hemowire data: {folder / 'a' / '0.png'}: the file is empty" in capsys.readouterr().err
    assert not (folder / "other.csv").exists()


@pytest.mark.skipif(REAL_DATA is None, reason="HEMOWIRE_REAL_DATA is not set")
def test_the_four_class_set_s_groups_are_all_found_and_some_that_were_missed() -> None:
    index = index_images(Path(str(REAL_DATA)) / "ball4" / "original")
    agreement = index.agreement()
    assert agreement is not None
    assert (agreement.both, len(agreement.only_given), len(agreement.only_ours)) == (85, 0, 10)
    assert index.between_labels == ()
    assert index.largest_group() == 3


@pytest.mark.skipif(REAL_DATA is None, reason="HEMOWIRE_REAL_DATA is not set")
def test_single_cells_of_another_laboratory_are_not_taken_for_each_other() -> None:
    index = index_images(Path(str(REAL_DATA)) / "pbc")
    assert len({image.near_duplicate_group for image in index.images}) == len(index.images)
