"""Drives a pure machine of `wire_protocol`: events in, effects out, ticks when due; it decides nothing."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from service_runtime.boot import monotonic_s
from service_runtime.mqtt_types import LOST, QUEUE_FULL, TOO_LARGE

#: A tick is never due sooner, whatever the machine's deadline says.
LEAST_PAUSE_S = 0.001
#: MQTT's reason codes for what our own session would not send.
_OWN_REFUSALS = {QUEUE_FULL: 0x97, TOO_LARGE: 0x95}

EventT = TypeVar("EventT")
EffectT = TypeVar("EffectT")
EventIn_contra = TypeVar("EventIn_contra", contravariant=True)
EffectOut_co = TypeVar("EffectOut_co", covariant=True)


class Machine(Protocol[EventIn_contra, EffectOut_co]):
    """What `Sender` and `Receiver` have in common."""

    def handle(self, event: EventIn_contra, now: float) -> Sequence[EffectOut_co]:
        """Takes one event in and returns what is to be done, in order."""
        ...

    @property
    def deadline(self) -> float | None:
        """When a tick is due, in monotonic seconds; None while nothing is."""
        ...


class MachineDrive(Generic[EventT, EffectT]):
    """One machine; all methods belong to the event loop's thread."""

    def __init__(
        self,
        machine: Machine[EventT, EffectT],
        perform: Callable[[EffectT], None],
        tick: Callable[[], EventT],
    ) -> None:
        self._machine = machine
        self._perform = perform
        self._tick = tick
        self._events: deque[EventT] = deque()
        self._is_telling = False
        self._is_timer_due = False
        self._is_stopped = False
        self._timer: asyncio.TimerHandle | None = None

    def tell(self, event: EventT) -> None:
        """Tells the machine and does what it wants; an event told meanwhile comes after."""
        self._events.append(event)
        if self._is_telling:
            return
        self._is_telling = True
        try:
            while self._events:
                for effect in self._machine.handle(self._events.popleft(), monotonic_s()):
                    self._perform(effect)
        finally:
            self._is_telling = False
        if not self._is_timer_due:  # once a turn of the loop, however many events it brings
            self._is_timer_due = True
            asyncio.get_running_loop().call_soon(self._set_timer)

    def stop(self) -> None:
        """No further ticks."""
        self._is_stopped = True
        self._cancel()

    def _set_timer(self) -> None:
        """A timer that fires sooner is left: a tick that comes too early does no harm."""
        self._is_timer_due = False
        deadline = self._machine.deadline
        if deadline is None or self._is_stopped:
            return
        loop = asyncio.get_running_loop()  # its time() is the monotonic clock in seconds
        due = max(deadline, monotonic_s() + LEAST_PAUSE_S)
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._cancel()
        self._timer = loop.call_at(due, self._ticks)

    def _ticks(self) -> None:
        self._timer = None
        self.tell(self._tick())

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def published_code(code: int) -> int | None:
    """What a machine is told of a publish: MQTT's reason code; None where the connection ended, for
    the session's Disconnected says that for all of them."""
    return None if code == LOST else _OWN_REFUSALS.get(code, code)
