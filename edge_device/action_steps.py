"""What each action does, with the instruments of the agent; it checks no argument's form and answers nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from edge_device import action_arguments as arguments
from edge_device.capture import Pipeline
from edge_device.cases import By, CaseDesk, CaseError
from edge_device.cases.ledger import list_cases
from edge_device.flat_field import FlatField
from edge_device.health import Reporter
from edge_device.microscope import Microscope
from edge_device.orders import Order
from edge_device.outbox import desk
from edge_device.outbox.desk import DeskError
from edge_device.outbox_actions import (
    OutboxActions,
    PurgeArguments,
    RetryArguments,
    SendAnywayArguments,
)
from edge_device.outbox_thread import OutboxThread
from edge_device.overrides import Overrides, save_overrides
from edge_device.recent import RecentCaptures
from edge_device.settings import EdgeSettings
from wire_protocol.manifest import Priority


class ActionFailedError(Exception):
    """The action could not be done, in words; `result` has what was done of it."""

    def __init__(self, error: str, result: dict[str, Any] | None = None) -> None:
        super().__init__(error)
        self.result = result or {}


#: What rooms of the agent say where they cannot do something.
REFUSED = (ActionFailedError, CaseError, DeskError)


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


# --- pictures --------------------------------------------------------------------------------


async def capture(on: Instruments, wanted: arguments.Capture, _operator: str) -> dict[str, Any]:
    """Takes pictures and waits until they are on disk."""
    order = Order(wanted.count, Priority.STAT if wanted.stat else on.settings.priority)
    on.microscope.order(order)
    try:
        async with asyncio.timeout(wanted.within_s):
            await order.ended.wait()
    except TimeoutError:
        why = on.microscope.trouble or "the camera gave nothing"
        on.microscope.withdraw(order, f"not done within {wanted.within_s:g} s: {why}")
    except BaseException:
        on.microscope.withdraw(order, "nobody waits for it")
        raise
    result = {"captures": order.results}
    if order.error:
        done = f" ({len(order.results)} of {order.count} taken)" if order.results else ""
        raise ActionFailedError(order.error + done, result if order.results else None)
    return result


async def pause(on: Instruments, _none: arguments.Nothing, _operator: str) -> dict[str, Any]:
    """No capture from here on."""
    on.microscope.paused = True
    on.microscope.look()
    return {"paused": True}


async def resume(on: Instruments, _none: arguments.Nothing, _operator: str) -> dict[str, Any]:
    """Captures again."""
    on.microscope.paused = False
    on.microscope.look()
    return {"paused": False}


async def set_quality(
    on: Instruments, wanted: arguments.SetQuality, operator: str
) -> dict[str, Any]:
    """Changes how the next pictures are encoded, over restarts too; without arguments, back to
    what edge.toml says."""
    overrides = Overrides(encode=wanted.model_dump(exclude_none=True))
    await on.disk.call(lambda _outbox: save_overrides(on.settings.data_dir, overrides))
    on.pipeline.override(overrides)
    await on.audit("set_quality", operator, **overrides.encode)
    on.changed()
    encode = on.pipeline.encode.model_dump(mode="json")
    return {"overrides": overrides.encode, "encode": encode}


# --- cases -----------------------------------------------------------------------------------


async def open_case(on: Instruments, wanted: arguments.OpenCase, operator: str) -> dict[str, Any]:
    """The next fields belong to this case."""
    case = await on.cases.open(wanted.case_id, By.OPERATOR, operator)
    return {"case_id": case.case_id, "number": case.number, "fields": case.fields}


async def close_case(on: Instruments, _none: arguments.Nothing, operator: str) -> dict[str, Any]:
    """The next fields are unfiled."""
    closed = await on.cases.close(By.OPERATOR, operator)
    if closed is None:
        raise ActionFailedError("no case is open")
    return {"case_id": closed.case.case_id, "fields": closed.case.fields}


async def move_field(on: Instruments, wanted: arguments.MoveField, operator: str) -> dict[str, Any]:
    """Files a field under another case, here and at the records store."""
    before = await on.cases.move_field(wanted.image_id, wanted.case_id, operator)
    row = await on.outbox.changed(wanted.image_id)
    return {"image_id": row.image_id, "from_case": before, "case_id": row.case_id}


async def case_list(on: Instruments, wanted: arguments.CaseList, _operator: str) -> dict[str, Any]:
    """The newest openings."""
    cases = await on.disk.call(lambda outbox: list_cases(outbox.db, wanted.limit))
    return {"cases": [asdict(case) for case in cases]}


# --- the outbox ------------------------------------------------------------------------------


async def send_anyway(
    on: Instruments, wanted: arguments.SendAnyway, operator: str
) -> dict[str, Any]:
    """Sends a refused picture, marked, under a new id."""
    return await on.outbox.send_anyway(
        SendAnywayArguments.model_validate(wanted.model_dump()), operator=operator
    )


async def outbox_list(
    on: Instruments, wanted: arguments.OutboxList, _operator: str
) -> dict[str, Any]:
    """Images as they stand; where a picture came from stays on the device."""
    states = () if wanted.state is None else (wanted.state,)
    listed = await on.disk.call(
        lambda outbox: desk.list_rows(outbox.db, states=states, image_ids=wanted.image_ids)
    )
    shown = [item.as_json() for item in listed[-wanted.limit :]]
    return {"images": shown, "left_out": len(listed) - len(shown)}


async def outbox_retry(
    on: Instruments, wanted: arguments.OutboxRetry, operator: str
) -> dict[str, Any]:
    """Offers these images at once."""
    return await on.outbox.retry(RetryArguments(image_ids=wanted.image_ids), operator=operator)


async def outbox_purge(
    on: Instruments, wanted: arguments.OutboxPurge, operator: str
) -> dict[str, Any]:
    """Drops images in the operator's name."""
    result = await on.outbox.purge(
        PurgeArguments.model_validate(wanted.model_dump()), operator=operator
    )
    on.changed()
    return result


# --- the device ------------------------------------------------------------------------------


async def report(on: Instruments, _none: arguments.Nothing, _operator: str) -> dict[str, Any]:
    """The device's health, now."""
    return await on.reporter.report()


async def flat_field_undo(
    on: Instruments, _none: arguments.Nothing, operator: str
) -> dict[str, Any]:
    """Back to the version before; learning is held."""
    flat = _flat_field(on)
    version = await on.microscope.on_thread(flat.undo)
    await on.audit("flat_field_undo", operator, version=version)
    return _flat_result(on, flat)


async def flat_field_resume(
    on: Instruments, _none: arguments.Nothing, operator: str
) -> dict[str, Any]:
    """Learns again after an undo."""
    flat = _flat_field(on)
    await on.microscope.on_thread(flat.resume)
    await on.audit("flat_field_resume", operator)
    return _flat_result(on, flat)


async def flat_field_reset(
    on: Instruments, _none: arguments.Nothing, operator: str
) -> dict[str, Any]:
    """Forgets all and learns afresh."""
    flat = _flat_field(on)
    await on.microscope.on_thread(flat.reset)
    await on.audit("flat_field_reset", operator)
    return _flat_result(on, flat)


async def restart(on: Instruments, _none: arguments.Nothing, operator: str) -> dict[str, Any]:
    """Ends the agent cleanly, a moment after this answer; it starts again."""
    await on.audit("restart", operator)
    asyncio.get_running_loop().call_later(0.2, on.restart)
    return {"restarting": True}


def _flat_field(on: Instruments) -> FlatField:
    if on.pipeline.flat_field is None:
        raise ActionFailedError("flat_field is off for this camera (flat_field.enabled)")
    return on.pipeline.flat_field


def _flat_result(on: Instruments, flat: FlatField) -> dict[str, Any]:
    on.changed()
    return asdict(flat.state)
