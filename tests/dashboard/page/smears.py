"""Simulated smears for the page's tests: a field's JPEG, where its white cells are, and what a model might say."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from edge_device.simulator.field import encode_field, render_field
from edge_device.simulator.slide import draw_slide
from wire_protocol.json_messages import Reason, Urgency

UM_PER_PX = 0.2


@dataclass(frozen=True)
class Smear:
    """One field."""

    jpeg: bytes
    #: x, y, width, height.
    boxes: tuple[tuple[int, int, int, int], ...]
    width_px: int
    height_px: int


@cache
def smear(kind: str, seed: int = 1, index: int = 0) -> Smear:
    """A rendered field; a quarter of a second the first time."""
    name = kind.upper() if kind != "healthy" else kind
    field = render_field(draw_slide(seed), name, index, width_px=960, height_px=720)
    boxes = tuple(
        (max(0, x0), max(0, y0), min(960, x1) - max(0, x0), min(720, y1) - max(0, y0))
        for x0, y0, x1, y1 in (cell.box for cell in field.truth.cells)
    )
    return Smear(encode_field(field, 92), boxes, 960, 720)


def said(kind: str) -> dict[str, Any]:
    """What a diagnosis of such a field says; the numbers are made up for the tests."""
    classes = ("all", "aml", "cll", "cml", "healthy")
    p = {f"p_{name}": 0.012 for name in classes}
    common: dict[str, Any] = {
        "acute_classes": ("all", "aml"),
        "chronic_classes": ("cll", "cml"),
        "t_acute": 0.4,
        "t_chronic": 0.5,
        "abstention": 0.5,
        "ood_percentile": 41.0,
    }
    if kind in ("all", "aml"):
        p[f"p_{kind}"] = 0.952
        return (
            common
            | p
            | {
                "urgency": Urgency.SUSPECTED_ACUTE,
                "urgency_rank": 1,
                "result": kind,
                "p_acute": 0.964,
                "text": f"URGENT: acute leukemia suspected, most like {kind.upper()}."
                " AI draft, not reviewed. Synthetic-trained. Research use only.",
            }
        )
    if kind in ("cll", "cml"):
        p[f"p_{kind}"] = 0.952
        return (
            common
            | p
            | {
                "urgency": Urgency.SUSPECTED_CHRONIC,
                "urgency_rank": 3,
                "result": kind,
                "p_acute": 0.024,
                "text": f"Chronic leukemia suspected, most like {kind.upper()}. Research use only.",
            }
        )
    if kind == "cannot_say":
        return (
            common
            | {f"p_{name}": None for name in classes}
            | {
                "urgency": Urgency.CANNOT_SAY,
                "urgency_rank": 2,
                "result": "cannot_say",
                "reason": Reason.OUT_OF_DISTRIBUTION,
                "p_acute": None,
                "text": "Cannot say: distance from the training images 4.1, at most 2.2 allowed. "
                "Check stain, focus and objective; have a person look. Research use only.",
            }
        )
    p["p_healthy"] = 0.952
    return (
        common
        | p
        | {
            "urgency": Urgency.NO_LEUKEMIA_PATTERN,
            "urgency_rank": 4,
            "result": "healthy",
            "p_acute": 0.024,
            "text": "No leukemia pattern seen in 8 white cells; does not exclude leukemia."
            " Research use only.",
        }
    )
