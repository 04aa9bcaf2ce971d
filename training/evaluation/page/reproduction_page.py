"""A paper's report on one page: what was printed, what the same protocol gives, and what honest splits leave of it.

It shows what metrics.json holds and nothing else, besides the generated pictures of an AC-GAN.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

from service_runtime.report_page.house_page import house_page, section
from service_runtime.report_page.markup import Element, tag
from service_runtime.report_page.table import table
from training.evaluation.page.curve_pictures import training_curves
from training.evaluation.page.figure_tables import printed_table, regime_rows_table, share_text
from training.evaluation.page.matrix_picture import matrix_picture
from training.evaluation.page.regime_picture import regime_picture
from training.evaluation.reproduction import Reproduction, SystemRun
from wire_protocol.words import RESEARCH_USE_ONLY, class_word

_STYLE = Path(__file__).with_name("evaluation.css")

Sheets = Sequence[tuple[str, bytes]]


def write_reproduction(result: Reproduction, file: Path, sheets: Sheets = ()) -> None:
    """Writes the page; raises OSError."""
    file.write_text(make_reproduction_page(result, sheets), encoding="utf-8")


def make_reproduction_page(result: Reproduction, sheets: Sheets = ()) -> str:
    """The whole page."""
    rows = [run.row for run in result.runs]
    return house_page(
        f"{result.paper} - hemowire reproduce",
        _head(result),
        tag(
            "main",
            section("By way of splitting", regime_picture(rows), regime_rows_table(rows)),
            section("What the paper prints", *_printed(result)),
            *(_system(result, recipe) for recipe in dict.fromkeys(r.recipe for r in result.runs)),
            _sheets(sheets),
            _how(result),
        ),
        tag(
            "footer",
            tag("p", tag("b", RESEARCH_USE_ONLY), f" {result.basis}."),
            tag("p", f"hemowire {result.hemowire}"),
        ),
        own_style=_STYLE,
        has_pictures=bool(sheets),
    )


def _head(result: Reproduction) -> Element:
    reduced = any(run.reduced for run in result.runs)
    words = "Reduced runs: fewer images, epochs and pixels than the paper's. Read gaps, not levels."
    return tag(
        "header",
        tag("p", "hemowire reproduce", class_="eyebrow"),
        tag("h1", result.paper),
        tag("p", result.title, class_="question"),
        tag(
            "p",
            tag("span", RESEARCH_USE_ONLY, class_="badge warn"),
            tag("span", ", ".join(dict.fromkeys(r.data_set for r in result.runs)), class_="badge"),
            class_="badges",
        ),
        tag("p", f"{result.basis[0].upper()}{result.basis[1:]}.", class_="answer"),
        tag("p", words, class_="warning") if reduced else None,
        tag("p", result.caution, class_="note"),
    )


def _printed(result: Reproduction) -> list[Element | None]:
    pictures = []
    for number, one in enumerate(result.printed):
        picture = matrix_picture(
            f"printed-{number}",
            one.system,
            one.classes,
            one.counts,
            note=f"Counts: {one.basis}. Overall accuracy {share_text(one.accuracy)}, Wilson.",
        )
        pictures.append(tag("div", tag("h3", one.system), picture))
    parts: list[Element | None] = [tag("div", *pictures, class_="pair") if pictures else None]
    parts += [printed_table(one) for one in result.printed]
    if result.shares:
        heads = ["system", "printed, %", "computed again", "verdict"]
        rows = [list(share) for share in result.shares]
        parts.append(table("Figures without a matrix", heads, rows, kind="words"))
    return parts


def _system(result: Reproduction, recipe: str) -> Element:
    """One system's matrices by regime, its classes by group, and how it learned."""
    own = [run for run in result.runs if run.recipe == recipe]
    pictures = [
        tag(
            "div",
            tag("h3", run.row.words),
            matrix_picture(
                f"{recipe}-{run.row.regime}",
                f"{recipe}, {run.row.words}",
                run.classes,
                run.counts,
                note=f"Overall accuracy {share_text(run.row.accuracy)}, Wilson.",
            ),
        )
        for run in own
    ]
    honest = next((run for run in own if run.row.regime == "by_group"), own[-1])
    return section(
        recipe,
        tag("div", *pictures, class_="pair"),
        _classes(honest),
        _calibration(own),
        training_curves(honest.training_curves),
    )


def _classes(run: SystemRun) -> Element:
    rows = [
        [
            class_word(one.key),
            str(one.images),
            share_text(one.precision),
            share_text(one.recall),
            share_text(one.one_vs_rest_accuracy),
        ]
        for one in run.per_class
    ]
    heads = ["class", "images", "precision", "recall", "one-vs-rest accuracy"]
    note = (
        "Wilson's 95 % intervals. One-vs-rest accuracy is what papers print per class: it is high "
        "wherever a class is rare, and is not the overall accuracy."
    )
    return table(f"Each class, {run.row.words}", heads, rows, note=note)


def _calibration(runs: Sequence[SystemRun]) -> Element:
    rows = [
        [
            run.row.words,
            f"{run.before_temperature.expected_calibration_error:.3f}",
            f"{run.after_temperature.expected_calibration_error:.3f}",
            f"{run.after_temperature.brier:.3f}",
            f"{run.risk_coverage.aurc:.4f}",
        ]
        for run in runs
    ]
    heads = ["split", "ECE before the temperature", "ECE after", "Brier", "AURC"]
    return table("Calibration and abstention", heads, rows)


def _sheets(sheets: Sheets) -> Element | None:
    if not sheets:
        return None
    made = []
    for name, png in sheets:
        address = "data:image/png;base64," + base64.b64encode(png).decode()
        picture = tag("img", src=address, alt=f"pictures that {name} generated")
        made.append(tag("figure", picture, tag("figcaption", name)))
    return section("Generated pictures", tag("div", *made, class_="examples"))


def _how(result: Reproduction) -> Element:
    rows = [[run.command, run.compute] for run in result.runs]
    return section(
        "How it was measured",
        tag("p", tag("code", result.command), class_="command"),
        table("Every training", ["command", "on"], rows, kind="words"),
    )
