"""The simulator: reproducible, class-blind slides, truth that fits the picture."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_device.simulator import (
    CellType,
    DiagnosisClass,
    draw_slide,
    encode_field,
    render_field,
    slide_seed,
)
from edge_device.simulator.cell_types import MEAN_SHARES
from edge_device.simulator.dataset import MANIFEST_FILE, TRUTH_FILE
from edge_device.simulator.slide import AZURE_VIOLET
from edge_device.simulator.white_cells import draw_patient, draw_white_cell
from hemowire.cli import main


@pytest.mark.parametrize("kind", list(DiagnosisClass))
def test_the_same_seed_renders_the_same_field(kind: DiagnosisClass) -> None:
    slide = draw_slide(7)
    first, second = render_field(slide, kind, 3), render_field(draw_slide(7), kind.value, 3)
    assert np.array_equal(first.image, second.image)
    assert first.truth == second.truth


def test_fields_slides_and_classes_differ() -> None:
    slide = draw_slide(7)
    images = [
        render_field(slide, "ALL", 0).image,
        render_field(slide, "ALL", 1).image,
        render_field(slide, "CML", 0).image,
        render_field(draw_slide(8), "ALL", 0).image,
    ]
    for i, first in enumerate(images):
        for second in images[i + 1 :]:
            assert not np.array_equal(first, second)


def test_the_number_of_white_cells_does_not_depend_on_the_class() -> None:
    for index in range(6):
        slide = draw_slide(index)
        counts = {len(render_field(slide, kind, index).truth.cells) for kind in DiagnosisClass}
        assert len(counts) == 1
        assert 5 <= counts.pop() <= 10


def test_without_white_cells_every_class_shows_the_same_scene() -> None:
    slide = draw_slide(21)
    scenes = [render_field(slide, kind, 2, background_only=True) for kind in DiagnosisClass]
    assert all(np.array_equal(scenes[0].image, scene.image) for scene in scenes)
    assert scenes[0].truth.cells == ()


def test_boxes_hold_darker_pixels_than_the_rest_of_the_field() -> None:
    for kind in DiagnosisClass:
        field = render_field(draw_slide(5), kind, 0)
        green = field.image[:, :, 1].astype(float)
        for cell in field.truth.cells:
            x0, y0, x1, y1 = cell.box
            assert 0 <= x0 < x1 <= 640
            assert 0 <= y0 < y1 <= 480
            assert np.percentile(green[y0:y1, x0:x1], 10) < np.median(green)


@pytest.mark.parametrize("cell_type", list(CellType))
@pytest.mark.parametrize("um_per_px", [0.1, 0.2, 0.5])
def test_every_cell_type_is_drawn_at_every_scale(cell_type: CellType, um_per_px: float) -> None:
    rng = np.random.default_rng(1)
    patient = draw_patient(DiagnosisClass.AML, rng)
    cell = draw_white_cell(cell_type, patient, um_per_px, rng)
    area_um2 = float((cell.dyes[:, :, AZURE_VIOLET] > 0.3).sum()) * um_per_px**2
    assert 10 < area_um2 < 400
    assert np.isfinite(cell.dyes).all()
    assert float(cell.dyes.min()) >= -0.01


def test_scale_changes_pixels_and_keeps_micrometres() -> None:
    slide = draw_slide(3)
    fine = render_field(slide, "CLL", 0, width_px=640, height_px=480, um_per_px=0.2).truth
    coarse = render_field(slide, "CLL", 0, width_px=320, height_px=240, um_per_px=0.4).truth
    assert fine.red_cells == pytest.approx(coarse.red_cells, rel=0.2)
    assert len(fine.cells) == len(coarse.cells)


def test_shares_of_cell_types_sum_to_one() -> None:
    for shares in MEAN_SHARES.values():
        assert sum(shares.values()) == pytest.approx(1.0)


def test_slide_seeds_do_not_repeat() -> None:
    seeds = {slide_seed(s, c, i) for s in range(3) for c in range(5) for i in range(200)}
    assert len(seeds) == 3 * 5 * 200


def test_encoded_fields_decode_to_their_size() -> None:
    slide = draw_slide(2)
    field = render_field(slide, "healthy", 0, width_px=320, height_px=200)
    data = np.frombuffer(encode_field(field, slide.jpeg_quality), np.uint8)
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None
    assert decoded.shape == (200, 320, 3)


def test_simulate_writes_images_manifest_and_truth(tmp_path: Path) -> None:
    out = tmp_path / "set"
    options = ["--class", "ALL", "--class", "healthy", "--slides", "2", "--fields", "2"]
    size = ["--width", "160", "--height", "120", "--um-per-px", "0.5"]
    assert main(["simulate", *options, *size, "--out", str(out)]) == 0
    rows = list(csv.DictReader((out / MANIFEST_FILE).read_text().splitlines()))
    truths = [json.loads(line) for line in (out / TRUTH_FILE).read_text().splitlines()]
    assert len(rows) == len(truths) == 8
    assert {row["label"] for row in rows} == {"ALL", "healthy"}
    assert len({row["group"] for row in rows}) == 4
    for row, truth in zip(rows, truths, strict=True):
        assert (out / row["path"]).is_file()
        assert row["path"] == truth["path"]
        assert int(row["white_cells"]) == len(truth["cells"])


def test_simulate_lists_all_wrong_options_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "set"
    wrong = ["--class", "flu", "--fields", "0", "--white-cells", "many"]
    assert main(["simulate", *wrong, "--out", str(out)]) == 2
    errors = capsys.readouterr().err
    assert "flu" in errors
    assert "--fields 0" in errors
    assert "many" in errors
    assert not out.exists()


def test_no_single_parameter_tells_lymphoblasts_from_myeloblasts() -> None:
    """The two acute classes must be told apart by looking, not by one number."""
    found: dict[CellType, list[tuple[float, ...]]] = {}
    for cell_type, kind in (
        (CellType.LYMPHOBLAST, DiagnosisClass.ALL),
        (CellType.MYELOBLAST, DiagnosisClass.AML),
    ):
        for seed in range(150):
            rng = np.random.default_rng(seed)
            cell = draw_white_cell(cell_type, draw_patient(kind, rng), 0.5, rng)
            numbers = (cell.diameter_um, cell.nucleus_share, cell.nucleoli, cell.chromatin_contrast)
            found.setdefault(cell_type, []).append(tuple(map(float, numbers)))
    first, second = (np.array(found[kind]) for kind in found)
    for number in range(first.shape[1]):
        gap = first[:, number][:, None] - second[:, number][None, :]
        larger = float((gap > 0).mean() + 0.5 * (gap == 0).mean())
        assert max(larger, 1 - larger) < 0.9
