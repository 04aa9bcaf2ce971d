"""Everything that can be asked of an agent, in one table: names, arguments, and who must say his name; it hears nobody.

Commands over MQTT, the local page and jobs of the command line all run these. What an action needs
of the agent is `Instruments`; what it does stands in `action_steps` and `device_steps`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import ValidationError

from edge_device.actions import agent_steps as steps
from edge_device.actions import arguments
from edge_device.actions import device_steps as device
from edge_device.actions.instruments import REFUSED, ActionFailedError, Instruments
from edge_device.outbox_thread import DISK_REFUSES, DiskGivenUpError
from service_runtime.log import get_log


@dataclass(frozen=True, slots=True)
class Answer:
    """What an action came to; `error` is "" where `ok`."""

    ok: bool
    result: dict[str, Any] = field(default_factory=dict)
    error: str = ""


Step = Callable[[Instruments, Any, str], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Action:
    """`run` gets the instruments, the checked arguments and the operator's name."""

    arguments: type[arguments.Arguments]
    run: Step
    #: It changes something that lasts: it is told whose wish it was.
    is_audited: bool = False


ACTIONS: Final[Mapping[str, Action]] = {
    "capture": Action(arguments.Capture, steps.capture),
    "pause": Action(arguments.Nothing, steps.pause),
    "resume": Action(arguments.Nothing, steps.resume),
    "set_quality": Action(arguments.SetQuality, steps.set_quality, is_audited=True),
    "open_case": Action(arguments.OpenCase, steps.open_case, is_audited=True),
    "close_case": Action(arguments.Nothing, steps.close_case, is_audited=True),
    "move_field": Action(arguments.MoveField, steps.move_field, is_audited=True),
    "retake": Action(arguments.Retake, steps.retake, is_audited=True),
    "case_list": Action(arguments.CaseList, steps.case_list),
    "send_anyway": Action(arguments.SendAnyway, steps.send_anyway, is_audited=True),
    "outbox_list": Action(arguments.OutboxList, steps.outbox_list),
    "outbox_retry": Action(arguments.OutboxRetry, steps.outbox_retry, is_audited=True),
    "outbox_purge": Action(arguments.OutboxPurge, steps.outbox_purge, is_audited=True),
    "calibrate": Action(arguments.Calibrate, device.calibrate, is_audited=True),
    "flat_field_undo": Action(arguments.Nothing, device.flat_field_undo, is_audited=True),
    "flat_field_resume": Action(arguments.Nothing, device.flat_field_resume, is_audited=True),
    "flat_field_reset": Action(arguments.Nothing, device.flat_field_reset, is_audited=True),
    "report": Action(arguments.Nothing, device.report),
    "restart": Action(arguments.Nothing, device.restart, is_audited=True),
}


class Actions:
    """Runs actions by name, several at a time; all methods belong to the event loop's thread."""

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments
        self._log = get_log("edge")

    async def run(self, name: str, given: Mapping[str, object], *, operator: str) -> Answer:
        """Does it, and never raises: what went wrong is the answer's error."""
        action = ACTIONS.get(name)
        if action is None:
            return _failed(f"unknown action {name[:32]!r}; known: {', '.join(sorted(ACTIONS))}")
        try:
            checked = action.arguments.model_validate(dict(given))
            if operator or action.is_audited:
                arguments.Named(operator=operator)
        except ValidationError as error:
            return _failed(_words(name, error, action.arguments))
        try:
            result = await action.run(self._instruments, checked, operator)
        except REFUSED as error:
            self._log.warning("action_failed", name=name, operator=operator, reason=str(error))
            done = error.result if isinstance(error, ActionFailedError) else {}
            return Answer(False, done, str(error))
        except DiskGivenUpError:
            return _failed("the agent stops")
        except DISK_REFUSES as error:
            self._log.error("action_failed", name=name, operator=operator, reason=str(error))
            return _failed(f"the disk refuses: {error}")
        if action.is_audited:
            await self._instruments.recent.refresh()
            self._instruments.changed()
        self._log.info("action", name=name, operator=operator)
        return Answer(True, result)


def _failed(error: str) -> Answer:
    return Answer(False, {}, error)


def _words(name: str, error: ValidationError, model: type[arguments.Arguments]) -> str:
    """Every argument that is wrong, with its limit."""
    found = []
    for item in error.errors(include_url=False):
        key = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            known = ", ".join(model.model_fields) or "none"
            found.append(f"{name} takes no argument {key[:32]!r}; it takes: {known}")
            continue
        message = str(item["msg"]).removeprefix("Value error, ").replace("Input should", "should")
        shown = f", not {item['input']!r}" if isinstance(item["input"], str | int | float) else ""
        found.append(f"{key}: {message}{shown[:80]}")
    return "; ".join(found)
