"""What actions on pictures, cases and the outbox do; they check no argument's form and answer nobody."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any, Final

from edge_device.actions import arguments
from edge_device.actions.instruments import ActionFailedError, Instruments
from edge_device.actions.outbox_actions import PurgeArguments, RetryArguments, SendAnywayArguments
from edge_device.cases import By
from edge_device.cases.ledger import list_cases
from edge_device.orders import Order
from edge_device.outbox import desk
from edge_device.overrides import Overrides, save_overrides
from wire_protocol.manifest import UNFILED, Priority

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


_RETAKE_WORDS: Final = {
    "focus": "out of focus",
    "exposure": "too dark or too bright",
    "stain": "stain",
    "more_fields": "more fields needed",
    "other_area": "another area of the smear needed",
}


async def retake(on: Instruments, wanted: arguments.Retake, operator: str) -> dict[str, Any]:
    """Tells the person at the microscope to take a slide again; only a hand can put it back."""
    case = on.cases.current
    is_open = case is not None and case.case_id == wanted.case_id
    named = wanted.case_id if wanted.case_id != UNFILED else "an unfiled field"
    todo = "The case is open: capture." if is_open else "Put the slide back and open its case."
    reason = _RETAKE_WORDS[wanted.reason]
    on.cases.tell(f"Retake asked by {operator} for {named}: {reason}. {todo}")
    await on.audit("retake", operator, case_id=wanted.case_id, reason=wanted.reason)
    where = "its case is open" if is_open else "its case is not open: the slide has to be put back"
    return {
        "case_id": wanted.case_id,
        "is_open": is_open,
        "words": f"shown at the microscope; {where}.",
    }


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
