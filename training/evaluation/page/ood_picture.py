"""Foreignness as pictures: how far each set of images lies from what the bundle learned, and where the threshold is."""

from __future__ import annotations

from service_runtime.report_page.drawing import Words, figure, line, text, x_axis
from service_runtime.report_page.markup import Element, add, tag
from service_runtime.report_page.scales import Scale
from training.evaluation.document import HISTOGRAM_TOP, OodHistogram, OodScore
from wire_protocol.words import percent

_ROW, _BAR, _TOP, _BOTTOM = 58.0, 34.0, 26.0, 44.0


def ood_picture(score: OodScore) -> Element:
    """One row of bars per set of images, over distance divided by the threshold."""
    words = Words(
        f"ood-{score.kind}",
        f"Distances by {score.words}",
        "Shares of images by distance. "
        + " ".join(
            f"{one.on}: {percent(one.beyond)} beyond the threshold." for one in score.histograms
        ),
    )
    return figure(words, lambda svg, width: _draw(svg, width, score.histograms))


def _draw(svg: Element, width: int, rows: tuple[OodHistogram, ...]) -> float:
    x = Scale(0.0, HISTOGRAM_TOP, 4.0, width - 8.0)
    bottom = _TOP + _ROW * len(rows)
    x_axis(svg, x, _TOP, bottom, "distance / threshold")
    for number, row in enumerate(rows):
        base = _TOP + number * _ROW + _ROW - 4
        highest = max(row.shares) or 1.0
        step = (x.end_px - x.start_px) / len(row.shares)
        bars = tag("g", class_=f"bars {row.role}")
        for place, share in enumerate(row.shares):
            if share > 0:
                tall = max(1.0, share / highest * _BAR)
                left = x.start_px + place * step
                add(bars, tag("rect", x=left, y=base - tall, width=max(step - 1, 1), height=tall))
        add(svg, bars)
        words = f"{row.on} ({row.images}): {percent(row.beyond)} beyond"
        label = tag("g", text(x.start_px, base - _BAR - 4, words, "value"), class_="row")
        add(svg, label)
    add(svg, line(x.at(1.0), _TOP - 6, x.at(1.0), bottom, "limit"))
    add(svg, text(x.at(1.0) + 5, _TOP - 8, "threshold", "limit-text"))
    return bottom + _BOTTOM
