"""The figures of an evaluation as tables, each share with its interval. (Just over 250 lines: all of one page.)"""

from __future__ import annotations

from collections.abc import Sequence

from service_runtime.report_page.markup import Element, tag
from service_runtime.report_page.table import table
from training.evaluation.document import (
    EXCHANGED,
    FOIL,
    Evaluation,
    OodFigure,
    OodScore,
    OodTable,
    PrintedMatrix,
    RegimeRow,
    Share,
)
from training.evaluation.goals import GOALS, judged_goals
from wire_protocol.words import class_word, figure_word

_NAMES = {
    "macro_f1": "macro F1",
    "macro_auroc": "mean AUROC, each class against the rest",
    "ece": "expected calibration error",
    "nll": "log loss",
    "brier": "Brier score",
    "mean_rgb_balanced_accuracy": "balanced accuracy of mean RGB alone",
}
TEST_WORDS = {
    "a": "(a) other laboratories as they are, rejected",
    "b": "(b) the same, matched in colour, size and JPEG quality, rejected",
    "c": "(c) foreign cells on own backgrounds, rejected",
    "c_control": "(c) control: own cells placed the same way, kept",
    "d": "(d) a class left out, AUROC",
    "e": "(e) own images, changed a little or from files that score and threshold never saw, kept",
    "e_fifth": "(e) each of the fifths, kept; the network itself may have seen neighbours",
}


def share_text(share: Share | None, digits: int = 3) -> str:
    """`0.956 (0.937 to 0.973)`."""
    if share is None or share.value is None:
        return "none"
    return f"{share.value:.{digits}f} ({share.low:.{digits}f} to {share.high:.{digits}f})"


def headline_table(result: Evaluation) -> Element:
    """Every figure of the whole set of images."""
    rows = []
    for one in result.metrics:
        interval = "" if one.low is None else f"{one.low:.3f} to {one.high:.3f}"
        name = _NAMES.get(one.name, figure_word(one.name).replace("_", " "))
        rows.append([name, f"{one.value:.3f}", interval, str(one.images), one.method])
    heads = ["figure", "value", "95 % interval", "images", "how"]
    return table("All figures", heads, rows, kind="last-words")


def class_tables(result: Evaluation) -> list[Element]:
    """Precision, recall, F1 and one-vs-rest accuracy of each class."""
    rows = [
        [
            class_word(one.key),
            str(one.images),
            share_text(one.precision),
            share_text(one.recall),
            share_text(one.f1),
        ]
        for one in result.per_class
    ]
    ranks = [
        [
            class_word(one.key),
            share_text(one.one_vs_rest_accuracy),
            "" if one.auroc is None else f"{one.auroc:.4f}",
            "" if one.average_precision is None else f"{one.average_precision:.4f}",
        ]
        for one in result.per_class
    ]
    heads = ["class", "images", "precision", "recall", "F1"]
    against = ["class", "one-vs-rest accuracy", "AUROC", "average precision"]
    note = (
        "Precision, recall and one-vs-rest accuracy with Wilson's 95 % interval, F1 with a bootstrap "
        "over groups. One-vs-rest accuracy counts every image of the other classes that was not "
        "called this one: it is not the overall accuracy, and is high wherever a class is rare."
    )
    return [
        table("Each class", heads, rows),
        table("Each class against the rest", against, ranks, note=note),
    ]


def decision_table(result: Evaluation) -> Element:
    """What the decision's rules say, which is what a hematologist sees."""
    rows = []
    for said, count in result.results.items():
        word, colon, reason = said.partition(":")
        rows.append([f"{class_word(word)}{colon}{reason.replace('_', ' ')}", str(count)])
    note = (
        "The decision never takes the largest probability: see the thresholds on the bundle's card."
    )
    return table("What is said", ["result", "images"], rows, note=note)


def confound_table(result: Evaluation) -> Element:
    """What can be told without cells, beside the network."""
    own = next((m for m in result.metrics if m.name == "balanced_accuracy"), None)
    rows = []
    if own is not None and own.low is not None and own.high is not None:
        whole = Share(value=own.value, low=own.low, high=own.high)
        rows.append(["the network", share_text(whole), "", "the whole field"])
    for one in result.confounds:
        chance = "" if one.chance is None else f"{one.chance:.3f}"
        figure = "not identifiable" if one.balanced_accuracy is None else ""
        if one.words.startswith("not measured"):
            figure = "not measured"
        rows.append([one.name, figure or share_text(one.balanced_accuracy), chance, one.words])
    heads = ["looks at", "balanced accuracy", "chance", "what it sees"]
    note = (
        "Support vector machines, fitted on other groups than those they answer. Where colour or a "
        "corner alone comes near the network, the network's figure says little about cells."
    )
    if any(one.name == EXCHANGED for one in result.confounds):
        note += " The last row is the network's own: what it loses there, backgrounds had told it."
    return table("Without the cells", heads, rows, note=note, kind="last-words")


def map_table(result: Evaluation) -> Element | None:
    """Where the maps lie, class by class."""
    if not result.maps:
        return None
    rows = [
        [
            class_word(one.key),
            str(one.images),
            f"{one.inside:.2f}",
            f"{one.of_cells:.2f}",
            f"{one.by_chance:.2f}",
        ]
        for one in result.maps
    ]
    heads = ["true class", "fields", "map in white cells", "map of the cells", "by chance"]
    note = (
        "Share of what speaks for the largest class that lies in white cells, as the segmentation finds "
        "them. Map of the cells: what a map of the same places has that follows the cells' area. By chance: "
        "the cells' share of the field."
    )
    return table("In white cells", heads, rows, note=note)


def paired_table(result: Evaluation) -> Element | None:
    """One way of answering against another on the same images."""
    if not result.paired:
        return None
    rows = [
        [
            f"{one.first} - {one.second}",
            share_text(one.difference),
            str(one.first_only),
            str(one.second_only),
            f"{one.mcnemar_p:.2g}",
        ]
        for one in result.paired
    ]
    heads = ["difference of balanced accuracy", "value", "right: first only", "second only",
             "McNemar p"]  # fmt: skip
    note = "Paired bootstrap over groups; McNemar's exact test counts images, not groups."
    return table("Paired", heads, rows, note=note)


def regime_rows_table(regimes: Sequence[RegimeRow]) -> Element:
    """The regimes' figures."""
    rows: list[list[str]] = []
    system = None
    for one in regimes:
        if one.system != system:
            rows.append([one.system])
            system = one.system
        colour = one.mean_rgb_balanced_accuracy
        rows.append(
            [
                one.words,
                f"{one.test_images} in {one.test_groups}",
                str(one.groups_shared),
                share_text(one.accuracy),
                share_text(one.balanced_accuracy),
                share_text(one.macro_f1),
                "" if colour is None else f"{colour:.3f}",
            ]
        )
    heads = ["split", "test images in groups", "groups shared with training", "overall accuracy",
             "balanced accuracy", "macro F1", "mean RGB alone"]  # fmt: skip
    return table("By way of splitting", heads, rows)


def printed_table(printed: PrintedMatrix) -> Element | None:
    """A paper's figures, computed again."""
    if not printed.checks:
        return None
    rows = [list(check) for check in printed.checks]
    title = f"{printed.paper}, {printed.system}: printed figures computed again"
    return table(title, ["printed, %", "computed again", "verdict"], rows, kind="words")


def ood_table(found: OodTable) -> list[Element]:
    """Every score over the five tests, and which goals each reaches."""
    scores = ordered_scores(found)
    names = [_score_words(score.kind, score.is_carried) for score in scores]
    rows: list[list[str]] = []
    test = ""
    for place in places_of_tests(found):
        if place[0] != test:
            test = place[0]
            rows.append([TEST_WORDS[test]])
        own = [[f for f in score.figures if (f.test, f.on) == place] for score in scores]
        count = next(f.images for cell in own for f in cell)
        cells = [figure_text(cell[0]) if cell else "" for cell in own]
        rows.append([place[1], str(count), *cells])
    note = (
        "Percent of images; behind the stroke, percent that is kept AND would be suspected to be "
        "leukemia. (d) is the area under the ROC curve."
    )
    made = [table("The five tests", ["on", "images", *names], rows, note=note)]
    goals = [
        [goal.words, *(_goal_text(judged_goals(score)[goal.test]) for score in scores)]
        for goal in GOALS
    ]
    made.append(table("Goals", ["goal", *names], goals))
    left = "the score alone" if found.left_out == "refitted" else "network and score"
    made.append(
        tag(
            "p",
            f"One threshold per score, at {found.coverage:.0%} coverage of calibration images whose "
            f"groups are in no other part. In (d) {left} never saw the class. Scores: "
            + "; ".join(f"{score.kind}: {score.words}" for score in scores)
            + ". The rule on magnification is off in these tests: it alone would refuse most "
            "foreign images, and proves nothing about a score.",
            class_="note",
        )
    )
    return made


def ordered_scores(found: OodTable) -> list[OodScore]:
    """The carried one first, then the foil, then the others."""
    return sorted(found.scores, key=lambda score: (not score.is_carried, score.kind != FOIL))


def places_of_tests(found: OodTable) -> list[tuple[str, str]]:
    """(test, images) of all figures, by test."""
    places = dict.fromkeys((f.test, f.on) for s in found.scores for f in s.figures)
    return sorted(places, key=lambda place: list(TEST_WORDS).index(place[0]))


def figure_text(figure: OodFigure) -> str:
    """Percent and, behind a stroke, percent called leukemic; or an AUROC."""
    if figure.test == "d":
        return f"{figure.value:.3f}"
    called = "" if figure.called_leukemic is None else f" / {100 * figure.called_leukemic:.1f}"
    return f"{100 * figure.value:.1f}{called}"


def _score_words(kind: str, is_carried: bool) -> str:
    return f"{kind} (carried)" if is_carried else kind


def _goal_text(reached: bool | None) -> str:
    return "not measured" if reached is None else ("reached" if reached else "not reached")
