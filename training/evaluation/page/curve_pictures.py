"""Curves as pictures: ROC, precision-recall, risk-coverage, reliability and the training's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from service_runtime.report_page.drawing import (
    HALF,
    Words,
    figure,
    line,
    path,
    text,
    x_axis,
    y_axis,
)
from service_runtime.report_page.markup import Element, add, tag
from service_runtime.report_page.scales import Scale
from training.evaluation.document import (
    Calibrated,
    EpochRow,
    Evaluation,
    Points,
    RiskCoverage,
)
from wire_protocol.words import class_word

_TOP, _PLOT, _LEFT, _BOTTOM = 30.0, 260.0, 46.0, 42.0


@dataclass(frozen=True, slots=True)
class Line:
    """One curve and the style sheet's class for it."""

    title: str
    points: Points
    kind: str


def legend(lines: Sequence[Line]) -> Element:
    """A list of the lines with a piece of each."""
    items = []
    for one in lines:
        mark = tag("line", x1=1, y1=7, x2=31, y2=7, class_=f"line {one.kind}")
        sample = tag("svg", mark, viewBox="0 0 32 14", class_="sample", aria_hidden="true")
        items.append(tag("li", sample, one.title))
    return tag("ul", *items, class_="legend")


def curves(
    name: str,
    title: str,
    lines: Sequence[Line],
    axes: tuple[str, str],
    *,
    x_range: tuple[float, float] = (0.0, 1.0),
    y_range: tuple[float, float] = (0.0, 1.0),
    diagonal: bool = False,
    marks: Sequence[tuple[float, str]] = (),
    note: str = "",
) -> Element:
    """Lines in a frame; `marks` are upright lines with their words."""
    words = Words(name, title, f"{title}: {'; '.join(one.title for one in lines)}.")

    def draw(svg: Element, width: int) -> float:
        right = width - 8.0
        x = Scale(*x_range, _LEFT, right)
        y = Scale(*y_range, _TOP + _PLOT, _TOP)
        y_axis(svg, y, _LEFT, right, axes[1])
        x_axis(svg, x, _TOP, _TOP + _PLOT, axes[0])
        if diagonal:
            add(svg, line(x.at(0), y.at(0), x.at(1), y.at(1), "ideal"))
        for at, said in marks:
            add(svg, line(x.at(at), _TOP, x.at(at), _TOP + _PLOT, "limit"))
            anchor = "end" if x.at(at) > (_LEFT + right) / 2 else "start"
            shift = -5 if anchor == "end" else 5
            add(svg, text(x.at(at) + shift, _TOP + 12, said, "limit-text", anchor))
        for one in lines:
            points = [(x.at(px), y.at(py)) for px, py in one.points]
            add(svg, path(points, f"line {one.kind}") if len(points) > 1 else None)
            if len(points) <= 20:
                add(
                    svg,
                    *(tag("circle", cx=a, cy=b, r=3, class_=f"dot {one.kind}") for a, b in points),
                )
        return _TOP + _PLOT + _BOTTOM

    return figure(words, draw, legend(lines), note=note, wide=HALF)


def class_curves(result: Evaluation) -> Element:
    """ROC and precision-recall of every class against the rest."""
    roc = [
        Line(f"{class_word(one.key)}, area {one.auroc:.3f}", one.roc, f"s{number % 6}")
        for number, one in enumerate(result.per_class)
        if one.auroc is not None
    ]
    recall = [
        Line(
            f"{class_word(one.key)}, average precision {one.average_precision:.3f}",
            one.precision_recall,
            f"s{number % 6}",
        )
        for number, one in enumerate(result.per_class)
        if one.average_precision is not None
    ]
    pair = [
        curves("roc", "ROC, each class against the rest", roc, ("false-alarm share", "sensitivity"),
               diagonal=True) if roc else None,
        curves("pr", "Precision and recall", recall, ("recall", "precision")) if recall else None,
    ]  # fmt: skip
    return tag("div", *pair, class_="pair")


def reliability(before: Calibrated, after: Calibrated) -> Element:
    """Confidence against what was right, before and after the temperature."""
    pair = [
        _reliable("reliability-before", "Before the temperature", before),
        _reliable("reliability-after", f"After the temperature ({after.temperature:.2f})", after),
    ]
    return tag("div", *pair, class_="pair")


def _reliable(name: str, title: str, one: Calibrated) -> Element:
    said = f"{title}: ECE {one.expected_calibration_error:.3f}, Brier {one.brier:.3f}"
    words = Words(name, title, f"{said}. Largest probability against the share that is right.")
    most = max(b.images for b in one.bins)

    def draw(svg: Element, width: int) -> float:
        x = Scale(0.0, 1.0, _LEFT, width - 8.0)
        y = Scale(0.0, 1.0, _TOP + _PLOT, _TOP)
        y_axis(svg, y, _LEFT, x.end_px, "share right")
        x_axis(svg, x, _TOP, _TOP + _PLOT, "largest probability")
        add(svg, line(x.at(0), y.at(0), x.at(1), y.at(1), "ideal"))
        for one_bin in one.bins:
            right, at = one_bin.right, x.at(one_bin.confidence)
            if right.value is not None:
                add(svg, line(at, y.at(right.low), at, y.at(right.high), "whisker"))
                r = 3 + 5 * (one_bin.images / most) ** 0.5
                add(svg, tag("circle", cx=at, cy=y.at(right.value), r=r, class_="point"))
        return _TOP + _PLOT + _BOTTOM

    return figure(words, draw, note=f"{said}. Size: images; line: Wilson's interval.", wide=HALF)


def risk_coverage(found: RiskCoverage) -> Element:
    """What answering fewer images buys."""
    highest = max((risk for _, risk in found.points), default=0.0)
    lines = [Line(f"risk of the answers given, AURC {found.aurc:.4f}", found.points, "s0")]
    marks = [(found.answered, f"threshold {found.abstention:.2f}")]
    axes = ("share of images answered", "share of answers that is wrong")
    top = max(0.02, highest * 1.15)
    return curves("risk", "Risk and coverage", lines, axes, y_range=(0.0, top), marks=marks)


def training_curves(epochs: Sequence[EpochRow]) -> Element | None:
    """Loss and accuracy by epoch, the stages behind each other; None without a history."""
    if not epochs:
        return None
    count = len(epochs)
    numbers = range(1, count + 1)

    def points(values: Sequence[float | None]) -> Points:
        return tuple(
            (float(n), value) for n, value in zip(numbers, values, strict=True) if value is not None
        )

    losses = [
        Line("training", points([one.loss for one in epochs]), "s0"),
        Line("validation", points([one.validation_loss for one in epochs]), "s3"),
    ]
    rates = [
        Line("training", points([one.accuracy for one in epochs]), "s0"),
        Line("validation", points([one.validation_accuracy for one in epochs]), "s3"),
    ]
    pair = []
    for name, title, lines in (
        ("loss", "Loss by epoch", losses),
        ("accuracy", "Overall accuracy by epoch", rates),
    ):
        shown = [one for one in lines if one.points]
        if not shown:
            continue
        top = 1.0
        if name == "loss":
            top = max(value for one in shown for _, value in one.points) * 1.05
        x_range = (1.0, float(max(count, 2)))
        pair.append(
            curves(name, title, shown, ("epoch", name), x_range=x_range, y_range=(0.0, top))
        )
    return tag("div", *pair, class_="pair")
