"""What each action does, with the instruments of the agent; it checks no argument and answers nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge_device import action_arguments as arguments
from edge_device.capture import Pipeline
from edge_device.health import Reporter
from edge_device.microscope import Microscope
from edge_device.orders import Order
from edge_device.outbox_thread import OutboxThread
from edge_device.overrides import Overrides, save_overrides
from edge_device.settings import EdgeSettings
from wire_protocol.manifest import Priority


class ActionFailedError(Exception):
    """The action could not be done, in words; `result` has what was done of it."""

    def __init__(self, error: str, result: dict[str, Any] | None = None) -> None:
        super().__init__(error)
        self.result = result or {}


@dataclass(frozen=True, slots=True)
class Instruments:
    """The parts of an agent that actions play on."""

    settings: EdgeSettings
    microscope: Microscope
    pipeline: Pipeline
    disk: OutboxThread
    reporter: Reporter
    #: Something that is shown is different now.
    changed: Callable[[], None]
    #: Ends the agent with the code that has it started again.
    restart: Callable[[], None]


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


async def report(on: Instruments, _none: arguments.Nothing, _operator: str) -> dict[str, Any]:
    """The device's health, now."""
    return await on.reporter.report()


async def set_quality(
    on: Instruments, wanted: arguments.SetQuality, _operator: str
) -> dict[str, Any]:
    """Changes how the next pictures are encoded, over restarts too; without arguments, back to
    what edge.toml says."""
    overrides = Overrides(encode=wanted.model_dump(exclude_none=True))
    await on.disk.call(lambda _outbox: save_overrides(on.settings.data_dir, overrides))
    on.pipeline.override(overrides)
    on.changed()
    encode = on.pipeline.encode.model_dump(mode="json")
    return {"overrides": overrides.encode, "encode": encode}


async def restart(on: Instruments, _none: arguments.Nothing, _operator: str) -> dict[str, Any]:
    """Ends the agent cleanly, a moment after this answer; it starts again."""
    asyncio.get_running_loop().call_later(0.2, on.restart)
    return {"restarting": True}
