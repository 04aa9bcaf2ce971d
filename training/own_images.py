"""Which images a bundle was made from, by its own record; it lets no image be judged that trained the bundle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cloud_worker.models.bundle_folder import Bundle
from cloud_worker.models.card import BundleCard
from training.data import DataError, Sample, manifest_of, read_data_set
from training.reading import read_samples, rules_of_card
from training.seen import part_of, refuse_seen, seen_digests
from training.split import Parts, describe, split_by_group


def refuse_training_images(bundle: Bundle, samples: Sequence[Sample]) -> None:
    """DataError where any of these images was used to make the bundle.

    An older bundle holds no digests of single images: it is asked for whole parts only.
    """
    if seen_digests(bundle):
        refuse_seen(bundle, samples)
        return
    card, own = bundle.card, describe(samples).sha256
    for name, part in card.training_data.splits.items():
        if name != "test" and part.sha256 == own:
            raise DataError(f"these {len(samples)} images are the bundle's {name} part")
    if _recorded_parts(card, samples) is not None:
        raise DataError("this data set holds the bundle's training images: use --part test")


def test_part(bundle: Bundle, samples: Sequence[Sample]) -> tuple[Sample, ...]:
    """The images that the bundle's training kept for testing, checked against the card's digests."""
    found = part_of(bundle, samples, "test")
    if found:
        return found
    parts = _recorded_parts(bundle.card, samples)
    if parts is None:
        raise DataError("this is not the data set that the bundle was trained on: leave out --part")
    return parts.test


def recorded_part(bundle: Bundle, samples: Sequence[Sample], part: str) -> tuple[Sample, ...]:
    """The images of one of the bundle's parts; empty where they are not among the samples."""
    found = part_of(bundle, samples, part)
    if found:
        return found
    parts = _recorded_parts(bundle.card, samples)
    return () if parts is None else parts.named().get(part, ())


def _recorded_parts(card: BundleCard, samples: Sequence[Sample]) -> Parts | None:
    """The parts by the card's own split, or None where the data set is another one."""
    settings, seed = card.recipe.settings, card.recipe.seeds.get("split")
    calibration, test = settings.get("split.calibration"), settings.get("split.test")
    if seed is None or not isinstance(calibration, float) or not isinstance(test, float):
        return None
    try:
        parts = split_by_group(samples, calibration=calibration, test=test, seed=seed)
    except DataError:
        return None
    recorded = card.training_data.splits.get("train")
    return parts if recorded is not None and describe(parts.train) == recorded else None


def recorded_scale(card: BundleCard) -> float | None:
    """The um per pixel that the recipe gave to images without one of their own."""
    scale = card.recipe.settings.get("data.um_per_px")
    return scale if isinstance(scale, float) else None


def own_samples(bundle: Bundle, location: Path, *, um_per_px: float | None = None) -> list[Sample]:
    """A data set as the bundle's training read it.

    A bundle without digests of single images knows its parts by how the set was split: by the groups of
    the set's own manifest, where it was made before sets were indexed here.
    """
    card = bundle.card
    rules, scale = rules_of_card(card), um_per_px or recorded_scale(card)
    if not seen_digests(bundle) and manifest_of(location) is not None:
        try:
            samples = read_data_set(
                location, rules.labels, um_per_px=scale, class_of=rules.class_of
            )
        except DataError:
            samples = []  # no groups of its own
        if samples and _recorded_parts(card, samples) is not None:
            return samples
    return read_samples(location, rules, um_per_px=scale)[0]
