"""Slides that tell their class by their look: a trap made on purpose, never used unless asked for.

Data sets gathered from one hospital per disease are like this. A model trained on such slides is
right for the wrong reason, which shows as soon as the sources are swapped.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

from edge_device.simulator.cell_types import DiagnosisClass
from edge_device.simulator.slide import Slide, draw_slide, slide_seed

_SOURCE_STREAM = 4242


class Sources(StrEnum):
    """Where the slides of a class come from."""

    INDEPENDENT = "independent"
    """As it should be: the slide knows nothing of the class."""
    TIED = "tied"
    """All slides of a class come from a laboratory of their own."""
    SWAPPED = "swapped"
    """The same laboratories, each with the next class."""


def made_by_source(slide: Slide, kind: DiagnosisClass, sources: Sources) -> Slide:
    """The slide as the laboratory of its class would make it; unchanged where sources are independent."""
    if sources is Sources.INDEPENDENT:
        return slide
    kinds = list(DiagnosisClass)
    number = kinds.index(kind) + (1 if sources is Sources.SWAPPED else 0)
    look = draw_slide(slide_seed(0, _SOURCE_STREAM, number % len(kinds)))
    return replace(
        slide,
        stain_matrix=look.stain_matrix,
        stain_strength=look.stain_strength,
        red_cell_strength=look.red_cell_strength,
        background_rgb=look.background_rgb,
        white_level=look.white_level,
        white_balance=look.white_balance,
        gamma=look.gamma,
        saturation=look.saturation,
        vignetting=look.vignetting,
        shading_rgb=look.shading_rgb,
    )
