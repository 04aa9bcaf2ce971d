"""Each public data set's layout, as its documentation gives it, is listed with labels and patients."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from training.data import DataError, ListedImage
from training.indexing import index_images
from training.layouts import CNMC_LABELS, list_layout


def make(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def listed(root: Path) -> tuple[str, dict[str, ListedImage]]:
    found = list_layout(root)
    assert found is not None
    layout, images = found
    return layout.name, {image.path.name: image for image in images}


@pytest.mark.parametrize("inside", ["", "ALL_IDB1"])
def test_all_idb1_is_labelled_by_name_and_its_copy_is_known(tmp_path: Path, inside: str) -> None:
    names = ("Im001_1.jpg", "Im093_0.jpg", "Im108_0.jpg")
    make(tmp_path, *(f"ALL_IDB1/im/{name}" for name in names), "ALL_IDB1/xyc/Im001_1.xyc")
    layout, images = listed(tmp_path / inside)
    assert layout == "ALL-IDB1"
    assert [image.label for image in images.values()] == ["ALL", "Healthy", "Healthy"]
    groups = [images[name].near_duplicate_group for name in names]
    assert groups[1] == groups[2] != groups[0]


def test_all_idb2_is_listed_and_refused_beside_the_images_it_was_cut_from(tmp_path: Path) -> None:
    make(tmp_path, "ALL_IDB2/img/Im001_1.tif", "ALL_IDB2/img/Im131_0.tif")
    layout, images = listed(tmp_path)
    assert layout == "ALL-IDB2"
    assert [image.label for image in images.values()] == ["ALL", "Healthy"]
    make(tmp_path, "ALL_IDB1/im/Im001_1.jpg")
    with pytest.raises(DataError, match="ALL-IDB1 and ALL-IDB2"):
        list_layout(tmp_path)
    make(tmp_path / "other", "ALL_IDB2/img/cell.tif")
    with pytest.raises(DataError, match=r"cell\.tif: ALL_IDB2 names"):
        list_layout(tmp_path / "other")


def test_of_the_four_class_set_the_originals_are_listed(tmp_path: Path) -> None:
    for label in ("Benign", "Early", "Pre", "Pro"):
        for kind in ("Original", "Segmented"):
            make(tmp_path, f"{kind}/{label}/WBC-Malignant-{label}-001.jpg")
    layout, images = listed(tmp_path)
    assert layout == "four-class B-ALL"
    assert [image.label for image in images.values()] == ["Benign", "Early", "Pre", "Pro"]
    assert all("Original" in image.path.parts for image in images.values())


def test_cnmc_patients_are_the_second_token_and_belong_to_a_class(tmp_path: Path) -> None:
    make(tmp_path, "fold_0/all/UID_11_1_1_all.bmp", "fold_1/all/UID_11_2_1_all.bmp")
    make(tmp_path, "fold_2/hem/UID_H11_3_1_hem.bmp", "prelim/1.bmp")
    (tmp_path / "prelim" / CNMC_LABELS).write_text(
        "Patient_ID,new_names,labels\nUID_57_29_1_all.bmp,1.bmp,1\n"
    )
    layout, images = listed(tmp_path)
    assert layout == "C-NMC 2019"
    assert {name: (image.label, image.patient) for name, image in images.items()} == {
        "UID_11_1_1_all.bmp": ("all", "all-11"),
        "UID_11_2_1_all.bmp": ("all", "all-11"),
        "UID_H11_3_1_hem.bmp": ("hem", "hem-H11"),
        "1.bmp": ("all", "all-57"),
    }
    make(tmp_path, "fold_0/hem/UID_5_1_1_all.bmp")
    with pytest.raises(DataError, match=r"fold_0/hem/UID_5_1_1_all\.bmp: C-NMC names"):
        list_layout(tmp_path)


def test_raabin_s_parts_are_sources_and_bccd_has_one_label(tmp_path: Path) -> None:
    make(tmp_path / "raabin", "Train/Lymphocyte/1.jpg", "TestA/Lymphocyte/2.jpg")
    layout, images = listed(tmp_path / "raabin")
    assert layout == "Raabin-WBC"
    assert images["2.jpg"].source == "Raabin-WBC TestA"
    make(tmp_path / "bccd", "JPEGImages/BloodImage_00000.jpg", "Annotations/BloodImage_00000.xml")
    assert listed(tmp_path / "bccd")[0] == "BCCD"


def test_a_folder_per_class_is_no_special_layout(tmp_path: Path) -> None:
    make(tmp_path, "MYO/MYO_0001.tiff", "MYB/MYB_0001.tiff")
    assert list_layout(tmp_path) is None


def test_a_known_layout_is_indexed_with_its_patients_kept_together(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for name in (
        "fold_0/all/UID_1_1_1_all.bmp",
        "fold_1/all/UID_1_2_1_all.bmp",
        "fold_1/all/UID_2_1_1_all.bmp",
        "fold_0/hem/UID_H1_1_1_hem.bmp",
        "fold_0/hem/UID_H2_1_1_hem.bmp",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(tmp_path / name), rng.integers(0, 255, (40, 40, 3), np.uint8))
    index = index_images(tmp_path, ["all", "hem"])
    groups = {image.path.name: image.group for image in index.images}
    assert groups["UID_1_1_1_all.bmp"] == groups["UID_1_2_1_all.bmp"]
    assert len(set(groups.values())) == 4
