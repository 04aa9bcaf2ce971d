"""Does the simulator keep its rules? Each acceptance test of the simulated smears, as one table.

    python -m benchmarks.simulator_acceptance [--bundle NAME] [--slides 40] [--markdown FILE]

Exit status 1 where one fails. Only simulated slides are read. (Over 250 lines: every test on one page.)
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.simulator_bayes import reader_accuracy
from benchmarks.simulator_readers import (
    Fields,
    Network,
    Values,
    colour_statistics,
    render_fields,
    scored,
    separation,
    taught_by_colour,
    taught_by_features,
)
from cloud_worker.models.bundle import load_bundle
from edge_device.simulator import CellType, DiagnosisClass, draw_slide, render_field
from edge_device.simulator.confounding import Sources
from edge_device.simulator.patients import draw_parameters, draw_patient
from edge_device.simulator.white_cell_looks import NEIGHBOURS, PARAMETER_NAMES
from training.augment import augment
from training.evaluation.map_places import share_inside
from training.metrics import Interval
from training.recipe import load_recipe

CHANCE = 1 / len(DiagnosisClass)
LARGEST_SEPARATION = 0.9
COLOUR_MUST_TRAIL_BY = 0.25
SMALLEST_CONFOUNDED = 0.97
SMALLEST_MAP_SHARE = 0.60
_CLASS_OF = {CellType.LYMPHOBLAST: DiagnosisClass.ALL, CellType.MYELOBLAST: DiagnosisClass.AML}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table."""

    what: str
    found: str
    wanted: str
    passed: bool


def neighbours(cells: int = 600) -> tuple[float, str]:
    """The best single parameter over all neighbouring types, and which it is."""
    drawn = {
        cell_type: [
            draw_parameters(cell_type, draw_patient(_of(cell_type), rng), rng)
            for rng in map(np.random.default_rng, range(cells))
        ]
        for pair in NEIGHBOURS
        for cell_type in pair
    }
    return max(
        (
            separation(
                [getattr(cell, name) for cell in drawn[first]],
                [getattr(cell, name) for cell in drawn[second]],
            ),
            f"{name} of {first} and {second}",
        )
        for first, second in NEIGHBOURS
        for name in PARAMETER_NAMES
    )


def fields_per_second(fields: int = 30) -> float:
    """Fields per second of processor time on one thread; one field of each class warms up."""
    kinds = list(DiagnosisClass)
    for number in range(len(kinds)):
        render_field(draw_slide(number), kinds[number], 0)
    began = time.process_time()
    for number in range(fields):
        render_field(draw_slide(100 + number), kinds[number % len(kinds)], 0)
    return fields / (time.process_time() - began)


def _colours(fields: Fields) -> Values:
    return np.stack([colour_statistics(field.image) for field in fields.fields])


def _of(cell_type: CellType) -> DiagnosisClass:
    return _CLASS_OF.get(cell_type, DiagnosisClass.CML)


def _interval(found: Interval) -> str:
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


class Acceptance:
    """The tests, each yielding its lines; fields are rendered once and shared."""

    def __init__(self, network: Network, slides: int, seed: int) -> None:
        self._network, self._slides, self._seed = network, slides, seed
        self._done = count(1)

    def lines(self) -> Iterator[Line]:
        """All lines, cheap ones first."""
        value, where = neighbours()
        yield Line(
            "one truth parameter between neighbouring cell types, AUROC",
            f"at most {value:.3f} ({where})",
            f"< {LARGEST_SEPARATION}",
            value < LARGEST_SEPARATION,
        )
        rate = fields_per_second()
        yield Line(
            "fields of 640x480 a second of one core", f"{rate:.1f}", "at least 10", rate >= 10
        )
        for cells in ((1, 1), (2, 2), (3, 3), (5, 5)):
            limit = reader_accuracy(cells, 1000)
            yield Line(f"Bayes limit, {cells[0]} white cells", f"{limit:.3f}", "", True)
        train, test = self._render(1), self._render(2)
        yield from self._model_and_colours(train, test)
        yield from self._background()
        yield from self._confounded()
        leaky, honest = leak_shown(train, self._seed)
        yield Line(
            "nearest neighbour, augmented before the split (the leak)",
            _interval(leaky),
            "at least 0.90",
            leaky.value >= 0.90,
        )
        yield Line(
            "nearest neighbour, split by slide and then augmented",
            _interval(honest),
            "at most 0.50",
            honest.value <= 0.50,
        )

    def _render(
        self,
        stream: int,
        *,
        background_only: bool = False,
        sources: Sources = Sources.INDEPENDENT,
    ) -> Fields:
        return render_fields(
            self._slides,
            self._seed + stream,
            background_only=background_only,
            sources=sources,
            done=self._tell,
        )

    def _tell(self) -> None:
        number = next(self._done)
        if number % 50 == 0:
            print(f"{number} fields rendered", file=sys.stderr, flush=True)

    def _features(self, fields: Fields) -> Values:
        return np.stack([self._network.read(f.image, f.truth.um_per_px)[1] for f in fields.fields])

    def _model_and_colours(self, train: Fields, test: Fields) -> Iterator[Line]:
        limit = reader_accuracy((5, 10), 2000)
        read = [self._network.read(f.image, f.truth.um_per_px) for f in test.fields]
        answers = np.array([int(logits.argmax()) for logits, _, _ in read])
        model = scored(test.labels, answers, test.slides)
        yield Line("Bayes limit, 5 to 10 white cells", f"{limit:.3f}", "", True)
        yield Line(
            "the bundle on unseen slides, balanced accuracy",
            _interval(model),
            "at least 0.88, not above the limit",
            model.value >= 0.88 and model.low <= limit,
        )
        answers_by_colour = taught_by_colour(_colours(train), train.labels, _colours(test))
        by_colour = scored(test.labels, answers_by_colour, test.slides)
        yield Line(
            "whole-field colour statistics alone",
            _interval(by_colour),
            f"at least {COLOUR_MUST_TRAIL_BY} below the bundle",
            by_colour.value <= model.value - COLOUR_MUST_TRAIL_BY,
        )
        yield from _map_lines(read, answers, test)

    def _background(self) -> Iterator[Line]:
        train, test = (self._render(stream, background_only=True) for stream in (3, 4))
        answers = taught_by_features(self._features(train), train.labels, self._features(test))
        found = scored(test.labels, answers, test.slides)
        yield Line(
            "background only: a classifier taught on scenes without white cells",
            _interval(found),
            f"contains {CHANCE:.2f}",
            found.low <= CHANCE <= found.high,
        )
        called = np.array(
            [int(self._network.read(f.image, f.truth.um_per_px)[0].argmax()) for f in test.fields]
        )
        found = scored(test.labels, called, test.slides)
        yield Line(
            "background only: the bundle",
            _interval(found),
            f"contains {CHANCE:.2f}",
            found.low <= CHANCE <= found.high,
        )

    def _confounded(self) -> Iterator[Line]:
        train = self._render(5, sources=Sources.TIED)
        same, swapped = (
            self._render(stream, sources=sources)
            for stream, sources in ((6, Sources.TIED), (7, Sources.SWAPPED))
        )
        for what, fields in (("the same sources", same), ("swapped sources", swapped)):
            tied = fields is same
            answers = taught_by_colour(_colours(train), train.labels, _colours(fields))
            found = scored(fields.labels, answers, fields.slides)
            yield Line(
                f"confounded on purpose: colours taught on tied sources, tested on {what}",
                _interval(found),
                f"at least {SMALLEST_CONFOUNDED}" if tied else "collapses: at most 0.40",
                found.value >= SMALLEST_CONFOUNDED if tied else found.value <= 0.40,
            )
        # The bundle's features learned cells from honest slides: they fall less deep.
        taught = self._features(train)
        for what, fields in (("the same sources", same), ("swapped sources", swapped)):
            answers = taught_by_features(taught, train.labels, self._features(fields))
            found = scored(fields.labels, answers, fields.slides)
            yield Line(
                f"the same with the bundle's features, tested on {what}", _interval(found), "", True
            )


def leak_shown(fields: Fields, seed: int, copies: int = 6) -> tuple[Interval, Interval]:
    """Nearest neighbour on thumbnails of changed copies: split after changing, and by slide before.

    Each slide gives one field, so a copy on the other side is the same field changed otherwise.
    """
    rng = np.random.default_rng(seed)
    change = load_recipe("synthetic5").augmentation
    thumbs, owners = [], []
    for number in rng.permutation(len(fields.fields))[:100]:
        for _ in range(copies):
            changed = augment(fields.fields[number].image, change, rng)
            small = cv2.resize(changed, (32, 24), interpolation=cv2.INTER_AREA).astype(np.float64)
            # Every way that a flip can turn a field looks alike to this reader.
            turned = (small, small[::-1], small[:, ::-1], small[::-1, ::-1])
            thumbs.append(np.stack([view.ravel() for view in turned]))
            owners.append(number)
    views, owner = np.stack(thumbs), np.array(owners)
    label, slide = fields.labels[owner], fields.slides[owner]
    names = np.unique(slide)
    held = np.isin(slide, rng.permutation(names)[: len(names) // 4])
    found = []
    for test in (rng.random(len(label)) < 0.25, held):
        known = views[~test].reshape(-1, views.shape[2])
        labels = np.repeat(label[~test], 4)
        nearest = [
            int(labels[np.square(known - view[0]).sum(axis=1).argmin()]) for view in views[test]
        ]
        found.append(scored(label[test], np.array(nearest), slide[test]))
    return found[0], found[1]


def _map_lines(
    read: Sequence[tuple[Values, Values, Values]], answers: npt.NDArray[np.int64], test: Fields
) -> Iterator[Line]:
    """Where the called class's map is positive: inside white cells, and beside them."""
    maps = [maps[answer] for (_, _, maps), answer in zip(read, answers, strict=True)]
    for what, around in (("inside white cells", 0.0), ("within half a place of one", 0.5)):
        inside, covered, best = [], [], []
        for heat, field in zip(maps, test.fields, strict=True):
            cells = np.asarray(field.masks.white_cells > 0, np.uint8)
            if around:
                side = 2 * round(around * cells.shape[1] / heat.shape[1]) + 1
                cells = np.asarray(cv2.dilate(cells, np.ones((side, side), np.uint8)), np.uint8)
            inside.append(share_inside(heat, cells))
            covered.append(float(cells.mean()))
            best.append(share_inside(_perfect(cells, heat), cells))
        value = float(np.mean(inside))
        yield Line(
            f"positive mass of the called class's map {what}",
            f"{value:.3f} (which is {np.mean(covered):.3f} of a field; a map of this size that is 1 "
            f"where half of a place is white cell: {np.mean(best):.3f})",
            f"at least {SMALLEST_MAP_SHARE}",
            value >= SMALLEST_MAP_SHARE,
        )


def _perfect(cells: npt.NDArray[np.uint8], heat: Values) -> Values:
    """The map that follows the masks as well as its few places can."""
    size = (heat.shape[1], heat.shape[0])
    cover = cv2.resize(cells.astype(np.float64), size, interpolation=cv2.INTER_AREA)
    return np.asarray(cover >= min(0.5, float(cover.max())), np.float64)


def main() -> int:
    """Print the table; 1 where a line fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", default="synthetic5-densenet121")
    parser.add_argument("--slides", type=int, default=40, help="slides of each class and test")
    parser.add_argument("--seed", type=int, default=5100)
    parser.add_argument("--markdown", type=Path)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    bundle = load_bundle(args.bundle)
    acceptance = Acceptance(Network(bundle), args.slides, args.seed)
    rows = [
        f"`python -m benchmarks.simulator_acceptance --slides {args.slides} --seed {args.seed}`, "
        f"bundle `{bundle.name}`",
        "",
        "| test | found | wanted | |",
        "|---|---|---|---|",
    ]
    failed = 0
    print("\n".join(rows))
    for line in acceptance.lines():
        failed += not line.passed
        word = "" if not line.wanted else "passed" if line.passed else "FAILED"
        rows.append(f"| {line.what} | {line.found} | {line.wanted} | {word} |")
        print(rows[-1], flush=True)
    if args.markdown:
        args.markdown.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
