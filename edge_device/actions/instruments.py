"""The parts of an agent that actions play on, and the words for what could not be done; it does nothing itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge_device.actions.outbox_actions import OutboxActions
from edge_device.bench.recent import RecentCaptures
from edge_device.calibration import CalibrationError
from edge_device.capture import Pipeline
from edge_device.cases import CaseDesk, CaseError
from edge_device.health import Reporter
from edge_device.microscope import Microscope
from edge_device.outbox import desk
from edge_device.outbox.desk import DeskError
from edge_device.outbox_thread import OutboxThread
from edge_device.settings import EdgeSettings


class ActionFailedError(Exception):
    """The action could not be done, in words; `result` has what was done of it."""

    def __init__(self, error: str, result: dict[str, Any] | None = None) -> None:
        super().__init__(error)
        self.result = result or {}


#: What rooms of the agent say where they cannot do something.
REFUSED = (ActionFailedError, CalibrationError, CaseError, DeskError)


@dataclass(frozen=True, slots=True)
class Instruments:
    """The parts of an agent that actions play on."""

    settings: EdgeSettings
    microscope: Microscope
    pipeline: Pipeline
    cases: CaseDesk
    disk: OutboxThread
    outbox: OutboxActions
    recent: RecentCaptures
    reporter: Reporter
    #: Something that is shown is different now.
    changed: Callable[[], None]
    #: Ends the agent with the code that has it started again.
    restart: Callable[[], None]

    async def audit(self, action: str, operator: str, **detail: Any) -> None:
        """Writes the deed into the device's book."""
        await self.disk.call(lambda outbox: desk.audit(outbox, action, operator, detail=detail))
