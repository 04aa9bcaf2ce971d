"""The report on one page: answer, matrices, classes, calibration, confounds, regimes, foreign images, examples, how.

It shows what metrics.json holds and nothing else; a part that was not measured is left out. Pictures
of fields are embedded for the reader's own eyes: such a page is not to be passed on where its data
set is not. (Over 250 lines: one page, its parts in the order in which they are read.)
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

from service_runtime.report_page.house_page import house_page, section
from service_runtime.report_page.markup import Element, tag
from service_runtime.report_page.table import table
from training.evaluation.document import FOIL, Evaluation, PrintedMatrix
from training.evaluation.examples import Example
from training.evaluation.page.curve_pictures import (
    class_curves,
    reliability,
    risk_coverage,
    training_curves,
)
from training.evaluation.page.figure_tables import (
    class_tables,
    confound_table,
    decision_table,
    headline_table,
    map_table,
    ood_table,
    ordered_scores,
    paired_table,
    printed_table,
    regime_rows_table,
    share_text,
)
from training.evaluation.page.matrix_picture import matrix_picture
from training.evaluation.page.ood_picture import ood_picture
from training.evaluation.page.regime_picture import regime_picture
from wire_protocol.words import RESEARCH_USE_ONLY, class_word, percent

_STYLE = Path(__file__).with_name("evaluation.css")


def write_report(result: Evaluation, file: Path, examples: Sequence[Example] = ()) -> None:
    """Writes the page; raises OSError."""
    file.write_text(make_page(result, examples), encoding="utf-8")


def make_page(result: Evaluation, examples: Sequence[Example] = ()) -> str:
    """The whole page."""
    parts = [
        _matrices(result),
        _classes(result),
        _calibration(result),
        _confounds(result),
        _regimes(result),
        *_foreign(result),
        _training(result),
        _examples(result, examples),
        _how(result),
    ]
    return house_page(
        f"{result.bundle} - hemowire evaluate",
        _head(result),
        tag("main", *parts),
        tag(
            "footer",
            tag("p", tag("b", RESEARCH_USE_ONLY), f" Images: {_kind_words(result)}."),
            tag("p", f"hemowire {result.facts.hemowire}"),
        ),
        own_style=_STYLE,
        has_pictures=bool(examples),
    )


def _head(result: Evaluation) -> Element:
    facts = result.facts
    return tag(
        "header",
        tag("p", "hemowire evaluate", class_="eyebrow"),
        tag("h1", result.bundle),
        tag("p", f"{facts.evaluated}: {result.images} images in {facts.groups} groups",
            class_="question"),
        tag(
            "p",
            tag("span", RESEARCH_USE_ONLY, class_="badge warn"),
            tag("span", f"trained on {result.training_data}", class_="badge"),
            tag("span", _kind_words(result), class_="badge"),
            class_="badges",
        ),
        _tiles(result),
        *(tag("p", words, class_="warning") for words in warnings(result)),
    )  # fmt: skip


def warnings(result: Evaluation) -> list[str]:
    """What a reader must know before any figure."""
    found = []
    own = next((m.value for m in result.metrics if m.name == "balanced_accuracy"), None)
    colour = next(
        (
            one.balanced_accuracy.value
            for one in result.confounds
            if one.name == "mean RGB" and one.balanced_accuracy
        ),
        None,
    )
    if own is not None and colour is not None and own - colour < 0.10:
        found.append(
            f"Mean colour alone reaches {colour:.3f} here, within 0.10 of the network's {own:.3f}: "
            "most of this figure could be stain and light."
        )
    if "NOT patient-disjoint" in result.facts.grouped_by:
        found.append("Groups are not patients: images of one person may be on both sides.")
    return found


def _tiles(result: Evaluation) -> Element | None:
    wanted = {
        "overall_accuracy": "overall accuracy",
        "balanced_accuracy": "balanced accuracy",
        "macro_f1": "macro F1",
        "macro_auroc": "mean AUROC, one against the rest",
    }
    tiles = []
    for one in result.metrics:
        if one.name in wanted:
            interval = "" if one.low is None else f"{one.low:.3f} to {one.high:.3f}"
            tiles.append((f"{one.value:.3f}", f"{wanted[one.name]}, {interval}".rstrip(", ")))
    if not tiles:
        said = ", ".join(f"{words}: {count}" for words, count in result.results.items())
        return tag(
            "p", f"These images have no labels. What is said of them: {said}.", class_="answer"
        )
    return tag(
        "dl",
        *(tag("div", tag("dd", figure), tag("dt", words)) for figure, words in tiles),
        class_="tiles",
    )


def _matrices(result: Evaluation) -> Element | None:
    if result.confusion is None:
        return section("What is said", decision_table(result)) if result.results else None
    own = matrix_picture(
        "confusion",
        "These images",
        result.classes,
        result.confusion,
        note=f"{result.bundle}, largest probability as the answer, overall accuracy "
        f"{_overall(result)}.",
        last_column="refused",
    )
    pictures = [tag("div", tag("h3", "These images"), own)]
    pictures += [_printed(number, one) for number, one in enumerate(result.papers)]
    tables = [printed_table(one) for one in result.papers]
    return section(
        "Confusion",
        tag("div", *pictures, class_="pair"),
        _paper_words(result),
        *tables,
        headline_table(result),
        decision_table(result),
    )


def _printed(number: int, one: PrintedMatrix) -> Element:
    picture = matrix_picture(
        f"printed-{number}",
        f"{one.paper}, {one.system}",
        one.classes,
        one.counts,
        note=f"Counts: {one.basis}. Overall accuracy {share_text(one.accuracy)}, Wilson.",
    )
    return tag("div", tag("h3", f"{one.paper}, {one.system}"), picture)


def _paper_words(result: Evaluation) -> Element | None:
    if not result.papers:
        return None
    return tag(
        "p",
        "The paper's matrix is of the paper's own test images, which are not the images above: the "
        "two stand side by side, they are not a comparison of systems.",
        class_="note",
    )


def _overall(result: Evaluation) -> str:
    found = next((one for one in result.metrics if one.name == "overall_accuracy"), None)
    return "unknown" if found is None else f"{found.value:.3f}"


def _classes(result: Evaluation) -> Element | None:
    if not result.per_class:
        return None
    return section("Each class", class_curves(result), *class_tables(result))


def _calibration(result: Evaluation) -> Element | None:
    before, after, risk = (
        result.before_temperature,
        result.after_temperature,
        result.risk_coverage,
    )
    if before is None or after is None or risk is None:
        return None
    rows = [
        [
            name,
            f"{one.temperature:.3f}",
            f"{one.expected_calibration_error:.4f}",
            f"{one.brier:.4f}",
            f"{one.negative_log_likelihood:.4f}",
        ]
        for name, one in (("before", before), ("after", after))
    ]
    heads = ["temperature", "value", "ECE, 15 bins", "Brier", "log loss"]
    answered = f"{percent(risk.answered)} of images are answered at the card's threshold"
    wrong = (
        ""
        if risk.risk_when_answered is None
        else f", {percent(risk.risk_when_answered)} of them wrongly"
    )
    return section(
        "Can its probabilities be believed",
        reliability(before, after),
        table("Calibration", heads, rows),
        tag("div", risk_coverage(risk), class_="half"),
        tag("p", f"{answered}{wrong}. The temperature was fitted on other groups than these.",
            class_="note"),
    )  # fmt: skip


def _confounds(result: Evaluation) -> Element | None:
    if not result.confounds:
        return None
    return section("Without the cells", confound_table(result), paired_table(result))


def _regimes(result: Evaluation) -> Element | None:
    if not result.regimes:
        return None
    return section(
        "By way of splitting", regime_picture(result.regimes), regime_rows_table(result.regimes)
    )


def _foreign(result: Evaluation) -> list[Element]:
    if result.ood is None:
        return []
    pictures: list[Element] = []
    for score in ordered_scores(result.ood):
        if score.is_carried or score.kind == FOIL:
            carried = ", carried by the bundle" if score.is_carried else ", the foil"
            pictures += [tag("h3", f"{score.kind}{carried}"), ood_picture(score)]
        else:
            summary = tag("summary", f"Distances by {score.kind}")
            pictures.append(tag("details", summary, ood_picture(score)))
    return [section("Images it should refuse", *ood_table(result.ood), *pictures)]


def _training(result: Evaluation) -> Element | None:
    picture = training_curves(result.training_curves)
    return None if picture is None else section("How it learned", picture)


def _examples(result: Evaluation, examples: Sequence[Example]) -> Element | None:
    if not examples:
        return None
    made = []
    for one in examples:
        views = [
            tag("img", src=_data_address(one.picture), alt=f"field, true class {one.true_word}")
        ]
        if one.overlay is not None:
            words = f"the same field with the map of {one.answer_word}"
            views.append(tag("img", src=_data_address(one.overlay), alt=words))
        caption = tag("figcaption", one.words)
        made.append(tag("figure", tag("div", *views, class_="views"), caption))
    note = (
        "Right of each field: what the score of its largest class was made of, exactly (its mean plus "
        "the bias is the logit). It shows where the network looked, not that it was right to."
    )
    return section(
        "Examples with their maps",
        tag("div", *made, class_="examples"),
        tag("p", note, class_="note"),
        map_table(result),
    )


def _how(result: Evaluation) -> Element:
    facts = result.facts
    rows = [
        ["bundle", facts.bundle],
        ["network", f"{facts.architecture}, weights started from {facts.initial_weights}"],
        ["recipe", facts.recipe],
        ["trained on", facts.training_data],
        ["kept apart by", facts.grouped_by],
        ["judged on", f"{facts.evaluated}: {facts.images} images in {facts.groups} groups"],
        ["engine", facts.engine],
    ]
    return section(
        "How it was measured",
        tag("p", tag("code", facts.command), class_="command"),
        table("Facts", ["what", "as used"], rows, kind="words"),
        tag(
            "p",
            f"Classes: {', '.join(class_word(name) for name in result.classes)}.",
            class_="note",
        ),
    )


def _kind_words(result: Evaluation) -> str:
    return "synthetic images" if result.facts.is_synthetic else "real images"


def _data_address(picture: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(picture).decode()
