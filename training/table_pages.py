"""The pages of docs/models, written from training records: figures with intervals, commands, seeds, hardware.

A run that was not made has a row that says so. No page calls a run on other images a reproduction, and
none holds a pixel.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloud_worker.models.card import Metric
from cloud_worker.models.registry import ARCHITECTURES
from training.evaluation.answers import Answered, whole_figures
from training.evaluation.training_record import read_record
from training.printed import Paper, read_papers
from training.record import FIGURES_FILE, RUN_FILE, training_folder

NEVER_SEEN = (
    "The paper's images (ALL-IDB, ASH image bank) cannot be had here: protocol run on simulated slides "
    "and on ball4; loader tested on the documented layout."
)
NO_PATIENTS = (
    "ball4 has no patient ids: by group is by near-duplicate group and NOT patient-disjoint. Mean RGB is "
    "what a support vector machine makes of each image's average colour alone."
)
REGIMES = {
    "paper": "the paper's own",
    "by_image": "by image",
    "by_group": "by group",
    "contiguous_fifths": "contiguous fifths",
}
PAGES = {
    "bibi2020": ("Bibi et al. 2020", "bibi-"),
    "karar2022": ("Karar et al. 2022", "karar"),
    "islam2024": ("Islam et al. 2024", "islam-"),
    "pavithra": ("Pavithra", "pavithra-"),
    "ours": ("Our own recipes", "ball4"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One finished run."""

    history: dict[str, Any]
    split: dict[str, Any]
    run: dict[str, Any]
    figures: dict[str, Metric]

    def interval(self, name: str) -> str:
        """A figure with its 95 % interval, or a dash."""
        one = self.figures.get(name)
        if one is None:
            return "-"
        if one.low is None:
            return f"{one.value:.3f}"
        return f"{one.value:.3f} ({one.low:.2f}-{one.high:.2f})"


def write_pages(out: Path, work: Path, runs: Sequence[tuple[str, str]], *, small: bool) -> None:
    """All pages and their index; `runs` are names of records and the recipes behind them."""
    out.mkdir(parents=True, exist_ok=True)
    rows = {name: row_of(work / name) for name, _ in runs}
    papers = {paper.paper: paper for paper in read_papers()}
    for page, (title, prefix) in PAGES.items():
        own = [name for name, recipe in runs if recipe.startswith(prefix)]
        text = _page(title, own, rows, papers.get(title), small=small)
        (out / f"{page}.md").write_text(text, encoding="utf-8")
    done = sum(row is not None for row in rows.values())
    (out / "README.md").write_text(_index(done, len(rows), small=small), encoding="utf-8")


def row_of(bundle: Path) -> Row | None:
    """The record beside a bundle, or None where the run is not finished."""
    folder = training_folder(bundle)
    if not (folder / RUN_FILE).is_file():
        return None
    record = read_record(bundle)
    answered: Answered = record.answered
    figures = {one.name: one for one in whole_figures(answered)}
    told = json.loads((folder / FIGURES_FILE).read_text(encoding="utf-8"))["figures"]
    for raw in told:
        figures.setdefault(raw["name"], Metric.model_validate(raw))
    run = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    return Row(record.history, record.split, run, figures)


def _page(
    title: str,
    names: Sequence[str],
    rows: dict[str, Row | None],
    paper: Paper | None,
    *,
    small: bool,
) -> str:
    lines = [f"# {title}", ""]
    lines += [_reduced_words(), ""] if small else []
    if title in ("Bibi et al. 2020", "Karar et al. 2022"):
        lines += [NEVER_SEEN, ""]
    lines += [NO_PATIENTS, ""]
    if paper is not None:
        lines += [f"Of the paper itself: {paper.caution}", ""]
    done = [(name, row) for name in names if (row := rows[name]) is not None]
    missing = [name for name in names if rows[name] is None]
    more = _command_of(missing, small=small)
    if not done:
        return "\n".join([*lines, f"No run of this page is done. `{more}` fills it."]) + "\n"
    lines += [
        "| network | images | split | test images, groups | shared with training | accuracy "
        "| balanced accuracy | macro-F1 | mean RGB alone |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_table_row(row) for _, row in done]
    if missing:
        listed = ", ".join(f"`{name}`" for name in missing)
        lines += ["", f"Not run yet (`{more}` goes on with them): {listed}."]
    areas = [(row, row.interval("mask_area_balanced_accuracy")) for _, row in done]
    areas = [(row, area) for row, area in areas if area != "-"]
    if areas:
        said = "; ".join(
            f"{row.run['segmentation']}, {_where(row)}: {area}" for row, area in areas[:4]
        )
        lines += [
            "",
            f"Balanced accuracy of the segmented area alone, without any picture: {said}.",
        ]
    lines += ["", "## How", ""]
    for _, row in done:
        lines += _how(row)
    return "\n".join(lines).rstrip() + "\n"


def _command_of(missing: Sequence[str], *, small: bool) -> str:
    """What runs the missing ones of a page."""
    stems = sorted({name.partition("-")[0].partition(".")[0] for name in missing})
    only = ",".join(f"{stem}*" for stem in stems)
    words = "--reduced --only" if small else "--only"
    return f"make tables ARGS=\"{words} '{only}'\""


def _table_row(row: Row) -> str:
    title = ARCHITECTURES[row.history["architecture"]].title
    if row.history["recipe"].endswith("-alone"):
        title += " without its generator"
    if row.run["segmentation"] != "authors":
        title += f", segmented by {row.run['segmentation']}"
    test = row.split["parts"]["test"]
    shared = row.split["overlap"]["test_images_with_sibling"]
    cells = (
        title,
        row.history["data_set"],
        _where(row),
        f"{test['images']}, {len(set(test['groups']))}",
        f"{shared} of {test['images']}" if shared else "none",
        row.interval("overall_accuracy"),
        row.interval("balanced_accuracy"),
        row.interval("macro_f1"),
        row.interval("mean_rgb_balanced_accuracy"),
    )
    return f"| {' | '.join(cells)} |"


def _where(row: Row) -> str:
    fifth = row.split.get("fifth")
    return REGIMES[row.split["regime"]] + (f", fifth {fifth}" if fifth else "")


def _how(row: Row) -> list[str]:
    stages = row.history["stages"]
    epochs = ", ".join(
        f"{len(stage['epochs'])} epochs" + (" (stopped early)" if stage["stopped_early"] else "")
        for stage in stages
    )
    train = row.split["parts"]["train"]
    seeds = ", ".join(f"{name} {seed}" for name, seed in row.history["seeds"].items())
    last = stages[-1]["epochs"][-1]
    return [
        f"`{row.run['command']}`  ",
        f"{train['images']} training images in {len(set(train['groups']))} groups at "
        f"{row.run['input_px']} px, {epochs}, training accuracy {last['accuracy']:.3f} at the end; weights "
        f"from {row.history['initial_weights']}; seeds: {seeds}; {row.history['compute']}; "
        f"{row.run['seconds']} s, {row.run['cpu_seconds']} s of CPU time.",
        "",
    ]


def _reduced_words() -> str:
    return (
        "**Reduced run**: fewer images, epochs and pixels than the recipe's, on two cores that other work "
        "shared. It shows that each experiment runs from images to figures and what its split does to "
        "them; the figures are not the recipe's, and with so few test images the intervals are wide."
    )


def _index(done: int, of: int, *, small: bool) -> str:
    command = 'make tables ARGS="--reduced"' if small else "make tables"
    lines = [
        "# The papers' classifiers, run by one command",
        "",
        *([_reduced_words(), ""] if small else []),
        f"`{command}` trains all experiments one after another and writes these pages; {done} of {of} "
        f"are done. It goes on where it was stopped.",
        "",
        "Four ways to split the same images: *the paper's own* (Bibi: augment, then split by image; the "
        "others: split by image), *by image* with the scale bar hidden, *by group* (no field on both sides) "
        "and *contiguous fifths* of the file order, which stands in for slides. The gap between them is the "
        "result. In the last two a shared group or file ends the training; in all but the paper's own, "
        "only the training part is augmented, after the split.",
        "",
        NEVER_SEEN,
        "",
        NO_PATIENTS,
        "",
        "- [How models are judged, and how to read the report](judging.md)",
        *(f"- [{title}]({page}.md)" for page, (title, _) in PAGES.items()),
    ]
    return "\n".join(lines) + "\n"
