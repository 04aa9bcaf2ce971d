"""Limits of the quality gate; the defaults pass the fields of three very different microscopes."""

from __future__ import annotations

from pydantic import Field

from service_runtime.settings import Settings


class GateSettings(Settings):
    """Limits of the gate; the defaults pass the fields of three very different microscopes."""

    enabled: bool = True
    #: True sends what the gate would reject, marked `gate_override`.
    override: bool = False
    min_white_level: float = Field(default=80.0, ge=0, le=255)
    max_clipped_white_percent: float = Field(default=40.0, ge=0, le=100)
    max_clipped_black_percent: float = Field(default=20.0, ge=0, le=100)
    min_contrast: float = Field(default=1.8, ge=0)
    min_focus: float = Field(default=4.8, ge=0)
