"""Giving a trained bundle another foreignness score without training: `python -m training.refit_foreignness`.

Score and threshold are fitted on the very parts that the bundle was made from; it refuses a data set
that does not hold them. Weights, calibration and figures stay as they are; the limits of use become those of
the shipped recipe that the card names, where there is one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cloud_worker.engines.engine import Engine, Outputs, open_engine
from cloud_worker.engines.torch_engine import load_network
from cloud_worker.models.bundle import NoSuchBundleError, load_bundle
from cloud_worker.models.bundle_folder import Bundle, BundleRefusedError
from cloud_worker.models.bundle_writing import write_bundle
from cloud_worker.preprocess import prepare
from cloud_worker.refusal import Refusal
from cloud_worker.tiling import pool
from training.data import DataError, Sample, read_image
from training.evaluation.foreign_images import Rgb
from training.evaluation.judge import infer
from training.evaluation.ood_images import evenly
from training.fitting_foreignness import (
    CARRIED,
    FIT_IMAGES,
    Learner,
    carried_card,
    fit_score,
    small_changes,
)
from training.own_images import own_samples, recorded_part
from training.recipe import RecipeError, load_recipe
from training.seen import PREFIX, digests_of

DIMS = 64


def refit(
    bundle: Bundle,
    engine: Engine,
    samples: Sequence[Sample],
    out: Path,
    *,
    kind: str = CARRIED,
    percentile: float = 97.5,
    fit_images: int = FIT_IMAGES,
) -> Bundle:
    """The same bundle in another folder, with this score; DataError where its own images are missing."""
    train = evenly(recorded_part(bundle, samples, "train"), fit_images)
    calibration = recorded_part(bundle, samples, "calibration")
    if not (train and calibration):
        raise DataError("the data set lacks the bundle's training or calibration images")
    names = [one.name for one in bundle.card.classes]
    learner = Learner()
    for number, sample in enumerate(train):
        image = read_image(sample.path)
        for pixels in (image, small_changes(image, number)):
            seen, _ = _outputs(bundle, engine, pixels, sample)
            learner.add(seen, [names.index(sample.label)] * len(seen.logits))
    score = fit_score(kind, learner.learned(), DIMS)
    distances = []
    for sample in calibration:
        seen, weights = _outputs(bundle, engine, read_image(sample.path), sample)
        distances.append(float(pool(score.distances(seen), weights)))
    ood = carried_card(score, np.array(distances), percentile, images=len(calibration))
    changes = {"ood": ood, "files": {}, "digest": "", "limits_of_use": _limits(bundle)}
    card = bundle.card.model_copy(update=changes)
    return write_bundle(
        out,
        load_network(bundle),
        card,
        ood_tensors=score.tensors(),
        seen=bundle.tensors(PREFIX) or _digests(bundle, samples),
    )


def _limits(bundle: Bundle) -> tuple[str, ...]:
    """The recipe's as it is now, kept apart from warnings that only the card knows."""
    card = bundle.card
    try:
        recipe = load_recipe(card.recipe.name)
    except RecipeError:
        return card.limits_of_use
    same = recipe.task == card.task and recipe.limits_of_use[0] == card.limits_of_use[0]
    return recipe.limits_of_use if same else card.limits_of_use


def _digests(bundle: Bundle, samples: Sequence[Sample]) -> dict[str, np.ndarray]:
    """Of a bundle that was made before bundles kept them."""
    names = bundle.card.training_data.splits
    return digests_of({name: recorded_part(bundle, samples, name) for name in names})


def _outputs(
    bundle: Bundle, engine: Engine, image: Rgb, sample: Sample
) -> tuple[Outputs, np.ndarray]:
    prepared = prepare(image, sample.um_per_px, bundle.card.preprocessing)
    if isinstance(prepared, Refusal):
        raise DataError(f"{sample.path}: {prepared.text}")
    return infer(engine, prepared), prepared.weights


def main(argv: Sequence[str] | None = None) -> int:
    """Refit and write; 2 where bundle or data are wrong."""
    parser = argparse.ArgumentParser(prog="python -m training.refit_foreignness")
    parser.add_argument("bundle", help="a bundle's name or folder")
    parser.add_argument("--data", type=Path, required=True, help="what it was trained on")
    parser.add_argument("--out", type=Path, required=True, help="the new bundle's folder")
    parser.add_argument("--kind", default=CARRIED, help="mahalanobis, neighbours, vim, joint ...")
    parser.add_argument("--percentile", type=float, default=97.5, help="of calibration images kept")
    args = parser.parse_args(argv)
    try:
        bundle = load_bundle(args.bundle)
        samples = own_samples(bundle, args.data)
        engine = open_engine(bundle, "openvino")
        made = refit(bundle, engine, samples, args.out, kind=args.kind, percentile=args.percentile)
    except (DataError, NoSuchBundleError, BundleRefusedError, ValueError) as error:
        sys.stderr.write(f"refit_foreignness: {error}\n")
        return 2
    sys.stdout.write(f"bundle {made.name} in {args.out}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
