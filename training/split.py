"""Splitting samples by group before anything is augmented; any overlap of groups is an error.

What the papers do instead is in regimes.py, and never passes for this.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from cloud_worker.models.card import Split
from training.data import DataError, Sample


@dataclass(frozen=True, slots=True)
class Parts:
    """Three parts without a common group or a common file."""

    train: tuple[Sample, ...]
    calibration: tuple[Sample, ...]
    test: tuple[Sample, ...]
    validation: tuple[Sample, ...] = ()
    """Watched while training, to stop early; empty where a recipe never stops early."""

    def named(self) -> dict[str, tuple[Sample, ...]]:
        """Part name -> samples, in the order of their use."""
        parts = {"train": self.train, "validation": self.validation}
        parts |= {"calibration": self.calibration, "test": self.test}
        return {name: part for name, part in parts.items() if part or name != "validation"}


def split_by_group(
    samples: Sequence[Sample],
    *,
    calibration: float,
    test: float,
    seed: int,
    validation: float = 0.0,
) -> Parts:
    """Deal each label's groups out to the parts; shares are of images, per label.

    A group with several labels goes where its first label puts it.
    """
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[sample.group].append(sample)
    by_label: dict[str, list[str]] = defaultdict(list)
    for name in sorted(groups):
        by_label[min(sample.label for sample in groups[name])].append(name)
    rng = np.random.default_rng([17, seed])
    shares = {"calibration": calibration, "test": test}
    shares |= {"validation": validation} if validation else {}
    dealt: dict[str, list[Sample]] = {name: [] for name in ("train", *shares)}
    for label in sorted(by_label):
        names = by_label[label]
        total = sum(len(groups[name]) for name in names)
        taken = dict.fromkeys(shares, 0)
        wanted = {part: share * total for part, share in shares.items()}
        for index in rng.permutation(len(names)):
            members = groups[names[int(index)]]
            part = next((p for p in taken if taken[p] + len(members) / 2 < wanted[p]), "train")
            if part in taken:
                taken[part] += len(members)
            dealt[part] += members
    parts = Parts(**{name: tuple(part) for name, part in dealt.items()})
    check_disjoint(parts)
    return parts


def check_disjoint(parts: Parts) -> None:
    """Raise DataError where two parts share a group or a file, or a part is empty."""
    named = parts.named()
    for name, samples in named.items():
        if not samples:
            raise DataError(f"the {name} part is empty: too few groups to split")
    for (first, ours), (second, theirs) in combinations(named.items(), 2):
        for what in ("group", "sha256"):
            common = {getattr(s, what) for s in ours} & {getattr(s, what) for s in theirs}
            if common:
                example = sorted(common)[0]
                raise DataError(
                    f"{first} and {second} share {len(common)} values of {what}, such as {example}"
                )


def describe(samples: Sequence[Sample]) -> Split:
    """Size and digest of a part, as the card keeps it."""
    lines = "".join(f"{digest}\n" for digest in sorted(sample.sha256 for sample in samples))
    return Split(
        images=len(samples),
        groups=len({sample.group for sample in samples}),
        sha256=hashlib.sha256(lines.encode()).hexdigest(),
    )
