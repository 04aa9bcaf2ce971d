"""The gate of one camera: measures a capture, judges it, and remembers what passed to know it again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_device.gate.duplicates import Duplicates
from edge_device.gate.scores import Scores, measure
from edge_device.gate.settings import GateSettings
from edge_device.gate.verdict import Verdict, judge
from edge_device.outbox.rows import Refusal
from wire_protocol.json_messages import Reason


@dataclass(frozen=True, slots=True)
class Examined:
    """A capture's scores and what the gate says of them."""

    scores: Scores
    verdict: Verdict


class Gate:
    """Belongs to the capture thread; its limits may be replaced between captures."""

    def __init__(self, limits: GateSettings) -> None:
        self.limits = limits
        self._duplicates = Duplicates()

    def examine(self, bgr: npt.NDArray[np.uint8], um_per_px: float | None = None) -> Examined:
        """Scores and verdict of an 8-bit image (H, W, 3).

        A refused picture is not remembered: to take it again is what was asked for.
        """
        scores = measure(bgr, um_per_px)
        verdict = judge(scores, self.limits)
        if verdict.refusal is not None or self.limits.duplicates == "off":
            return Examined(scores, verdict)
        warning = self._duplicates.check(bgr)
        if warning is None:
            return Examined(scores, verdict)
        if self.limits.duplicates == "refuse":
            refusal = Refusal(Reason.DUPLICATE, warning.text, warning.score, warning.limit)
            return Examined(scores, Verdict(refusal, verdict.warnings))
        return Examined(scores, Verdict(None, (*verdict.warnings, warning)))

    def new_slide(self) -> None:
        """Forgets what was taken: another slide shows other fields."""
        self._duplicates.forget()
