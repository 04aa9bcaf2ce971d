"""The four regimes that a recipe can be judged by, each as parts of the samples.

`by_group` and `contiguous_fifths` are honest: a group or file in two parts is an error. `by_image` and
`paper` are what papers do; what their parts share is counted and said, never hidden.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from training.data import DataError, Sample
from training.recipe import Regime, SplitShares
from training.split import Parts, check_disjoint, split_by_group

HONEST = frozenset({"by_group", "contiguous_fifths"})
FIFTHS = range(1, 6)


@dataclass(frozen=True, slots=True)
class Overlap:
    """What the training part shares with the test part; all zero in an honest regime."""

    groups: int
    files: int
    test_images_with_sibling: int
    """Test images that show the same field or file as some training image, or are copies of one."""


def split_samples(
    samples: Sequence[Sample], shares: SplitShares, enlarge: Mapping[str, float] | None = None
) -> Parts:
    """The parts by the regime of `shares`; DataError for a class or part that comes out empty.

    `enlarge` says how many images, copies included, a paper makes of one of each label before it splits.
    """
    regime: Regime = shares.regime
    if regime == "by_group":
        parts = split_by_group(
            samples,
            calibration=shares.calibration,
            test=shares.test,
            seed=shares.seed,
            validation=shares.validation,
        )
    elif regime == "contiguous_fifths":
        parts = _contiguous(samples, shares)
    else:
        pool = with_copies(samples, enlarge or {}, shares.seed) if regime == "paper" else samples
        parts = _by_image(pool, shares)
    _check_classes(parts, samples)
    if regime in HONEST:
        check_disjoint(parts)
    return parts


def overlap(parts: Parts) -> Overlap:
    """What training and test have in common."""
    groups = {s.group for s in parts.train} & {s.group for s in parts.test}
    files = {s.sha256 for s in parts.train} & {s.sha256 for s in parts.test}
    siblings = sum(s.group in groups or s.sha256 in files for s in parts.test)
    return Overlap(len(groups), len(files), siblings)


def with_copies(samples: Sequence[Sample], enlarge: Mapping[str, float], seed: int) -> list[Sample]:
    """Each sample and its augmented copies, so many that a label grows by its factor."""
    rng = np.random.default_rng([23, seed])
    grown: list[Sample] = []
    for sample in samples:
        copies = enlarge.get(sample.label, 1.0) - 1.0
        # 5.96 images of one: four more, and a fifth for 96 of a hundred.
        whole = int(copies) + int(rng.random() < copies - int(copies))
        grown += [replace(sample, copy=number) for number in range(whole + 1)]
    return grown


def _by_image(samples: Sequence[Sample], shares: SplitShares) -> Parts:
    """Every image (and every copy) dealt out by itself: near-duplicates and siblings fall apart."""
    alone = [
        replace(sample, group=f"{number:07d}", sha256=str(number))
        for number, sample in enumerate(samples)
    ]
    dealt = split_by_group(
        alone,
        calibration=shares.calibration,
        test=shares.test,
        seed=shares.seed,
        validation=shares.validation,
    )
    own = {name: tuple(samples[int(s.group)] for s in part) for name, part in dealt.named().items()}
    return Parts(**own)


def fifths_of(samples: Sequence[Sample]) -> dict[Path, int]:
    """Each sample's fifth of its label's files in their order, 1 to 5, as `contiguous_fifths` cuts them."""
    return {
        sample.path: fifth
        for members in _in_file_order(samples).values()
        for fifth in FIFTHS
        for sample in _fifth(members, fifth)[0]
    }


def _in_file_order(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    by_label: dict[str, list[Sample]] = defaultdict(list)
    for sample in sorted(samples, key=lambda sample: str(sample.path)):
        by_label[sample.label].append(sample)
    return by_label


def _contiguous(samples: Sequence[Sample], shares: SplitShares) -> Parts:
    """Per label, one fifth of the files in their order is the test part; the rest is cut likewise.

    Where file order follows acquisition, this stands in for slides. A group that lies across a cut
    loses its images on the training side.
    """
    if shares.fifth not in FIFTHS:
        raise DataError(f"fifth {shares.fifth}: there are 1 to {FIFTHS[-1]}")
    by_label = _in_file_order(samples)
    cuts = {label: _fifth(members, shares.fifth) for label, members in by_label.items()}
    dealt: dict[str, list[Sample]] = defaultdict(list)
    dealt["test"] = [sample for held, _ in cuts.values() for sample in held]
    taken = {sample.group for sample in dealt["test"]}
    left = {label: rest for label, (_, rest) in cuts.items()}
    for part, share in (("calibration", shares.calibration), ("validation", shares.validation)):
        for label, rest in left.items():
            free = [sample for sample in rest if sample.group not in taken]
            count = round(share * len(by_label[label]))
            dealt[part] += free[:count]
            left[label] = free[count:]
        taken |= {sample.group for sample in dealt[part]}
    dealt["train"] = [s for rest in left.values() for s in rest if s.group not in taken]
    return Parts(**{part: tuple(members) for part, members in dealt.items()})


def _fifth(members: Sequence[Sample], fifth: int) -> tuple[list[Sample], list[Sample]]:
    """One fifth, and all others from its end on and around, so that what is held out lies side by side."""
    cuts = np.linspace(0, len(members), len(FIFTHS) + 1).round().astype(int)
    start, stop = int(cuts[fifth - 1]), int(cuts[fifth])
    return list(members[start:stop]), [*members[stop:], *members[:start]]


def _check_classes(parts: Parts, samples: Sequence[Sample]) -> None:
    labels = Counter(sample.label for sample in samples)
    for name, part in parts.named().items():
        missing = sorted(labels.keys() - {sample.label for sample in part})
        if missing:
            label = missing[0]
            groups = len({s.group for s in samples if s.label == label})
            first = next(s.path for s in samples if s.label == label)
            raise DataError(
                f"{first}: class {label} has {labels[label]} images in {groups} groups, too few "
                f"groups to put one into the {name} part"
            )
