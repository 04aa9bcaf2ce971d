"""The labelled, grouped images of a data set, read alike for training and for evaluation.

A manifest by `hemowire data index` or by the simulator says its own groups; anything else is indexed
here, so that no field seen twice can lie on both sides of a split. It refuses what indexing refuses.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cloud_worker.models.card import BundleCard
from training.data import DataError, Sample, first_problems, manifest_of, read_data_set
from training.indexing import Index, index_images

GROUPED_BY_US = frozenset({"perceptual_hash", "slide_seed"})
"""Columns that only manifests by `hemowire data index` and by the simulator have."""


@dataclass(frozen=True, slots=True)
class LabelRules:
    """How a data set's labels become the classes of a recipe."""

    labels: tuple[str, ...]
    aliases: Mapping[str, str]
    ignored: tuple[str, ...]

    def class_of(self, label: str) -> str | None:
        """The class of a label, or None where its images are left out."""
        return None if label in self.ignored else self.aliases.get(label, label)


def read_samples(
    location: Path,
    rules: LabelRules,
    *,
    um_per_px: float | None = None,
    done: Callable[[int], None] = lambda count: None,
) -> tuple[list[Sample], Index | None]:
    """All samples by path, and the index that was made where there was none.

    DataError names what is damaged, unlabelled, of an unknown label, or a class of one group.
    """
    manifest = manifest_of(location)
    if manifest is not None and _is_grouped(manifest):
        samples = read_data_set(
            location,
            rules.labels,
            um_per_px=um_per_px,
            done=done,
            class_of=rules.class_of,
        )
        return samples, None
    index = index_images(location, done=lambda count, total: done(count))
    samples, problems = [], []
    for image in index.images:
        label = rules.class_of(image.label)
        if label is None:
            continue
        if label not in rules.labels:
            problems.append(
                f"{image.path}: unknown label {label!r}; known: {', '.join(rules.labels)}"
            )
        else:
            scale = image.listed.um_per_px or um_per_px
            samples.append(Sample(image.path, label, image.group, image.sha256, scale))
    found = {sample.label for sample in samples}
    problems += [
        f"{location}: no images of class {label}" for label in rules.labels if label not in found
    ]
    if problems:
        raise DataError(first_problems(problems))
    return samples, index


def rules_of_card(card: BundleCard) -> LabelRules:
    """The rules that a bundle was trained by."""
    settings = card.recipe.settings
    aliases = str(settings.get("data.aliases", ""))
    pairs = dict(pair.split("=", 1) for pair in aliases.split("\n") if pair)
    ignored = str(settings.get("data.ignored_labels", ""))
    names = tuple(kind.name for kind in card.classes)
    return LabelRules(names, pairs, tuple(label for label in ignored.split("\n") if label))


def some_of(samples: Sequence[Sample], most: int | None) -> list[Sample]:
    """At most about so many images per class, in whole groups spread over the file order."""
    if most is None:
        return list(samples)
    kept: list[Sample] = []
    for label in sorted({sample.label for sample in samples}):
        own = [sample for sample in samples if sample.label == label]
        groups = list(dict.fromkeys(sample.group for sample in own))
        step = max(1.0, len(own) / most)
        wanted = {groups[int(i * step)] for i in range(len(groups)) if int(i * step) < len(groups)}
        kept += [sample for sample in own if sample.group in wanted]
    return sorted(kept, key=lambda sample: sample.path)


def _is_grouped(manifest: Path) -> bool:
    with manifest.open(newline="", encoding="utf-8") as file:
        columns = set(csv.DictReader(file).fieldnames or ())
    return bool(columns & GROUPED_BY_US)
