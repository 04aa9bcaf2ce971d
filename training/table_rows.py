"""Finished runs as rows of a table: one per run, and one more where every fifth of a set was held out in turn."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cloud_worker.models.card import Metric
from cloud_worker.models.registry import ARCHITECTURES
from training.evaluation.answers import Answered, together, whole_figures
from training.evaluation.training_record import read_record
from training.record import FIGURES_FILE, RUN_FILE, training_folder
from training.regimes import FIFTHS

REGIMES = {
    "paper": "the paper's own",
    "by_image": "by image",
    "by_group": "by group",
    "contiguous_fifths": "contiguous fifths",
}
FULL, REDUCED = "full", "reduced"
"""Folders of records, as their recipes say and small enough for two cores."""


@dataclass(frozen=True, slots=True)
class Row:
    """One finished run."""

    history: dict[str, Any]
    split: dict[str, Any]
    run: dict[str, Any]
    figures: dict[str, Metric]
    answered: Answered

    @property
    def reduced(self) -> bool:
        """Whether it was made small for two cores."""
        return bool(self.history["reduced"])

    def interval(self, name: str) -> str:
        """A figure with its 95 % interval, or a dash."""
        one = self.figures.get(name)
        if one is None:
            return "-"
        if one.low is None:
            return f"{one.value:.3f}"
        return f"{one.value:.3f} ({one.low:.2f}-{one.high:.2f})"


def row_of(bundle: Path) -> Row | None:
    """The record beside a bundle, or None where the run is not finished."""
    folder = training_folder(bundle)
    if not (folder / RUN_FILE).is_file():
        return None
    record = read_record(bundle)
    figures = {one.name: one for one in whole_figures(record.answered)}
    told = json.loads((folder / FIGURES_FILE).read_text(encoding="utf-8"))["figures"]
    for raw in told:
        figures.setdefault(raw["name"], Metric.model_validate(raw))
    run = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    return Row(record.history, record.split, run, figures, record.answered)


def fullest(work: Path, name: str) -> Row | None:
    """The full run's row, else the reduced one's, else None; `work` holds both folders."""
    return row_of(work / FULL / name) or row_of(work / REDUCED / name)


def _table_row(row: Row) -> str:
    title = ARCHITECTURES[row.history["architecture"]].title
    if row.history["recipe"].endswith("-alone"):
        title += " without its generator"
    if row.history["recipe"].endswith("-cells"):
        title += ", told by white cells"
    if row.run["segmentation"] != "authors":
        title += f", segmented by {row.run['segmentation']}"
    title += ", reduced" if row.reduced else ""
    test = row.split["parts"]["test"]
    shared = row.split["overlap"]["test_images_with_sibling"]
    cells = (
        title,
        row.history["data_set"],
        where(row),
        f"{test['images']}, {len(set(test['groups']))}",
        f"{shared} of {test['images']}" if shared else "none",
        row.interval("overall_accuracy"),
        row.interval("balanced_accuracy"),
        row.interval("macro_f1"),
        row.interval("mean_rgb_balanced_accuracy"),
    )
    return f"| {' | '.join(cells)} |"


def table_rows(rows: Sequence[Row]) -> list[str]:
    """A line per run, and one more per network all of whose fifths were held out in turn."""
    return [_table_row(row) for row in rows] + _fifths_together(rows)


def _fifths_together(rows: Sequence[Row]) -> list[str]:
    lines = []
    for of_all in sorted({_of_any_fifth(row) for row in rows if row.split.get("fifth")}):
        own = [row for row in rows if _of_any_fifth(row) == of_all and row.split.get("fifth")]
        if sorted(row.split["fifth"] for row in own) != list(FIFTHS):
            continue
        whole = whole_figures(together([row.answered for row in own]))
        colour = [row.figures["mean_rgb_balanced_accuracy"].value for row in own]
        split = dict(own[0].split, fifth="all five, each held out in turn")
        groups = [one for row in own for one in row.split["parts"]["test"]["groups"]]
        shared = sum(row.split["overlap"]["test_images_with_sibling"] for row in own)
        split["parts"] = {"test": {"images": len(groups), "groups": groups}}
        split["overlap"] = {"test_images_with_sibling": shared}
        line = _table_row(replace(own[0], split=split, figures={m.name: m for m in whole}))
        mean = f"{sum(colour) / len(colour):.3f} (mean of five)"
        lines.append(f"{line.rpartition(' | ')[0]} | {mean} |")
    return lines


def _of_any_fifth(row: Row) -> tuple[str, bool]:
    return re.sub(r" --fifth \d", "", row.run["command"]), row.reduced


def where(row: Row) -> str:
    fifth = row.split.get("fifth")
    told = f"fifth {fifth}" if isinstance(fifth, int) else fifth
    return REGIMES[row.split["regime"]] + (f", {told}" if told else "")
