"""Which white cells are shown first and how much of the picture around each; pure, it opens no picture.

All crops of a case have one physical size where the scale is known, so that cells can be compared
by eye; where it is not known they have one size in pixels and no scale bar. Fields come by urgency,
and their cells in turns: the first of each field, then the second of each. Where the model's answer
is kept back the desk gives no order but the place, and fields come one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import Final

from dashboard.review.views import Box, FieldDetail

#: Air around a cell, as a multiple of its longer side.
AIR: Final = 1.3
LEAST_UM, MOST_UM = 16.0, 40.0
LEAST_PX, MOST_PX = 48, 1024
#: The bar is the longest of these that takes at most 60 % of the width.
BARS_UM: Final = (20.0, 10.0, 5.0, 2.0, 1.0)


@dataclass(frozen=True, slots=True)
class Cell:
    """One crop: the square of the field's picture that is shown, in pixels."""

    image_id: str
    x: int
    y: int
    side_px: int
    #: Length of the scale bar in um, and as a share of the crop's width; None without a scale.
    bar_um: float | None
    bar_share: float | None


def order_cells(fields: Sequence[FieldDetail]) -> list[Cell]:
    """Every counted white cell of these fields, the most suspicious first."""
    shown = [field for field in fields if field.white_cell_boxes and field.has_image]
    side_um, side_px = _side_um(shown), _side_px(shown)
    if any(field.ai_hidden for field in shown):
        turns = [(field, box) for field in shown for box in field.white_cell_boxes or ()]
    else:
        ranked = sorted(shown, key=lambda f: (f.rank, -(f.p_acute or 0.0), f.captured_at))
        most = max((len(field.white_cell_boxes or ()) for field in ranked), default=0)
        turns = [
            (field, (field.white_cell_boxes or ())[number])
            for number in range(most)
            for field in ranked
            if number < len(field.white_cell_boxes or ())
        ]
    return [_cell(field, box, side_um, side_px) for field, box in turns]


def square(
    box: Box, side_px: int, width_px: int | None, height_px: int | None
) -> tuple[int, int, int]:
    """(x, y, side) of a square around the box, within the picture where its size is known."""
    side = max(1, min(side_px, width_px or side_px, height_px or side_px))
    x, y, w, h = box
    left, top = round(x + w / 2 - side / 2), round(y + h / 2 - side / 2)
    if width_px is not None:
        left = min(left, width_px - side)
    if height_px is not None:
        top = min(top, height_px - side)
    return max(0, left), max(0, top), side


def _cell(field: FieldDetail, box: Box, side_um: float, side_px: int) -> Cell:
    scale = field.um_per_px
    own_px = side_px if scale is None else max(8, min(round(side_um / scale), MOST_PX))
    x, y, side = square(box, own_px, field.width_px, field.height_px)
    if scale is None:
        return Cell(field.image_id, x, y, side, None, None)
    shown_um = side * scale
    bar = next((um for um in BARS_UM if um <= 0.6 * shown_um), None)
    share = None if bar is None else round(bar / shown_um, 4)
    return Cell(field.image_id, x, y, side, bar, share)


def _side_um(fields: Sequence[FieldDetail]) -> float:
    """Wide enough for nine of ten cells; a clump is cut rather than all others made small."""
    sides = [
        max(box[2], box[3]) * field.um_per_px
        for field in fields
        if field.um_per_px is not None
        for box in field.white_cell_boxes or ()
    ]
    return min(MOST_UM, max(LEAST_UM, AIR * _ninth_tenth(sides)))


def _side_px(fields: Sequence[FieldDetail]) -> int:
    sides = [float(max(b[2], b[3])) for field in fields for b in field.white_cell_boxes or ()]
    return round(min(float(MOST_PX), max(float(LEAST_PX), AIR * _ninth_tenth(sides))))


def _ninth_tenth(sides: list[float]) -> float:
    if len(sides) < 2:
        return sides[0] if sides else 0.0
    return quantiles(sides, n=10, method="inclusive")[8]
