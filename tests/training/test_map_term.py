"""The map term: what evidence outside white cells costs, that it can be learned away, and what it needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from edge_device.simulator import DiagnosisClass, render_field
from edge_device.simulator.dataset import MASKS_FILE, FieldSettings, write_data_set
from edge_device.simulator.slide import draw_slide
from training.data import DataError, Sample
from training.images import load_images
from training.make_bundle import _first_preprocessing
from training.map_term import centre, share_outside, share_outside_of_all
from training.reading import LabelRules, read_samples
from training.recipe import RecipeError, check_network, load_recipe
from training.where_cells import TrueCells, found_cells

SMALL = FieldSettings(width_px=160, height_px=120, um_per_px=0.4, white_cells=(2, 3), masks=True)
RULES = LabelRules(("CLL",), {}, ())
WEIGHT = torch.eye(2)
"""Class k reads channel k."""


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Sample]]:
    out = tmp_path_factory.mktemp("slides")
    write_data_set(out, [DiagnosisClass.CLL], slides=2, fields=1, seed=3, settings=SMALL)
    return out, read_samples(out, RULES)[0]


def left_half(images: int = 1) -> torch.Tensor:
    cells = torch.zeros(images, 1, 64, 64)
    cells[..., :32] = 1
    return cells


def test_evidence_outside_costs_its_share() -> None:
    maps = torch.zeros(3, 2, 4, 4)
    maps[0, 0, :, 0] = 2.0  # inside
    maps[1, 0, :, 3] = 2.0  # outside
    maps[2, 0, :, 0] = maps[2, 0, :, 3] = 1.0
    for image, wanted in enumerate((0.0, 1.0, 0.5)):
        one = maps[image : image + 1]
        found = share_outside(one, WEIGHT, torch.tensor([0]), left_half())
        assert float(found) == pytest.approx(wanted, abs=0.01)
    all_three = share_outside(maps, WEIGHT, torch.tensor([0, 0, 0]), left_half(3))
    assert float(all_three) == pytest.approx(0.5, abs=0.01)


def test_what_all_classes_share_hides_nothing_and_changes_no_probability() -> None:
    """Maps that are negative everywhere have no mass outside, but for what they say of the classes."""
    maps = torch.rand(1, 2, 4, 4)
    maps[0, 0, :, 3] += 3.0
    hidden = WEIGHT - 100.0
    found = share_outside(maps, hidden, torch.tensor([0]), left_half())
    assert found == pytest.approx(
        float(share_outside(maps, WEIGHT, torch.tensor([0]), left_half()))
    )
    assert float(found) > 0.3
    layer = torch.nn.Linear(2, 2)
    before = torch.softmax(layer(maps.mean(dim=(2, 3))), 1)
    centre(layer)
    assert layer.weight.sum(0).abs().max() < 1e-6
    assert torch.allclose(torch.softmax(layer(maps.mean(dim=(2, 3))), 1), before, atol=1e-6)


def test_only_the_true_class_and_positive_evidence_and_fields_with_cells_count() -> None:
    maps = torch.zeros(1, 2, 4, 4)
    maps[0, 0, :, 0] = 1.0
    maps[0, 0, :, 3] = -5.0
    maps[0, 1, :, 3] = 9.0
    assert float(share_outside(maps, WEIGHT, torch.tensor([0]), left_half())) < 0.01
    no_cells = torch.zeros(1, 1, 64, 64)
    assert float(share_outside(maps, WEIGHT, torch.tensor([1]), no_cells)) == 0.0
    nothing = torch.zeros(1, 2, 4, 4, requires_grad=True)
    found = share_outside(nothing, WEIGHT, torch.tensor([0]), left_half())
    (slope,) = torch.autograd.grad(found, nothing)
    assert torch.isfinite(slope).all()


def test_a_class_that_is_called_where_the_others_find_nothing_costs_in_every_image() -> None:
    """Class 0 finds cells; class 1 has learned only that class 0 finds none outside them."""
    maps = torch.zeros(2, 2, 4, 4)
    maps[:, 0, :, 0] = 1.0
    maps[:, 1, :, 1:] = 1.0
    cells = torch.zeros(2, 1, 64, 64)
    cells[..., :16] = 1
    own = [
        float(share_outside(maps[:1], WEIGHT, torch.tensor([kind]), cells[:1])) for kind in (0, 1)
    ]
    assert own[0] < 0.3 and own[1] > 0.9
    assert float(share_outside_of_all(maps, WEIGHT, cells)) > 0.6
    silent = maps.clone()
    silent[:, 1, :, 1:] = 0.0
    assert float(share_outside_of_all(silent, WEIGHT, cells)) < 0.3


def test_evidence_against_a_class_counts_as_much_as_for_it() -> None:
    maps = torch.zeros(1, 2, 4, 4)
    maps[0, 0, :, 0] = 1.0
    maps[0, 0, :, 3] = -1.0
    found = float(share_outside_of_all(maps, WEIGHT, left_half()))
    assert found == pytest.approx(0.5, abs=0.01)
    assert float(share_outside_of_all(maps, WEIGHT - 7.0, left_half())) == pytest.approx(found)
    no_cells = torch.zeros(1, 1, 64, 64)
    assert float(share_outside_of_all(maps, WEIGHT, no_cells)) == 0.0


@pytest.mark.parametrize("all_classes", [False, True])
def test_descent_moves_the_evidence_inside(*, all_classes: bool) -> None:
    def term(maps: torch.Tensor) -> torch.Tensor:
        if all_classes:
            return share_outside_of_all(maps, WEIGHT, left_half())
        return share_outside(maps, WEIGHT, torch.tensor([0]), left_half())

    maps = torch.zeros(1, 2, 4, 4)
    maps[:, 0] = 1.0
    maps.requires_grad_()
    for _ in range(60):
        (slope,) = torch.autograd.grad(term(maps), maps)
        maps = (maps - 2.0 * slope).detach().requires_grad_()
    assert float(term(maps.detach())) < 0.2


def test_the_cells_of_a_tile_are_those_of_the_simulator(slides: tuple[Path, list[Sample]]) -> None:
    root, samples = slides
    shape = load_recipe("synthetic5")
    small = shape.input.model_copy(update={"height_px": 96, "width_px": 128, "um_per_px": 0.5})
    preprocessing = _first_preprocessing(shape.model_copy(update={"input": small}))
    cells = TrueCells(root)
    images = load_images(samples, ["CLL"], preprocessing, cells_of=cells.of)
    assert images.tiles.shape == (2, 96, 128, 4)
    for sample, tile in zip(samples, images.tiles, strict=True):
        seed = int(sample.path.stem.rpartition("-")[0].removeprefix("slide-"), 16)
        truth = render_field(
            draw_slide(seed), "CLL", 0, width_px=160, height_px=120, um_per_px=0.4,
            white_cells=(2, 3),
        ).masks.white_cells  # fmt: skip
        assert np.array_equal(cells.of(sample) > 0, truth > 0)
        assert (tile[..., 3] > 127).mean() == pytest.approx((truth > 0).mean(), rel=0.1)


def test_where_nobody_knows_the_cells_they_are_found(slides: tuple[Path, list[Sample]]) -> None:
    root, samples = slides
    for sample in samples:
        found, truth = found_cells(sample) > 0, TrueCells(root).of(sample) > 0
        assert found.shape == truth.shape
        assert (found & truth).sum() >= 0.7 * (found | truth).sum()
    with pytest.raises(DataError, match="um per pixel unknown"):
        found_cells(replace(samples[0], um_per_px=None))
    with pytest.raises(DataError, match=r"\.jpg: 2 um per pixel"):
        found_cells(replace(samples[0], um_per_px=2.0))


def test_images_without_masks_are_named(tmp_path: Path, slides: tuple[Path, list[Sample]]) -> None:
    with pytest.raises(DataError, match=rf"{MASKS_FILE}.*map_inside needs the masks"):
        TrueCells(tmp_path)
    root, samples = slides
    stranger = Sample(root / "CLL" / "other.jpg", "CLL", "g", samples[0].sha256, 0.4)
    with pytest.raises(DataError, match=r"holds no CLL/other\.png"):
        TrueCells(root).of(stranger)


@pytest.mark.parametrize("name", ["vgg16", "fusion", "mobilenet_v2_dense"])
def test_a_network_without_an_exact_map_has_none_to_teach(name: str) -> None:
    recipe = load_recipe("synthetic5").model_copy(update={"architecture": name})
    with pytest.raises(RecipeError, match="map"):
        check_network(recipe)
