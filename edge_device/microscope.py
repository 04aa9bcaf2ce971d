"""The camera on its thread: a shot when one is due or asked for and the outbox has room; it says why not.

Orders (pictures that somebody asked for) come before the schedule. With the trigger `command` there
is nothing but orders, and the thread rests until one comes. Longer than most files: one thread's whole life.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TypeVar

from edge_device.cameras import Camera, Nothing
from edge_device.capture import Pipeline, Prepared, PreviewPicture
from edge_device.orders import Order
from edge_device.outbox.limits import Excess, excess, room
from edge_device.owed import Owed
from edge_device.schedule import open_schedule
from edge_device.settings import EdgeSettings
from service_runtime.boot import monotonic_ns, monotonic_s
from service_runtime.log import get_log
from wire_protocol.manifest import Priority

T = TypeVar("T")
#: How often a microscope with nothing to do looks whether it may go on: nobody tells of a disk.
_LOOK_S = 1.0
#: A preview this fresh is given again.
_PREVIEW_FRESH_S = 0.15
#: A thread that is at one thing for longer is stuck, or for twice what the camera itself allows.
_STUCK_S = 30.0


class Microscope:
    """Gives prepared captures until the camera is exhausted or it is told to stop."""

    def __init__(
        self,
        settings: EdgeSettings,
        camera: Camera,
        pipeline: Pipeline,
        owed: Owed,
        *,
        other_reason_to_halt: Callable[[], str],
        make_room: Callable[[Excess], Awaitable[int]],
        on_change: Callable[[], None],
    ) -> None:
        self.paused = False
        #: Why there is no capture now, in words; "" while it goes on.
        self.halted = ""
        self.is_exhausted = False
        self._settings = settings
        self._camera = camera
        self._pipeline = pipeline
        self._owed = owed
        self._other_reason_to_halt = other_reason_to_halt
        self._make_room = make_room
        self._on_change = on_change
        self._is_stopping = False
        self._orders: deque[Order] = deque()
        self._wake = asyncio.Event()
        self._schedule = open_schedule(settings.camera.rate_per_s, settings.camera.planned)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="capture")
        self._busy_since_s: float | None = None
        self._stuck_s = max(_STUCK_S, 2 * getattr(settings.camera, "timeout_s", 0.0))
        self._preview: PreviewPicture | None = None
        self._preview_s = float("-inf")
        self._log = get_log("edge").bind(device=settings.device)

    # --- what others ask ----------------------------------------------------------------------

    @property
    def is_live(self) -> bool:
        """Whether the camera takes pictures on demand and has a preview."""
        return self._camera.is_live

    @property
    def trouble(self) -> str:
        """Why the camera has no picture now, in words."""
        return self._camera.trouble

    @property
    def is_alive(self) -> bool:
        """Whether the capture thread rests, or has not been at one thing for too long."""
        since_s = self._busy_since_s
        return since_s is None or monotonic_s() - since_s < self._stuck_s

    def order(self, order: Order) -> None:
        """Pictures are wanted now; `order.ended` tells when they are on disk, or will not be."""
        reason = self._reason_to_halt()
        if self.is_exhausted:
            reason = "the camera has no more pictures"
        if self._is_stopping:
            reason = "the agent stops"
        if reason:
            order.fail(reason)
            return
        self._orders.append(order)
        self._wake.set()

    def withdraw(self, order: Order, reason: str) -> None:
        """Nobody waits for this order any more."""
        order.give_up(reason)
        with suppress(ValueError):
            self._orders.remove(order)

    def look(self) -> None:
        """Something that held the capture up may be over."""
        self._wake.set()

    async def preview(self) -> PreviewPicture | None:
        """What is before the camera now; asked for by somebody who looks, and never on its own."""
        if not self._camera.is_live or self._is_stopping:
            return None
        if monotonic_s() - self._preview_s > _PREVIEW_FRESH_S:
            self._preview = await self.on_thread(self._look_through)
            self._preview_s = monotonic_s()
        return self._preview

    async def on_thread(self, function: Callable[[], T]) -> T:
        """Runs something that belongs to the capture thread, after what it is doing."""
        return await asyncio.get_running_loop().run_in_executor(
            self._executor, self._busily, function
        )

    def stop(self) -> None:
        """`next` gives nothing more."""
        self._is_stopping = True
        self._fail_orders("the agent stops")
        self._wake.set()

    def close(self) -> None:
        """Ends the capture thread and the camera, after the shot that is being taken."""
        self._executor.submit(self._camera.close)
        self._executor.shutdown()

    # --- captures -----------------------------------------------------------------------------

    async def next(self) -> Prepared | None:
        """The next capture, opened, gated and encoded; None when there is none any more."""
        while not self._is_stopping:
            self._wake.clear()
            await self._drop_for_room()
            halted = self._reason_to_halt()
            self._say(halted or self._camera.trouble)
            if halted:
                self._fail_orders(halted)
                if self.paused:
                    self._schedule.restart()
                await self._rest(_LOOK_S)
                continue
            order = self._first_order()
            due = self._due_ns(order)
            now = monotonic_ns()
            if due is None or due > now:
                await self._rest(self._schedule.look_s if due is None else (due - now) / 1e9)
                continue
            taken = await self.on_thread(partial(self._take, due, order))
            if taken is Nothing.EVER:
                self.is_exhausted = True
                self._fail_orders("the camera has no more pictures")
                return None
            if isinstance(taken, Nothing):
                self._say(self._camera.trouble)
                self._schedule.restart()
                await self._rest(self._camera.poll_s)
                continue
            if order is None:
                self._schedule.taken()
            else:
                order.taken += 1
            return taken
        return None

    def _take(self, scheduled_ns: int, order: Order | None) -> Prepared | Nothing:
        shot = self._camera.take()
        if isinstance(shot, Nothing):
            return shot
        priority = self._settings.priority if order is None else order.priority
        return self._pipeline.prepare(
            shot, scheduled_ns=scheduled_ns, priority=priority, order=order
        )

    def _look_through(self) -> PreviewPicture | None:
        pixels = self._camera.preview()
        return None if pixels is None else self._pipeline.preview(pixels)

    def _busily(self, function: Callable[[], T]) -> T:
        self._busy_since_s = monotonic_s()
        try:
            return function()
        finally:
            self._busy_since_s = None

    # --- when ---------------------------------------------------------------------------------

    def _due_ns(self, order: Order | None) -> int | None:
        """When the next shot is due, in the past where it is late; None: when somebody asks."""
        now = monotonic_ns()
        if order is not None:
            return order.asked_ns if order.taken == 0 else now
        if self._settings.camera.trigger == "command":
            return None
        return self._schedule.due_ns(now)

    def _first_order(self) -> Order | None:
        """Stat before routine, else in the order of asking."""
        while self._orders and self._orders[0].ended.is_set():
            self._orders.popleft()
        wanting = [order for order in self._orders if order.wants_more]
        urgent = [order for order in wanting if order.priority is Priority.STAT]
        return next(iter(urgent or wanting), None)

    def _fail_orders(self, reason: str) -> None:
        for order in self._orders:
            order.fail(reason)
        self._orders.clear()

    def _reason_to_halt(self) -> str:
        if self.paused:
            return "paused by an operator"
        full = room(self._settings.outbox, *self._filled())
        return full or self._other_reason_to_halt()

    async def _drop_for_room(self) -> None:
        """By the operator's rule, where there is one: the oldest go so that new ones find room."""
        if self._settings.outbox.on_full != "refuse" and not self.paused:
            wanted = excess(self._settings.outbox, *self._filled())
            if wanted:
                await self._make_room(wanted)

    def _filled(self) -> tuple[int, int, int]:
        """Bytes and images that are held for the records store, and bytes free on the disk."""
        disk = os.statvfs(self._settings.data_dir)
        free_bytes = disk.f_bavail * disk.f_frsize
        return self._owed.held_bytes, self._owed.held_images, free_bytes

    def _say(self, reason: str) -> None:
        if reason != self.halted:
            self.halted = reason
            self._log.warning("capture_stopped" if reason else "capture_goes_on", reason=reason)
            self._on_change()

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
