"""A confusion matrix as a picture: rows are true classes, the darker a cell the larger its share of the row."""

from __future__ import annotations

from collections.abc import Sequence

from service_runtime.report_page.drawing import HALF, Words, figure, text
from service_runtime.report_page.markup import Element, add, tag
from wire_protocol.words import class_word

_TOP, _BOTTOM = 44.0, 10.0
_LARGEST_CELL = 64.0


def matrix_picture(
    name: str,
    title: str,
    classes: Sequence[str],
    counts: Sequence[Sequence[int]],
    *,
    note: str = "",
    last_column: str = "",
) -> Element:
    """`counts` may have one column more than classes: the images that got no answer."""
    total, right = sum(map(sum, counts)), sum(row[i] for i, row in enumerate(counts))
    words = Words(
        name,
        title,
        f"{title}. {right} of {total} images lie on the diagonal. "
        + " ".join(
            f"True {class_word(label)}: {', '.join(map(str, row))}."
            for label, row in zip(classes, counts, strict=True)
        ),
    )
    heads = [class_word(label) for label in classes]
    if counts and len(counts[0]) > len(classes):
        heads.append(last_column)
    return figure(
        words, lambda svg, width: _draw(svg, width, classes, heads, counts), note=note, wide=HALF
    )


def _draw(
    svg: Element,
    width: int,
    classes: Sequence[str],
    heads: Sequence[str],
    counts: Sequence[Sequence[int]],
) -> float:
    rows = [class_word(label) for label in classes]
    left = 14 + 8.4 * max(len(word) for word in rows)
    cell = min(_LARGEST_CELL, (width - left - 4) / len(heads))
    add(svg, text(0, 14, "true class", "unit"))
    add(svg, text(left, 14, "largest probability", "unit"))
    for column, word in enumerate(heads):
        add(svg, text(left + (column + 0.5) * cell, _TOP - 8, _short(word, cell), "tick", "middle"))
    for row, (word, values) in enumerate(zip(rows, counts, strict=True)):
        y, total = _TOP + row * cell, sum(values) or 1
        add(svg, text(left - 8, y + cell / 2 + 4, word, "value", "end"))
        for column, count in enumerate(values):
            x, share = left + column * cell, count / total
            kind = "cell right" if column == row else "cell wrong"
            square = tag(
                "rect", x=x + 1, y=y + 1, width=cell - 2, height=cell - 2, rx=4, class_=kind
            )
            square.set("fill-opacity", f"{0.04 + 0.9 * share:.3f}" if count else "0.03")
            strong = " on-dark" if share > 0.5 else ""
            number = text(
                x + cell / 2, y + cell / 2 + 4, str(count), f"count-text{strong}", "middle"
            )
            add(svg, square, number if count or column == row else None)
    return _TOP + len(rows) * cell + _BOTTOM


def _short(word: str, cell: float) -> str:
    most = max(3, int(cell / 6.4))
    return word if len(word) <= most else word[: most - 1] + "."
