"""`hemowire models`: architectures, bundles with what they learned from, and the papers' figures."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cloud_worker.models.bundle import Bundle
    from cloud_worker.models.card import Metric


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `hemowire models`."""
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument(
        "--papers",
        action="store_true",
        help="the figures that the papers print, computed again from their own counts",
    )


def run(args: argparse.Namespace) -> int:
    """List what there is; 1 where a bundle on the search path was refused."""
    if args.papers:
        return _papers(as_json=args.json)
    from cloud_worker.models.bundle import list_bundles, refused_bundles
    from cloud_worker.models.registry import ARCHITECTURES

    bundles, refused = list_bundles(), [str(problem) for problem in refused_bundles()]
    if args.json:
        facts = {
            "architectures": [dataclasses.asdict(row) for row in ARCHITECTURES.values()],
            "bundles": [_facts(bundle) for bundle in bundles],
            "refused": refused,
        }
        print(json.dumps(facts, indent=1, ensure_ascii=False))
    else:
        _print_tables(bundles, refused)
    return 1 if refused else 0


def _papers(*, as_json: bool) -> int:
    from rich.console import Console
    from rich.table import Table

    from training.printed import check_paper, read_papers
    from wire_protocol.words import RESEARCH_USE_ONLY

    papers = read_papers()
    if as_json:
        facts = [
            {**p.model_dump(mode="json"), "checks": [dataclasses.asdict(c) for c in check_paper(p)]}
            for p in papers
        ]
        print(json.dumps(facts, indent=1, ensure_ascii=False))
        return 0
    console = Console()
    for paper in papers:
        title = paper.paper + (f", doi {paper.doi}" if paper.doi else "")
        table = Table("system", "printed %", "computed", "", title=title, title_justify="left")
        for check in check_paper(paper):
            table.add_row(check.system, check.printed, check.computed, check.verdict.value)
        console.print(table)
        console.print(paper.caution, markup=False)
    console.print(RESEARCH_USE_ONLY)
    return 0


def _facts(bundle: Bundle) -> dict[str, Any]:
    card = bundle.card
    return {
        "name": bundle.name,
        "folder": str(bundle.folder),
        "architecture": card.architecture,
        "initial_weights": card.recipe.initial_weights,
        "exact_map": bundle.has_exact_map,
        "classes": {c.key: c.meaning.value for c in card.classes},
        "um_per_px": card.preprocessing.um_per_px,
        "training_data": card.training_data_label,
        "licence": card.training_data.licence,
        "credit": card.training_data.credit,
        "metrics": [metric.model_dump(mode="json") for metric in card.metrics],
        "limits_of_use": list(card.limits_of_use),
        "recipe": card.recipe.model_dump(mode="json"),
        "size_bytes": sum(f.stat().st_size for f in bundle.folder.iterdir()),
    }


def _print_tables(bundles: list[Bundle], refused: list[str]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from cloud_worker.models.registry import ARCHITECTURES
    from wire_protocol.words import RESEARCH_USE_ONLY

    console = Console()
    rows = Table(title="Architectures", title_justify="left", box=SIMPLE_HEAD)
    rows.add_column("name", no_wrap=True)
    for column in ("network", "sees", "exact map"):
        rows.add_column(column)
    for row in ARCHITECTURES.values():
        seen, exact = " and ".join(row.inputs), "yes" if row.map_layer else "no"
        rows.add_row(row.name, row.title, seen, exact)
    console.print(rows)
    papers = Table(title="In the papers", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in ("name", "paper"):
        papers.add_column(column, no_wrap=True)
    for column in ("px", "classes", "parameters", "with\nstatistics"):
        papers.add_column(column, justify="right", no_wrap=True)
    for row in ARCHITECTURES.values():
        for use in row.uses:
            counts = (f"{use.parameters:,}", f"{use.with_statistics:,}")
            size, classes = str(use.input_px), str(len(use.classes))
            papers.add_row(row.name, use.paper, size, classes, *counts)
    console.print(papers)
    console.print("\npx: side of the input; with statistics: as Keras counts, batch norm's too.")
    without = {row.no_map: "" for row in ARCHITECTURES.values() if row.no_map}
    for reason in without:
        names = ", ".join(row.name for row in ARCHITECTURES.values() if row.no_map == reason)
        console.print(f"No exact map of {names}: {reason}.")
    table = Table(title="Bundles", title_justify="left")
    for column in ("name", "trained on", "um per px", "measured", "folder"):
        table.add_column(column, overflow="fold")
    for bundle in bundles:
        table.add_row(
            bundle.name,
            bundle.card.training_data_label,
            f"{bundle.card.preprocessing.um_per_px:g}",
            "; ".join(_words(metric) for metric in bundle.card.metrics) or "nothing",
            str(bundle.folder),
        )
    console.print(table)
    for problem in refused:
        console.print(f"refused: {problem}", style="red", markup=False)
    console.print(RESEARCH_USE_ONLY)


def _words(metric: Metric) -> str:
    from wire_protocol.words import figure_word

    interval = "" if metric.low is None else f" ({metric.low:.3f} to {metric.high:.3f})"
    return (
        f"{figure_word(metric.name)} {metric.value:.3f}{interval} "
        f"on {metric.images} {metric.split} images"
    )
