"""Procedural blood-smear fields with their truth; no network, torch or real pixel is involved."""

from edge_device.simulator.cell_types import CellType, DiagnosisClass
from edge_device.simulator.field import encode_field, render_field
from edge_device.simulator.slide import Slide, draw_slide, slide_seed
from edge_device.simulator.truth import CellTruth, Field, FieldTruth, Masks

#: Changes whenever the same seed draws another picture.
SIMULATOR_VERSION = 3

__all__ = [
    "SIMULATOR_VERSION",
    "CellTruth",
    "CellType",
    "DiagnosisClass",
    "Field",
    "FieldTruth",
    "Masks",
    "Slide",
    "draw_slide",
    "encode_field",
    "render_field",
    "slide_seed",
]
