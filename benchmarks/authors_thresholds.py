"""Fits the four-class set's HSV thresholds to its authors' own masks and says how well they fit; needs the real data.

Half of the near-duplicate groups fit the ranges (the largest IoU over all pixels, each range searched
through in turn until none improves), the other half judges them.

    HEMOWIRE_REAL_DATA=... python -m benchmarks.authors_thresholds --out cloud_worker/cells/authors.json
"""

from __future__ import annotations

import argparse
import csv
import itertools
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cloud_worker.cells.authors import AuthorsThresholds

CLASSES = ("Benign", "Early", "Pre", "Pro")
#: Hue is resolved fully, saturation and value in steps.
BINS = (180, 128, 128)
STEPS = (1, 2, 2)
#: Their files are JPEG: black is not quite black.
INSIDE_ABOVE = 64
STARTS = (((110, 140), (20, 127), (30, 127)), ((100, 150), (30, 127), (0, 127)))

Counts = NDArray[np.int64]
Ranges = tuple[tuple[int, int], ...]


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the data file; 2 without real data."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(arguments)
    data = os.environ.get("HEMOWIRE_REAL_DATA")
    if data is None:
        print("HEMOWIRE_REAL_DATA is not set: there are no masks to fit to", file=sys.stderr)
        return 2
    cv2.setNumThreads(1)
    fitted, judged = ([_cumulated(part) for part in half] for half in read_halves(Path(data)))
    ranges = max((fit(fitted, start) for start in STARTS), key=lambda found: iou(fitted, found))
    bounds = [
        (low * step, high * step + step - 1)
        for (low, high), step in zip(ranges, STEPS, strict=True)
    ]
    found = AuthorsThresholds(
        hue=bounds[0],
        saturation=bounds[1],
        value=bounds[2],
        fitted_on="ball4/segmented_sample, 240 images; even near-duplicate groups fit, odd ones judge",
        command="python -m benchmarks.authors_thresholds --out cloud_worker/cells/authors.json",
        mask=f"any channel of the authors' file above {INSIDE_ABOVE}",
        iou_fitted=_by_class(fitted, ranges),
        iou_held_out=_by_class(judged, ranges),
    )
    args.out.write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
    print(found.model_dump_json(indent=1))
    return 0


def read_halves(data: Path) -> tuple[list[tuple[Counts, Counts]], list[tuple[Counts, Counts]]]:
    """Per half and class: how often each hue, saturation and value lies inside and outside."""
    root = data / "ball4"
    with (root / "index.csv").open(newline="", encoding="utf-8") as file:
        groups = {row["path"]: int(row["near_duplicate_group"]) for row in csv.DictReader(file)}
    halves: tuple[list[tuple[Counts, Counts]], ...] = ([], [])
    for label in CLASSES:
        counted = [(np.zeros(BINS, np.int64), np.zeros(BINS, np.int64)) for _ in halves]
        for file_of_mask in sorted((root / "segmented_sample" / label).iterdir()):
            path = f"original/{label}/{file_of_mask.name}"
            inside, outside = counted[groups[path] % 2]
            bgr, theirs = cv2.imread(str(root / path)), cv2.imread(str(file_of_mask))
            if bgr is None or theirs is None:
                raise ValueError(f"{path} or its mask cannot be read")
            hsv = cv2.cvtColor(bgr, cv2.COLOR_BGR2HSV).astype(np.intp) // np.array(STEPS)
            bins = np.ravel_multi_index(tuple(np.moveaxis(hsv, 2, 0)), BINS)
            mask = theirs.max(axis=2) > INSIDE_ABOVE
            inside += np.bincount(bins[mask], minlength=inside.size).reshape(BINS)
            outside += np.bincount(bins[~mask], minlength=outside.size).reshape(BINS)
        for half, pair in zip(halves, counted, strict=True):
            half.append(pair)
    return halves[0], halves[1]


def fit(parts: list[tuple[Counts, Counts]], start: Ranges) -> Ranges:
    """The ranges that no change of one range alone makes better."""
    ranges, best = list(start), -1.0
    while True:
        for axis, bins in enumerate(BINS):
            low, high = (side[np.triu_indices(bins)] for side in np.indices((bins, bins)))
            tried: list[tuple[NDArray[np.intp], NDArray[np.intp]]] = [
                (np.array(a, np.intp), np.array(b, np.intp)) for a, b in ranges
            ]
            tried[axis] = (low, high)
            scores = _iou(parts, tried)
            at = int(np.argmax(scores))
            ranges[axis] = (int(low[at]), int(high[at]))
        if float(scores[at]) <= best + 1e-9:
            return tuple(ranges)
        best = float(scores[at])


def iou(parts: list[tuple[Counts, Counts]], ranges: Ranges) -> float:
    """Intersection over union of all pixels."""
    return float(_iou(parts, [(np.array(a, np.intp), np.array(b, np.intp)) for a, b in ranges]))


def _by_class(parts: list[tuple[Counts, Counts]], ranges: Ranges) -> dict[str, float]:
    each = {
        label: round(iou([part], ranges), 3) for label, part in zip(CLASSES, parts, strict=True)
    }
    return each | {"all": round(iou(parts, ranges), 3)}


def _iou(
    parts: list[tuple[Counts, Counts]],
    ranges: list[tuple[NDArray[np.intp], NDArray[np.intp]]],
) -> NDArray[np.float64]:
    hit = sum(_within(inside, ranges) for inside, _ in parts)
    false = sum(_within(outside, ranges) for _, outside in parts)
    whole = sum(int(inside[-1, -1, -1]) for inside, _ in parts)
    return np.asarray(hit / (whole + false), np.float64)


def _cumulated(pair: tuple[Counts, Counts]) -> tuple[Counts, Counts]:
    def along_all(counts: Counts) -> Counts:
        for axis in range(3):
            counts = counts.cumsum(axis)
        return np.pad(counts, ((1, 0),) * 3)

    return along_all(pair[0]), along_all(pair[1])


def _within(table: Counts, ranges: list[tuple[NDArray[np.intp], NDArray[np.intp]]]) -> Counts:
    """Pixels within the box, by the eight corners of the table of sums."""
    total = np.zeros((), np.int64)
    for corner in itertools.product((0, 1), repeat=3):
        ends = [(low, high + 1)[side] for (low, high), side in zip(ranges, corner, strict=True)]
        total = total + (-1) ** (3 - sum(corner)) * table[tuple(ends)]
    return np.asarray(total, np.int64)


if __name__ == "__main__":
    sys.exit(main())
