"""Which images a bundle has seen: the digests of its parts, kept inside its weights file.

Eight bytes of each image's sha256 are kept. It refuses an evaluation on images that the network
learned from or was calibrated on; it cannot tell a near-duplicate that is another file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cloud_worker.models.bundle_folder import Bundle
from training.data import DataError, Sample, first_problems
from training.split import Parts

PREFIX = "seen."
USED = ("train", "validation", "calibration")
"""Parts whose images nothing may be evaluated on."""


def seen_tensors(parts: Parts) -> dict[str, NDArray[np.int64]]:
    """The digests by part, as a bundle's weights file holds them."""
    return digests_of(parts.named())


def digests_of(parts: Mapping[str, Sequence[Sample]]) -> dict[str, NDArray[np.int64]]:
    """The same of parts by name."""
    return {
        f"{PREFIX}{name}": np.array(sorted({_number(s.sha256) for s in part}), np.int64)
        for name, part in parts.items()
    }


def seen_digests(bundle: Bundle) -> dict[str, frozenset[int]]:
    """Part name -> its images' digests; empty for a bundle that was made without them."""
    stored = bundle.tensors(PREFIX)
    return {name.removeprefix(PREFIX): frozenset(map(int, found)) for name, found in stored.items()}


def refuse_seen(bundle: Bundle, samples: Sequence[Sample]) -> None:
    """DataError where any of these images was used to make the bundle; it names the first ones."""
    known = seen_digests(bundle)
    problems = [
        f"{sample.path}: in the {part} part of bundle {bundle.name}"
        for sample, part in _used(samples, known)
    ]
    if problems:
        told = first_problems(problems[:3])
        raise DataError(
            f"{len(problems)} of {len(samples)} images are the bundle's training images: "
            f"use --part test, or leave them out\n{told}"
        )


def part_of(bundle: Bundle, samples: Sequence[Sample], part: str) -> tuple[Sample, ...]:
    """Those of the samples that the bundle's training dealt to this part, and to no part that it used."""
    known = seen_digests(bundle)
    wanted = known.get(part, frozenset())
    used = {sample.path for sample, name in _used(samples, known) if name != part}
    return tuple(s for s in samples if _number(s.sha256) in wanted and s.path not in used)


def _used(
    samples: Sequence[Sample], known: dict[str, frozenset[int]]
) -> Iterable[tuple[Sample, str]]:
    for sample in samples:
        number = _number(sample.sha256)
        for part in USED:
            if number in known.get(part, frozenset()):
                yield sample, part
                break


def _number(sha256: str) -> int:
    return int.from_bytes(bytes.fromhex(sha256[:16]), "big", signed=True)
