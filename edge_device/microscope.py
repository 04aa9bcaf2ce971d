"""The camera on its thread, paced: a shot when one is due and the outbox has room; it says why not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from edge_device.cameras import Camera, Nothing
from edge_device.capture import Prepared, prepare
from edge_device.owed import Owed
from edge_device.schedule import Schedule
from edge_device.settings import EdgeSettings
from service_runtime.boot import monotonic_ns
from service_runtime.log import get_log

#: How often a stopped capture looks whether there is room again.
_LOOK_S = 0.25


class Microscope:
    """Gives prepared captures until the camera is exhausted or `stopping` is set."""

    def __init__(
        self,
        settings: EdgeSettings,
        camera: Camera,
        owed: Owed,
        *,
        stopping: asyncio.Event,
        on_change: Callable[[], None],
    ) -> None:
        self.paused = False
        #: Why there is no capture now, in words; "" while it goes on.
        self.halted = ""
        self._settings = settings
        self._camera = camera
        self._owed = owed
        self._stopping = stopping
        self._on_change = on_change
        self._schedule = Schedule(settings.camera.rate_per_s)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="capture")
        self._log = get_log("edge").bind(device=settings.device)

    async def next(self) -> Prepared | None:
        """The next capture, opened, gated and encoded; None when there is none any more."""
        while not self._stopping.is_set():
            halted = self._reason_to_halt()
            if halted != self.halted:
                self.halted = halted
                self._log.warning("capture_stopped" if halted else "capture_goes_on", reason=halted)
                self._on_change()
            if halted:
                if self.paused:
                    self._schedule.restart()
                await self._pause(_LOOK_S)
                continue
            now = monotonic_ns()
            due = self._schedule.due_ns(now)
            if due > now:
                await self._pause((due - now) / 1e9)
                continue
            loop = asyncio.get_running_loop()
            taken = await loop.run_in_executor(self._executor, self._take, due)
            if taken is Nothing.EVER:
                return None
            if taken is Nothing.YET:
                self._schedule.restart()
                await self._pause(self._camera.poll_s)
                continue
            self._schedule.taken()
            assert isinstance(taken, Prepared)
            return taken
        return None

    def close(self) -> None:
        """Ends the capture thread and the camera, after the shot that is being taken."""
        self._executor.submit(self._camera.close)
        self._executor.shutdown()

    def _take(self, scheduled_ns: int) -> Prepared | Nothing:
        shot = self._camera.take()
        if isinstance(shot, Nothing):
            return shot
        return prepare(shot, self._settings, scheduled_ns=scheduled_ns)

    def _reason_to_halt(self) -> str:
        limits = self._settings.outbox
        if self.paused:
            return "paused by an operator"
        if len(self._owed) >= limits.max_images:
            return f"outbox full: {len(self._owed)} images wait, at most {limits.max_images}"
        if self._owed.held_bytes >= limits.max_bytes:
            return f"outbox full: {self._owed.held_bytes} bytes wait, at most {limits.max_bytes}"
        disk = os.statvfs(self._settings.data_dir)
        free = disk.f_bavail * disk.f_frsize
        if free < limits.min_free_bytes:
            return f"disk full: {free} bytes free, at least {limits.min_free_bytes} are left alone"
        return ""

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return
