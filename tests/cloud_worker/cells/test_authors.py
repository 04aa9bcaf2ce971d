"""The four-class set's colour segmentation: our thresholds, and how near they come to their masks."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.authors_thresholds import BINS, fit, read_halves
from benchmarks.authors_thresholds import main as fit_thresholds
from cloud_worker.cells.authors import authors_thresholds, mask_as_authors, segment_as_authors

REAL_DATA = os.environ.get("HEMOWIRE_REAL_DATA")


def test_violet_is_kept_as_its_value_saturation_and_swapped_hue_and_all_else_is_black() -> None:
    rgb = np.full((4, 6, 3), (240, 235, 230), np.uint8)
    rgb[:, 3:] = (150, 110, 220)  # hue 131 of 180
    mask = mask_as_authors(rgb)
    assert mask[:, 3:].all() and not mask[:, :3].any()
    kept = segment_as_authors(rgb)
    assert kept[0, 3].tolist() == [220, 128, 169]  # read as blue, green, red its hue is 169
    assert not kept[:, :3].any()


def test_the_data_file_says_how_it_was_fitted_and_how_well() -> None:
    limits = authors_thresholds()
    for low, high in (limits.hue, limits.saturation, limits.value):
        assert 0 <= low < high <= 255
    assert limits.command.startswith("python -m benchmarks.authors_thresholds")
    assert set(limits.iou_held_out) == {"Benign", "Early", "Pre", "Pro", "all"}


def test_fitting_finds_the_box_that_the_masks_were_cut_with() -> None:
    rng = np.random.default_rng(1)
    inside, outside = np.zeros(BINS, np.int64), rng.poisson(0.01, BINS)
    inside[110:130, 20:90, 30:128] = 1
    outside[110:130, 20:90, 30:128] = 0
    tables = []
    for counts in (inside, outside):
        table = counts.cumsum(0).cumsum(1).cumsum(2)
        tables.append(np.pad(table, ((1, 0),) * 3))
    ranges = fit([(tables[0], tables[1])], ((100, 140), (10, 127), (10, 127)))
    assert ranges == ((110, 129), (20, 89), (30, 127))


def test_without_the_images_nothing_is_fitted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HEMOWIRE_REAL_DATA", raising=False)
    assert fit_thresholds(["--out", str(tmp_path / "a.json")]) == 2
    assert "HEMOWIRE_REAL_DATA is not set" in capsys.readouterr().err


@pytest.mark.skipif(REAL_DATA is None, reason="HEMOWIRE_REAL_DATA is not set")
def test_the_thresholds_come_as_near_to_the_authors_masks_as_the_file_says() -> None:
    halves = read_halves(Path(REAL_DATA or ""))
    limits = authors_thresholds()
    (h0, h1), (s0, s1), (v0, v1) = limits.hue, limits.saturation, limits.value
    box = np.s_[h0 : h1 + 1, s0 // 2 : s1 // 2 + 1, v0 // 2 : v1 // 2 + 1]
    for label, (inside, outside) in zip(("Benign", "Early", "Pre", "Pro"), halves[1], strict=True):
        iou = inside[box].sum() / (inside.sum() + outside[box].sum())
        assert iou == pytest.approx(limits.iou_held_out[label], abs=0.002)


@pytest.mark.skipif(REAL_DATA is None, reason="HEMOWIRE_REAL_DATA is not set")
def test_what_is_kept_has_the_values_of_the_authors_files() -> None:
    off = []
    for path in sorted((Path(REAL_DATA or "") / "ball4/segmented_sample/Pre").glob("*.jpg"))[::20]:
        theirs = cv2.imread(str(path))
        bgr = cv2.imread(str(path).replace("segmented_sample", "original"))
        assert theirs is not None and bgr is not None
        ours = segment_as_authors(np.ascontiguousarray(bgr[:, :, ::-1], np.uint8))
        both = (theirs.max(axis=2) > 64) & (ours.max(axis=2) > 0)
        inner = cv2.erode(both.astype(np.uint8), np.ones((3, 3))) > 0
        difference = theirs[:, :, ::-1].astype(int) - ours
        off.append(np.abs(difference[inner]).mean())
    assert np.mean(off) < 12  # of 255; their files are JPEG, with halved colour
