"""How good bundles are on unseen simulated fields, and on slides of many fields combined; synthetic images only.

    python -m benchmarks.simulator_slides --bundle synthetic5-densenet121 --work DIR

Renders slides once into DIR (twice: to fit what a further field counts, and to judge), each with so many
fields of 5 to 10 white cells, and the first field of each slide again without white cells. A slide's
class is the largest of its combined posterior (DIAGNOSIS.md, "Slide"), with the weight fitted on the
other slides; what the case rules say of it, abstaining included, is listed beside. No result of one
bundle touches another's.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.simulator_bayes import reader_accuracy
from cloud_worker.engines.engine import open_engine
from cloud_worker.models.bundle import load_bundle
from cloud_worker.models.bundle_folder import Bundle
from cloud_worker.models.card import Meaning
from dashboard.cases.combine import FieldResult, Limits, combine, log_posterior
from dashboard.cases.settings import CaseSettings
from dashboard.cases.weight import KnownCase, case_ece, fit_weight
from edge_device.simulator import DiagnosisClass
from edge_device.simulator.dataset import MANIFEST_FILE, FieldSettings, write_data_set
from training.data import Sample
from training.evaluation.judge import Judged, judge
from training.metrics import Interval, balanced_accuracy_interval
from training.reading import read_samples, rules_of_card

#: Seeds of sets that no recipe names.
_FITTED, _JUDGED = 910_001, 910_002
_PARTS = {"fitted": _FITTED, "judged": _JUDGED}


@dataclass(frozen=True, slots=True)
class Slides:
    """Fields of some slides, and those slides' first fields without white cells."""

    fields: Path
    empty: Path


@dataclass(frozen=True, slots=True)
class Told:
    """What a bundle said of one field."""

    slide: str
    truth: str
    largest: str
    """The class of the largest probability, heard or not; empty where the network did not run."""
    field: FieldResult
    """As a case takes it: probabilities rounded as the wire tells them, or None under rules 1 and 2."""


def rendered(work: Path, slides: dict[str, int], fields: int, jobs: int) -> dict[str, Slides]:
    """The slides of both parts in `work`, rendered where they are not there yet."""
    made = {}
    for part, count in slides.items():
        one = Slides(work / f"{part}-{count}-{fields}", work / f"{part}-{count}-empty")
        for folder, each, empty in ((one.fields, fields, False), (one.empty, 1, True)):
            if not (folder / MANIFEST_FILE).is_file():
                print(f"rendering {folder.name}", file=sys.stderr, flush=True)
                write_data_set(
                    folder,
                    list(DiagnosisClass),
                    slides=count,
                    fields=each,
                    seed=_PARTS[part],
                    settings=FieldSettings(background_only=empty),
                    jobs=jobs,
                )
        made[part] = one
    return made


def told_of(bundle: Bundle, folder: Path) -> list[Told]:
    """What the bundle says of every field of a folder, as the worker would."""
    samples, _ = read_samples(folder, rules_of_card(bundle.card))
    judged = judge(bundle, open_engine(bundle, "openvino"), samples)
    return [_told(bundle, *pair) for pair in zip(samples, judged, strict=True)]


def _told(bundle: Bundle, sample: Sample, judged: Judged) -> Told:
    card, said = bundle.card, judged.finding.decision
    keys = [kind.key for kind in card.classes]
    limits = Limits(
        acute=tuple(kind.key for kind in card.classes if kind.meaning is Meaning.ACUTE),
        chronic=tuple(kind.key for kind in card.classes if kind.meaning is Meaning.CHRONIC),
        t_acute=card.thresholds.t_acute,
        t_chronic=card.thresholds.t_chronic,
        abstention=card.thresholds.abstention,
    )
    boxes = judged.finding.white_cell_boxes
    heard = said.probabilities
    field = FieldResult(
        image_id=sample.sha256[:16],
        urgency=said.urgency,
        result=said.result,
        reason="" if said.reason is None else said.reason.value,
        bundle=bundle.name,
        probabilities=None if heard is None else dict(zip(keys, heard, strict=True)),
        limits=None if heard is None else limits,
        white_cells=None if boxes is None else len(boxes),
    )
    truth = next(kind.key for kind in card.classes if kind.name == sample.label)
    largest = "" if judged.logits is None else keys[int(np.argmax(judged.logits))]
    return Told(sample.group, truth, largest, field)


def report(bundle: Bundle, slides: dict[str, Slides]) -> list[str]:
    """The row of one bundle, and what it left out."""
    told = {part: told_of(bundle, one.fields) for part, one in slides.items()}
    keys = [kind.key for kind in bundle.card.classes]
    prior = {key: 1 / len(keys) for key in keys}
    fitted = fit_weight(list(cases_of(told["fitted"]).values()), prior)
    single, held = told["judged"], cases_of(told["judged"])
    truth = {one.slide: one.truth for one in single}
    settings = CaseSettings(field_weight=fitted.field_weight)
    combined, said = [], Counter[str]()
    for slide, kind in truth.items():
        case = held.get(slide)
        sums = {} if case is None else log_posterior(case.fields, prior, fitted.field_weight)
        combined.append(max(sums, key=lambda key: sums[key]) if sums else "")
        result = combine([one.field for one in single if one.slide == slide], settings).result
        said[verdict_of(result, kind)] += 1
    fields = accuracy_of(keys, [(one.slide, one.truth, one.largest) for one in single])
    whole = accuracy_of(
        keys, [(*pair, found) for pair, found in zip(truth.items(), combined, strict=True)]
    )
    empty = told_of(bundle, slides["judged"].empty)
    without = accuracy_of(keys, [(one.slide, one.truth, one.largest) for one in empty])
    ece = case_ece(list(held.values()), prior, fitted.field_weight)
    unheard = sum(one.field.probabilities is None for one in single)
    return [
        f"| {bundle.name} | {_words(fields)} | {_words(whole)} | {fitted.field_weight:g} | "
        f"{ece:.3f} | {said['right']}, {said['wrong']}, {said['cannot say']} of {len(truth)} | "
        f"{_words(without)} |",
        f"{bundle.name}: {unheard} of {len(single)} fields were not summed (no answer, or foreign).",
    ]


def cases_of(told: Sequence[Told]) -> dict[str, KnownCase]:
    """The fields that can be summed, by slide."""
    found: dict[str, list[dict[str, float]]] = {}
    truth: dict[str, str] = {}
    for one in told:
        if one.field.probabilities is not None:
            found.setdefault(one.slide, []).append(dict(one.field.probabilities))
            truth[one.slide] = one.truth
    return {slide: KnownCase(tuple(fields), truth[slide]) for slide, fields in found.items()}


def verdict_of(result: str, truth: str) -> str:
    """Of a slide's result: right, wrong or cannot say."""
    if result in ("cannot_say", "acute_uncertain"):
        return "cannot say"
    return "right" if result == truth else "wrong"


def accuracy_of(keys: Sequence[str], answered: Sequence[tuple[str, str, str]]) -> Interval:
    """Balanced accuracy of (slide, truth, answer) over slides; no answer is a wrong one."""
    labels = np.array([keys.index(truth) for _, truth, _ in answered], np.int64)
    found = [
        keys.index(answer) if answer else (int(label) + 1) % len(keys)
        for (_, _, answer), label in zip(answered, labels, strict=True)
    ]
    groups = np.unique(np.array([slide for slide, _, _ in answered]), return_inverse=True)[1]
    return balanced_accuracy_interval(labels, np.array(found, np.int64), groups, len(keys))


def _words(found: Interval) -> str:
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def main() -> int:
    """Print one row per bundle."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--bundle", action="append", required=True, help="name or folder; again")
    parser.add_argument("--work", type=Path, required=True, help="for the rendered slides")
    parser.add_argument("--slides", type=int, default=12, help="judged slides of each class")
    parser.add_argument("--fitting", type=int, default=6, help="slides of each class to fit on")
    parser.add_argument("--fields", type=int, default=20, help="fields of each slide")
    args = parser.parse_args()
    counts = {"fitted": args.fitting, "judged": args.slides}
    slides = rendered(args.work, counts, args.fields, len(os.sched_getaffinity(0)))
    limit = reader_accuracy((5, 10), 2000)
    print(
        f"{args.slides} unseen simulated slides of each class, {args.fields} fields of 5 to 10 white "
        f"cells each; a perfect reader of cell types reaches {limit:.3f} on single fields.\n\n"
        "| bundle | single fields | slides combined | field_weight | slide ECE | "
        "by the case rules: right, wrong, cannot say | without white cells (chance 0.200) |\n"
        "|---|---|---|---|---|---|---|"
    )
    for name in args.bundle:
        for line in report(load_bundle(name), slides):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
