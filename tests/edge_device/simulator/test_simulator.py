"""The simulator: reproducible, class-blind slides, truth that fits the picture.

Longer than most: all of it looks at the same few fields, which are slow to draw.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from zipfile import ZipFile

import cv2
import numpy as np
import pytest

from edge_device.flat_field.background import Background, look
from edge_device.gate.scores import measure
from edge_device.gate.settings import GateSettings
from edge_device.simulator import (
    CellType,
    DiagnosisClass,
    draw_slide,
    encode_field,
    render_field,
    slide_seed,
)
from edge_device.simulator.cell_types import MEAN_SHARES
from edge_device.simulator.confounding import Sources, made_by_source
from edge_device.simulator.dataset import (
    MANIFEST_FILE,
    MASKS_FILE,
    SLIDES_FILE,
    TRUTH_FILE,
    encode_masks,
)
from edge_device.simulator.patients import draw_parameters, draw_patient
from edge_device.simulator.slide import AZURE_VIOLET
from edge_device.simulator.white_cell_looks import NEIGHBOURS, PARAMETER_NAMES
from edge_device.simulator.white_cells import draw_white_cell
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


def test_masks_hold_what_the_truth_lists() -> None:
    for kind in DiagnosisClass:
        field = render_field(draw_slide(5), kind, 1)
        masks, image = field.masks, field.image[:, :, 1].astype(float)
        assert masks.white_cells.shape == masks.nuclei.shape == masks.red_cells.shape == (480, 640)
        assert set(np.unique(masks.white_cells)) <= set(range(len(field.truth.cells) + 1))
        for number, cell in enumerate(field.truth.cells, start=1):
            x0, y0, x1, y1 = cell.box
            outside = masks.white_cells == number
            outside[y0:y1, x0:x1] = False
            assert not outside.any()
        assert not (masks.nuclei.astype(bool) & (masks.white_cells == 0)).any()
        free = (masks.white_cells == 0) & (masks.red_cells == 0)
        nuclei = masks.nuclei.astype(bool)
        assert np.median(image[nuclei]) < np.median(image[masks.red_cells > 0])
        assert np.median(image[masks.red_cells > 0]) < np.median(image[free])


def test_white_cells_may_be_asked_for_by_type() -> None:
    wanted = [CellType.EOSINOPHIL, CellType.BASOPHIL, CellType.MONOCYTE]
    truth = render_field(draw_slide(4), "healthy", 0, cell_types=wanted).truth
    assert [cell.cell_type for cell in truth.cells] == wanted


def test_the_empty_slide_is_exposed_to_just_below_clipping() -> None:
    gate = GateSettings()
    for seed in range(8):
        for index in range(2):
            slide = draw_slide(seed)
            image = render_field(slide, "CML", index, background_only=index == 1).image
            bgr = np.ascontiguousarray(image[:, :, ::-1])
            background = look(bgr)
            assert isinstance(background, Background), background
            assert 200 < slide.white_level < 245
            # The mean over the field lies below its brightest place by half of the vignetting.
            assert slide.white_level * 0.85 < background.level.max() < slide.white_level + 4
            assert measure(bgr).clipped_white_percent < gate.max_clipped_white_percent / 20


def test_more_than_255_white_cells_keep_their_numbers() -> None:
    many = [CellType.SMALL_LYMPHOCYTE] * 300
    field = render_field(
        draw_slide(3), "CLL", 0, width_px=480, height_px=360, um_per_px=0.5, cell_types=many
    )
    assert field.masks.white_cells.max() == 300
    packed = np.frombuffer(encode_masks(field.masks), np.uint8)
    stored = cv2.imdecode(packed, cv2.IMREAD_UNCHANGED)
    assert stored is not None
    assert np.array_equal(stored[:, :, 2], field.masks.white_cells)


@pytest.mark.parametrize("cell_type", list(CellType))
@pytest.mark.parametrize("um_per_px", [0.1, 0.2, 0.5])
def test_every_cell_type_is_drawn_at_every_scale(cell_type: CellType, um_per_px: float) -> None:
    rng = np.random.default_rng(1)
    parameters = draw_parameters(cell_type, draw_patient(DiagnosisClass.AML, rng), rng)
    cell = draw_white_cell(cell_type, parameters, um_per_px, rng, auer_rod=True)
    area_um2 = float((cell.dyes[:, :, AZURE_VIOLET] > 0.3).sum()) * um_per_px**2
    assert 10 < area_um2 < 400
    assert np.isfinite(cell.dyes).all()
    assert float(cell.dyes.min()) >= -0.01
    drawn_um = 2 * np.sqrt(float(cell.body.sum()) / np.pi) * um_per_px
    assert drawn_um == pytest.approx(parameters.diameter_um, rel=0.25)


def test_red_cells_are_seven_micrometres_wide() -> None:
    """Measured on single cells of the mask, not on the numbers they were drawn from."""
    widths: list[float] = []
    for seed in range(6):
        red = render_field(draw_slide(seed), "healthy", 0, background_only=True).masks.red_cells
        _, _, boxes, _ = cv2.connectedComponentsWithStats(red)
        for x, y, width, height, area in boxes[1:]:
            inside = x > 0 and y > 0 and x + width < 640 and y + height < 480
            if inside and max(width, height) < 1.15 * min(width, height) and area > 400:
                widths.append(0.2 * (width + height) / 2)
    assert len(widths) > 30
    assert np.median(widths) == pytest.approx(7.2, abs=0.5)


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
        assert set(truth["cells"][0]["parameters"]) == set(PARAMETER_NAMES)
    slides = [json.loads(line) for line in (out / SLIDES_FILE).read_text().splitlines()]
    assert {slide["slide_id"] for slide in slides} == {row["group"] for row in rows}
    with ZipFile(out / MASKS_FILE) as archive:
        assert set(archive.namelist()) == {row["path"].replace(".jpg", ".png") for row in rows}
        packed = np.frombuffer(archive.read(archive.namelist()[0]), np.uint8)
        masks = cv2.imdecode(packed, cv2.IMREAD_COLOR)
    assert masks is not None and masks.shape == (120, 160, 3)
    assert masks[:, :, 2].max() == int(rows[0]["white_cells"])


def test_simulate_lists_all_wrong_options_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "set"
    wrong = ["--class", "flu", "--fields", "0", "--white-cells", "many", "--sources", "mixed"]
    assert main(["simulate", *wrong, "--out", str(out)]) == 2
    errors = capsys.readouterr().err
    assert "flu" in errors
    assert "--fields 0" in errors
    assert "many" in errors
    assert "mixed" in errors
    assert not out.exists()


def parameters_of(cell_type: CellType, count: int = 300) -> np.ndarray:
    kinds = {CellType.LYMPHOBLAST: DiagnosisClass.ALL, CellType.MYELOBLAST: DiagnosisClass.AML}
    kind = kinds.get(cell_type, DiagnosisClass.CML)
    found = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        cell = draw_parameters(cell_type, draw_patient(kind, rng), rng)
        found.append([getattr(cell, name) for name in PARAMETER_NAMES])
    return np.array(found)


@pytest.mark.parametrize(("first", "second"), NEIGHBOURS)
def test_no_single_parameter_tells_neighbouring_cell_types_apart(
    first: CellType, second: CellType
) -> None:
    """They must be told apart by looking, not by one number."""
    a, b = parameters_of(first), parameters_of(second)
    for number, name in enumerate(PARAMETER_NAMES):
        gap = a[:, number][:, None] - b[:, number][None, :]
        larger = float((gap > 0).mean() + 0.5 * (gap == 0).mean())
        assert max(larger, 1 - larger) < 0.9, name


def test_blasts_keep_their_sizes_and_myeloblasts_their_nucleoli() -> None:
    sizes = {
        kind: parameters_of(kind)[:, PARAMETER_NAMES.index("diameter_um")] for kind in CellType
    }
    assert sizes[CellType.LYMPHOBLAST].min() >= 9 and sizes[CellType.LYMPHOBLAST].max() <= 20
    assert sizes[CellType.MYELOBLAST].min() >= 11 and sizes[CellType.MYELOBLAST].max() <= 20
    assert sizes[CellType.SMALL_LYMPHOCYTE].min() >= 7
    assert sizes[CellType.PROMYELOCYTE].max() <= 24
    nucleoli = parameters_of(CellType.MYELOBLAST)[:, PARAMETER_NAMES.index("nucleoli")]
    assert nucleoli.min() >= 1
    assert nucleoli.max() <= 5
    # L2 varies more in size than L1: so do lymphoblasts more than myeloblasts, for their size.
    spread = {kind: values.std() / values.mean() for kind, values in sizes.items()}
    assert spread[CellType.LYMPHOBLAST] > spread[CellType.MYELOBLAST]


def test_the_slide_is_drawn_without_the_class() -> None:
    """Tied sources break this on purpose, and say so; nothing else can."""
    slides = {kind: draw_slide(11) for kind in DiagnosisClass}
    assert all(
        made_by_source(slide, kind, Sources.INDEPENDENT) is slide for kind, slide in slides.items()
    )
    tied = {kind: made_by_source(slides[kind], kind, Sources.TIED) for kind in slides}
    assert len({slide.background_rgb for slide in tied.values()}) == len(DiagnosisClass)
    again = made_by_source(draw_slide(12), DiagnosisClass.AML, Sources.TIED)
    assert again.background_rgb == tied[DiagnosisClass.AML].background_rgb
    swapped = made_by_source(slides[DiagnosisClass.ALL], DiagnosisClass.ALL, Sources.SWAPPED)
    assert swapped.background_rgb == tied[DiagnosisClass.AML].background_rgb
