"""The quality gate: measures a capture, judges it against limits, warns or refuses in words."""

from edge_device.gate.duplicates import Duplicates
from edge_device.gate.gate import Examined, Gate
from edge_device.gate.scores import Scores, measure
from edge_device.gate.settings import GateSettings
from edge_device.gate.verdict import GateWarning, Verdict, WarningKind, judge

__all__ = [
    "Duplicates",
    "Examined",
    "Gate",
    "GateSettings",
    "GateWarning",
    "Scores",
    "Verdict",
    "WarningKind",
    "judge",
    "measure",
]
