"""Limits of the quality gate; the defaults pass four very different microscopes, a calibration fits them to one."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from service_runtime.settings import Settings


class GateSettings(Settings):
    """What the gate refuses and what it warns of. Each limit may be learned per device."""

    enabled: bool = True
    #: True sends what the gate would reject, marked `gate_override`.
    override: bool = False
    min_white_level: float = Field(default=80.0, ge=0, le=255)
    max_clipped_white_percent: float = Field(default=40.0, ge=0, le=100)
    max_clipped_black_percent: float = Field(default=20.0, ge=0, le=100)
    min_contrast: float = Field(default=1.8, ge=0)
    min_focus: float = Field(default=10.0, ge=0)
    #: A field without white cells: refused where the scale is known, else only warned of.
    white_cells: Literal["refuse", "warn", "off"] = "refuse"
    min_nucleus_um2: float = Field(default=25.0, ge=0)
    #: Dark, colourless matter larger than this is warned of.
    max_debris_um2: float = Field(default=30.0, ge=0)
    #: What is done with a picture of a field that was just taken.
    duplicates: Literal["warn", "refuse", "off"] = "warn"
