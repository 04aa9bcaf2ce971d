"""Recipes: the shipped ones load, a wrong one lists all that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud_worker.models.card import Meaning
from cloud_worker.models.registry import ARCHITECTURES
from training.recipe import (
    DATA_SETS,
    RECIPES,
    RecipeError,
    TrainingRecipe,
    check_network,
    load_recipe,
)
from training.reduced import reduced


@pytest.mark.parametrize("name", sorted(file.stem for file in RECIPES.glob("*.toml")))
def test_shipped_recipes_load_and_say_research_use_only(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert any("Research use only" in limit for limit in recipe.limits_of_use)


def test_the_four_class_recipe_masks_the_scale_bar_and_credits_the_authors() -> None:
    recipe = load_recipe("ball4")
    assert recipe.input.masked_corner_px / recipe.input.height_px >= 36 / 224
    assert "10.34740/KAGGLE/DSV/2175623" in recipe.data.credit
    meanings = {kind.name: kind.meaning for kind in recipe.classes}
    assert meanings["Benign"] is Meaning.NO_LEUKEMIA_PATTERN
    assert {meanings[name] for name in ("Early", "Pre", "Pro")} == {Meaning.ACUTE}


def test_an_unknown_recipe_names_the_shipped_ones() -> None:
    with pytest.raises(RecipeError, match=r"ball4, ball4-cells, bibi-densenet121.* synthetic5"):
        load_recipe("none")


def test_an_unknown_data_set_names_the_shipped_ones() -> None:
    with pytest.raises(RecipeError, match="no data set 'moon': there are ball4, bibi5"):
        load_recipe("bibi-resnet34", "moon")


@pytest.mark.parametrize("data_set", sorted(file.stem for file in DATA_SETS.glob("*.toml")))
def test_a_paper_s_recipe_takes_every_data_set_at_its_own_input_size(data_set: str) -> None:
    recipe = load_recipe("bibi-resnet34", data_set)
    assert (recipe.input.height_px, recipe.input.width_px) == (224, 224)
    assert recipe.task == data_set
    assert any("Research use only" in limit for limit in recipe.limits_of_use)


def test_only_the_paper_s_own_regime_leaves_the_scale_bar_in_sight() -> None:
    recipe = load_recipe("islam-fusion")
    assert recipe.with_regime("paper").input.masked_corner_px == 0
    for regime in ("by_image", "by_group", "contiguous_fifths"):
        assert recipe.with_regime(regime).input.masked_corner_px >= 128 * 36 / 224


def test_every_experiment_of_the_papers_has_a_recipe() -> None:
    shipped = [load_recipe(file.stem) for file in RECIPES.glob("*.toml")]
    found = {(recipe.paper, recipe.architecture, recipe.task) for recipe in shipped}
    for name, row in ARCHITECTURES.items():
        for use in row.uses:
            tasks = {task for paper, net, task in found if (paper, net) == (use.paper, name)}
            assert tasks, f"no recipe for {use.paper}'s {row.title}"
            assert len(tasks) == sum(other.paper == use.paper for other in row.uses)


def test_a_reduced_recipe_is_smaller_and_says_so() -> None:
    for file in RECIPES.glob("*.toml"):
        recipe = load_recipe(file.stem)
        small = TrainingRecipe.model_validate(reduced(recipe).model_dump(by_alias=True))
        check_network(small)
        assert small.reduced
        assert sum(s.epochs for s in small.stages) <= sum(s.epochs for s in recipe.stages)
        assert small.split == recipe.split
        width_um = recipe.input.width_px * recipe.input.um_per_px
        assert small.input.width_px * small.input.um_per_px == pytest.approx(width_um, rel=0.2)


def test_patience_without_a_validation_part_is_refused(tmp_path: Path) -> None:
    text = (RECIPES / "ball4.toml").read_text(encoding="utf-8")
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(text.replace("batch = 32", "batch = 32\npatience = 3"), encoding="utf-8")
    with pytest.raises(RecipeError, match="needs a validation share"):
        load_recipe(str(wrong))


def test_a_wrong_recipe_lists_all_its_problems(tmp_path: Path) -> None:
    text = (RECIPES / "ball4.toml").read_text(encoding="utf-8")
    text = text.replace("epochs = 9", "epochs = 0").replace("flips", "flip")
    text = text.replace("height_px = 192", "height_px = 'tall'", 1)
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(wrong))
    assert "epochs" in str(caught.value)
    assert "height_px" in str(caught.value)


def test_more_epochs_go_to_the_last_stage() -> None:
    recipe = load_recipe("synthetic5-resnet34").with_epochs(7)
    assert [stage.epochs for stage in recipe.stages][-1] == 7
    assert recipe.stages[0] == load_recipe("synthetic5-resnet34").stages[0]


@pytest.mark.parametrize(
    ("network", "problem"),
    [
        ("vgg16", "vgg16 takes 224x224 px only, and the input is 192x192 px"),
        ("ac_gan", "ac_gan takes 28x28 px only"),
        ("vgg1", "no architecture 'vgg1'"),
    ],
)
def test_a_network_that_the_recipe_s_input_does_not_fit_is_refused(
    network: str, problem: str
) -> None:
    recipe = load_recipe("ball4")
    check_network(recipe.with_architecture("mobilenet_v2"))
    with pytest.raises(RecipeError, match=problem):
        check_network(recipe.with_architecture(network))


def test_another_network_has_its_own_stride() -> None:
    recipe = load_recipe("ball4")
    assert recipe.output_stride == 16
    assert recipe.with_architecture("densenet121") is recipe
    assert recipe.with_architecture("resnet34").output_stride is None
