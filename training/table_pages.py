"""The pages of docs/models, written from training records: figures with intervals, commands, seeds, hardware.

Of a run that was made in full and reduced, the full one is shown. A run that was not made is named. No
page calls a run on other images a reproduction, and none holds a pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from training.printed import Paper, read_papers
from training.table_rows import Row, fullest, table_rows, where

NEVER_SEEN = (
    "The paper's images (ALL-IDB, ASH image bank) cannot be had here: protocol run on simulated slides "
    "and on ball4; loader tested on the documented layout."
)
NO_PATIENTS = (
    "ball4 has no patient ids: by group is by near-duplicate group and NOT patient-disjoint. Mean RGB is "
    "what a support vector machine makes of each image's average colour alone."
)
PAGES = {
    "bibi2020": ("Bibi et al. 2020", "bibi-"),
    "karar2022": ("Karar et al. 2022", "karar"),
    "islam2024": ("Islam et al. 2024", "islam-"),
    "pavithra": ("Pavithra", "pavithra-"),
    "ours": ("Our own recipes", "ball4"),
}
REDUCED_WORDS = (
    "**Reduced** rows: fewer images, epochs and pixels than the recipe's, on two cores that other work "
    "shared. They show that each experiment runs from images to figures and what its split does to "
    "them; their figures are not the recipe's, and with so few test images the intervals are wide."
)


def write_pages(out: Path, work: Path, runs: Sequence[tuple[str, str]], *, small: bool) -> None:
    """All pages and their index; `runs` are names of records and the recipes behind them.

    `work` holds the folders `full` and `reduced`; `small` says which one a missing run would go to.
    """
    out.mkdir(parents=True, exist_ok=True)
    rows = {name: fullest(work, name) for name, _ in runs}
    papers = {paper.paper: paper for paper in read_papers()}
    for page, (title, prefix) in PAGES.items():
        own = [name for name, recipe in runs if recipe.startswith(prefix)]
        text = _page(title, own, rows, papers.get(title), small=small)
        (out / f"{page}.md").write_text(text, encoding="utf-8")
    (out / "README.md").write_text(_index(list(rows.values()), small=small), encoding="utf-8")


def _page(
    title: str,
    names: Sequence[str],
    rows: dict[str, Row | None],
    paper: Paper | None,
    *,
    small: bool,
) -> str:
    lines = [f"# {title}", ""]
    done = [(name, row) for name in names if (row := rows[name]) is not None]
    lines += [REDUCED_WORDS, ""] if any(row.reduced for _, row in done) else []
    if title in ("Bibi et al. 2020", "Karar et al. 2022"):
        lines += [NEVER_SEEN, ""]
    lines += [NO_PATIENTS, ""]
    if paper is not None:
        lines += [f"Of the paper itself: {paper.caution}", ""]
    missing = [name for name in names if rows[name] is None]
    more = _command_of(missing, small=small)
    if not done:
        return "\n".join([*lines, f"No run of this page is done. `{more}` fills it."]) + "\n"
    lines += [
        "| network | images | split | test images, groups | shared with training | accuracy "
        "| balanced accuracy | macro-F1 | mean RGB alone |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += table_rows([row for _, row in done])
    if missing:
        listed = ", ".join(f"`{name}`" for name in missing)
        lines += ["", f"Not run yet (`{more}` goes on with them): {listed}."]
    areas = [(row, row.interval("mask_area_balanced_accuracy")) for _, row in done]
    areas = [(row, area) for row, area in areas if area != "-"]
    if areas:
        said = "; ".join(
            f"{row.run['segmentation']}, {where(row)}: {area}" for row, area in areas[:4]
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


def _how(row: Row) -> list[str]:
    stages = row.history["stages"]
    epochs = ", ".join(
        f"{len(stage['epochs'])} epochs" + (" (stopped early)" if stage["stopped_early"] else "")
        for stage in stages
    )
    train = row.split["parts"]["train"]
    seeds = ", ".join(f"{name} {seed}" for name, seed in row.history["seeds"].items())
    last = stages[-1]["epochs"][-1]
    # A run that was cut short went on in another process: its epochs know how long all of it took.
    seconds = sum(epoch["seconds"] for stage in stages for epoch in stage["epochs"])
    return [
        f"`{row.run['command']}`  ",
        f"{train['images']} training images in {len(set(train['groups']))} groups at "
        f"{row.run['input_px']} px, {epochs}, training accuracy {last['accuracy']:.3f} at the end; weights "
        f"from {row.history['initial_weights']}; seeds: {seeds}; {row.history['compute']}; "
        f"{seconds:.0f} s of training.",
        "",
    ]


def _index(rows: Sequence[Row | None], *, small: bool) -> str:
    command = 'make tables ARGS="--reduced"' if small else "make tables"
    done = [row for row in rows if row is not None]
    reduced = sum(row.reduced for row in done)
    lines = [
        "# The papers' classifiers, run by one command",
        "",
        *([REDUCED_WORDS, ""] if reduced else []),
        f"`{command}` trains all experiments one after another and writes these pages; {len(done)} of "
        f"{len(rows)} are done, {reduced} of them reduced. It goes on where it was stopped.",
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
