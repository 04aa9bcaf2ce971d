"""The quality gate: measures a capture, judges it against limits, warns or refuses in words; it changes no pixel."""

from edge_device.gate.scores import Scores, measure
from edge_device.gate.settings import GateSettings
from edge_device.gate.verdict import GateWarning, Verdict, WarningKind, judge

__all__ = ["GateSettings", "GateWarning", "Scores", "Verdict", "WarningKind", "judge", "measure"]
