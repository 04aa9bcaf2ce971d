"""The simulated data set of a recipe, rendered once into the cache folder; it trains and judges nothing."""

from __future__ import annotations

import os
from pathlib import Path

from rich.progress import Progress

from cloud_worker.models.bundle_folder import Bundle
from edge_device.simulator import SIMULATOR_VERSION
from edge_device.simulator.cell_types import DiagnosisClass
from edge_device.simulator.dataset import (
    MANIFEST_FILE,
    MASKS_FILE,
    FieldSettings,
    write_data_set,
)
from training.data import DataError
from training.recipe import RecipeError, Simulated, load_recipe

SIMULATED = "simulated"
"""What `--data` says for it."""


def rendered(simulated: Simulated, bars: Progress) -> Path:
    """The folder of the data set, rendered if it is not there yet."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    # Another simulator draws other fields from the same seed.
    name = "-".join(map(str, [f"v{SIMULATOR_VERSION}", *simulated.model_dump().values()]))
    folder = cache / "hemowire" / "simulated" / name
    if not ((folder / MANIFEST_FILE).is_file() and (folder / MASKS_FILE).is_file()):
        classes = list(DiagnosisClass)
        total = len(classes) * simulated.slides * simulated.fields
        task = bars.add_task("rendering fields", total=total)
        write_data_set(
            folder,
            classes,
            slides=simulated.slides,
            fields=simulated.fields,
            seed=simulated.seed,
            settings=FieldSettings(
                simulated.width_px, simulated.height_px, simulated.um_per_px, masks=True
            ),
            jobs=len(os.sched_getaffinity(0)),
            done=lambda count: bars.update(task, completed=count),
        )
    return folder


def simulated_of(bundle: Bundle) -> Simulated:
    """What a bundle was trained on, by the shipped recipe that its card names; DataError where unknown.

    Whether this simulator still draws those very images is checked by their digests, not here.
    """
    card = bundle.card
    try:
        simulated = load_recipe(card.recipe.name).data.simulated
    except RecipeError:
        simulated = None
    if simulated is None or card.recipe.seeds.get("simulator") != simulated.seed:
        raise DataError(
            f"{bundle.name}: its recipe {card.recipe.name!r} does not say what to render: give --data DIR"
        )
    return simulated
