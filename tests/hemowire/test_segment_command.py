"""`hemowire segment` writes masks, overlays and boxes, and says what it could not read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_device.simulator import draw_slide, encode_field, render_field
from hemowire.cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("fields")
    field = render_field(draw_slide(5), "AML", 0)
    (root / "slide-a").mkdir()
    (root / "slide-a" / "field.jpg").write_bytes(encode_field(field, 90))
    (root / "empty.png").write_bytes(bytes(cv2.imencode(".png", np.full((200, 300, 3), 230))[1]))
    return root


def listed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def test_cells_of_a_folder_become_masks_overlays_and_boxes(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["segment", str(folder), "--um-per-px", "0.2", "--out", str(out)]
    assert main([*arguments, "--json"]) == 0
    empty, field = listed(capsys)
    assert (empty["white_cells"], empty["boxes"], empty["share_of_area"]) == (0, [], 0.0)
    assert field["white_cells"] == len(field["boxes"]) == len(field["nucleus_um2"]) > 3
    assert (field["width_px"], field["height_px"], field["um_per_px"]) == (640, 480, 0.2)
    mask = cv2.imread(field["mask"], cv2.IMREAD_UNCHANGED)
    overlay = cv2.imread(field["overlay"])
    assert mask is not None and mask.shape == (480, 640) and set(np.unique(mask)) == {0, 255}
    assert (mask > 0).mean() == pytest.approx(field["share_of_area"], abs=1e-4)
    assert overlay is not None and overlay.shape == (480, 640, 3)
    for x, y, width, height in field["boxes"]:
        assert mask[y : y + height, x : x + width].any()
    assert Path(field["mask"]).parent == out / "slide-a"
    assert json.loads((out / "segments.json").read_text()) == [empty, field]


def test_the_authors_mode_writes_their_kind_of_picture_and_counts_nothing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder / "slide-a" / "field.jpg"
    assert main(["segment", str(file), "--mode", "authors", "--out", str(tmp_path / "o")]) == 0
    said = " ".join(capsys.readouterr().out.split())  # lines end where the folder's name makes them
    assert "not counted" in said and "Research use only" in said
    [one] = json.loads((tmp_path / "o" / "segments.json").read_text())
    segmented, mask = cv2.imread(one["segmented"]), cv2.imread(one["mask"], cv2.IMREAD_UNCHANGED)
    assert segmented is not None and mask is not None
    assert not segmented[mask == 0].any() and segmented[mask > 0].any(axis=1).all()


def test_the_scale_may_be_estimated_from_the_red_cells(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--um-per-px", "estimate", "--out", str(tmp_path / "o"), "--json"]
    assert main(["segment", str(folder), *arguments]) == 1
    said = capsys.readouterr()
    empty, field = json.loads(said.out)
    assert field["um_per_px"] == pytest.approx(0.2, abs=0.04) and field["white_cells"] > 3
    assert "scale unknown: 0 clear red cells" in empty["problem"]
    assert "empty.png: scale unknown" in said.err


def test_a_damaged_file_is_named_and_stops_no_other(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = (folder / "slide-a" / "field.jpg").read_bytes()
    images = tmp_path / "images"
    images.mkdir()
    (images / "a.jpg").write_bytes(good[: len(good) // 2])
    (images / "b.jpg").write_bytes(good)
    arguments = ["segment", str(images), "--um-per-px", "0.2", "--out", str(tmp_path / "o")]
    assert main(arguments) == 1
    said = capsys.readouterr()
    assert "a.jpg: " in said.err and "cut short" in said.err and "b.jpg" in said.out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["nowhere", "--um-per-px", "0.2"], "nowhere: no such file or folder"),
        (["{folder}"], "--um-per-px is missing: nothing else says what is a platelet"),
        (["{folder}", "--um-per-px", "0.2", "--out", "{folder}"], "must be a new or an empty"),
        (["{none}", "--um-per-px", "0.2"], "holds no image"),
    ],
)
def test_wrong_use_is_said_and_writes_nothing(
    arguments: list[str],
    problem: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "none").mkdir()
    given = [text.format(folder=folder, none=tmp_path / "none") for text in arguments]
    out = [] if "--out" in given else ["--out", str(tmp_path / "out")]
    assert main(["segment", *given, *out]) == 2
    assert problem in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
