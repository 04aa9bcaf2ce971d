"""Procedural blood-smear fields with their truth; no network, torch or real pixel is involved."""

from edge_device.simulator.cell_types import CellType, DiagnosisClass
from edge_device.simulator.field import CellTruth, Field, FieldTruth, encode_field, render_field
from edge_device.simulator.slide import Slide, draw_slide, slide_seed

__all__ = [
    "CellTruth",
    "CellType",
    "DiagnosisClass",
    "Field",
    "FieldTruth",
    "Slide",
    "draw_slide",
    "encode_field",
    "render_field",
    "slide_seed",
]
