"""A recipe made small enough for two cores: a real training whose figures are not the recipe's.

Networks with one input size keep it; nothing else of the protocol changes.
"""

from __future__ import annotations

from cloud_worker.models.registry import architecture
from training.recipe import Stage, TrainingRecipe

MOST_IMAGES = 42
"""Per class and part; a part is small enough as it is where it has fewer."""
MOST_EPOCHS = 5
MOST_GAN_EPOCHS = 40
"""An epoch of 28 px costs a second."""
MOST_COPIES = 3.0
"""Images that a paper's augmentation may make of one before its split."""
SHORTER_SIDE_PX = 64
COARSEST_CELLS_UM_PER_PX = 0.9
"""Where the segmented picture is made of white cells: they are not found beyond 1."""
MOST_SLIDES, MOST_FIELDS = 40, 2


def reduced(recipe: TrainingRecipe) -> TrainingRecipe:
    """The recipe with fewer images, epochs and pixels; its card will say so."""
    shape = recipe.input
    fixed = architecture(recipe.architecture).only_px is not None
    side = min(shape.height_px, shape.width_px)
    factor = 1.0 if fixed else min(1.0, SHORTER_SIDE_PX / side)
    if recipe.segmentation == "cells":
        factor = min(1.0, max(factor, shape.um_per_px / COARSEST_CELLS_UM_PER_PX))
    whole = recipe.data.whole_images
    made_for = None if whole else shape.made_for_um_per_px or shape.um_per_px
    small = shape.model_copy(
        update={
            "height_px": _scaled(shape.height_px, factor),
            "width_px": _scaled(shape.width_px, factor),
            "um_per_px": shape.um_per_px / factor,
            "made_for_um_per_px": made_for,
            "masked_corner_px": -int(-shape.masked_corner_px * factor // 1),
        }
    )
    enlarge = {k: min(v, MOST_COPIES) for k, v in recipe.paper_split.enlarge.items()}
    simulated = recipe.data.simulated
    if simulated is not None:
        simulated = simulated.model_copy(
            update={
                "slides": min(simulated.slides, MOST_SLIDES),
                "fields": min(simulated.fields, MOST_FIELDS),
            }
        )
    return recipe.model_copy(
        update={
            "reduced": True,
            "most_images": min(recipe.most_images or MOST_IMAGES, MOST_IMAGES),
            "input": small,
            "data": recipe.data.model_copy(update={"simulated": simulated}),
            "paper_split": recipe.paper_split.model_copy(update={"enlarge": enlarge}),
            "stages": tuple(_short(stage, recipe, factor) for stage in recipe.stages),
        }
    )


def _short(stage: Stage, recipe: TrainingRecipe, factor: float) -> Stage:
    most = MOST_GAN_EPOCHS if recipe.gan is not None else MOST_EPOCHS
    # Single cells are cut at a size of their own.
    factor = factor if stage.learns == "classes" else 1.0
    return stage.model_copy(
        update={
            "epochs": min(stage.epochs, most),
            "batch": min(stage.batch, 16),
            "height_px": _scaled(stage.height_px, factor),
            "width_px": _scaled(stage.width_px, factor),
        }
    )


def _scaled(side_px: int, factor: float) -> int:
    return side_px if factor == 1.0 else max(32, round(side_px * factor / 32) * 32)
