"""Recipes: the shipped ones load, a wrong one lists all that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud_worker.models.card import Meaning
from training.recipe import RECIPES, RecipeError, check_network, load_recipe


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
    with pytest.raises(RecipeError, match="ball4, synthetic5"):
        load_recipe("none")


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
    recipe = load_recipe("synthetic5").with_epochs(7)
    assert [stage.epochs for stage in recipe.stages][-1] == 7
    assert recipe.stages[0] == load_recipe("synthetic5").stages[0]


@pytest.mark.parametrize(
    ("network", "problem"),
    [
        ("fusion", "fusion learns from original and segmented images"),
        ("fusion_segmented", "fusion_segmented learns from segmented images"),
        ("vgg16", "vgg16 takes 224x224 px only, and the input is 192x192 px"),
        ("ac_gan", "ac_gan takes 28x28 px only"),
        ("vgg1", "no architecture 'vgg1'"),
    ],
)
def test_a_network_that_the_recipe_s_input_does_not_fit_is_refused(
    network: str, problem: str
) -> None:
    recipe = load_recipe("ball4")
    check_network(recipe.model_copy(update={"architecture": "mobilenet_v2"}))
    with pytest.raises(RecipeError, match=problem):
        check_network(recipe.model_copy(update={"architecture": network}))
