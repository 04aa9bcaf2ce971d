"""A camera's driver on a thread of its own: opened, read, looked after and opened again; one that hangs is given up.

Drivers block: a read of an unplugged or confused camera may never come back, and Python cannot stop
a thread. So each asker waits no longer than a limit and then leaves that thread behind for good; if
its read ever returns, it closes its device and ends. The number left behind is bounded. In between
the thread looks whether the device is still there and, with growing pauses, opens it again.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from edge_device.cameras.shots import CameraError, Pixels
from service_runtime.log import get_log

T = TypeVar("T")
#: How often an idle device is looked at.
_LOOK_S = 2.0
#: Pauses between attempts to open a device again.
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 8.0
#: Threads that may hang at once; then only unplugging or a restart helps.
_MOST_HUNG = 3
_OPENING = "the camera is being opened"


class DeviceGoneError(Exception):
    """There is no picture now, in words for the operator; the device is opened again."""


class Device(Protocol):
    """A driver. All its methods belong to one thread and may block."""

    def open(self) -> None:
        """Raises DeviceGoneError where it is not there, CameraError where it gives not what was asked."""
        ...

    def frame(self, *, is_fresh: bool) -> Pixels:
        """The next frame; a fresh one was exposed after the call. Raises DeviceGoneError."""
        ...

    def preview(self) -> Pixels:
        """A small frame of now. Raises DeviceGoneError."""
        ...

    def look(self) -> None:
        """Raises DeviceGoneError where the device has gone."""
        ...

    def close(self) -> None:
        """Lets the device go; harmless when it is not open."""
        ...


@dataclass(slots=True)
class _Line:
    """One thread and its device. Given up, it is never asked again."""

    device: Device
    jobs: queue.SimpleQueue[tuple[Callable[[Device], object], Future[object]] | None]
    trouble: str = _OPENING
    #: A CameraError of the last attempt: this device gives not what was asked.
    refused: CameraError | None = None
    is_open: bool = False
    is_given_up: bool = False
    #: Monotonic time since which the driver has not answered.
    busy_since_s: float | None = None
    tried: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None


class DeviceThread:
    """Asks a device for things, each within `timeout_s`; `make` gives a new driver for a new thread."""

    def __init__(self, name: str, make: Callable[[], Device], timeout_s: float) -> None:
        self._name = name
        self._make = make
        self._timeout_s = timeout_s
        self._log = get_log("edge").bind(camera=name)
        self._hung: list[_Line] = []
        self._given_up_for = ""
        self._line = self._start()
        if self._line.tried.wait(timeout_s) and self._line.refused is not None:
            self.close()
            raise self._line.refused

    @property
    def trouble(self) -> str:
        """Why there is no picture now; any thread may ask."""
        line = self._line
        if line.is_given_up or line.trouble == _OPENING:
            return self._given_up_for or line.trouble
        if (hung_s := _busy_s(line)) > self._timeout_s:
            return f"the camera has not answered for {hung_s:.0f} s"
        return line.trouble

    def ask(self, job: Callable[[Device], T]) -> T:
        """What the job gives, on the device's thread; raises DeviceGoneError."""
        if self._line.is_given_up and not self._replace():
            raise DeviceGoneError(self.trouble)
        if _busy_s(self._line) > self._timeout_s:
            self._give_up(self._line)
        line, future = self._line, Future[object]()
        line.jobs.put((job, future))
        try:
            return future.result(self._timeout_s)  # type: ignore[return-value]  # the job's own result
        except TimeoutError:
            self._give_up(line)
            raise DeviceGoneError(self.trouble) from None

    def close(self) -> None:
        """Ends the thread; one that hangs is left behind."""
        line = self._line
        line.is_given_up = True
        line.jobs.put(None)
        if line.thread is not None:
            line.thread.join(self._timeout_s)

    def _give_up(self, line: _Line) -> None:
        line.is_given_up = True
        line.jobs.put(None)
        self._hung.append(line)
        self._given_up_for = f"the camera did not answer within {self._timeout_s:g} s"
        self._log.error("camera_thread_given_up", hung=len(self._hung), trouble=self._given_up_for)
        self._replace()

    def _replace(self) -> bool:
        """A new thread with a new driver, unless too many hang already."""
        self._hung = [line for line in self._hung if line.thread and line.thread.is_alive()]
        if len(self._hung) >= _MOST_HUNG:
            self._given_up_for = (
                f"the camera did not answer {len(self._hung)} times in a row:"
                " unplug it and plug it in again, or restart"
            )
            return False
        self._line = self._start()
        return True

    def _start(self) -> _Line:
        line = _Line(self._make(), queue.SimpleQueue())
        # A daemon: a read that never comes back must not keep the program from ending.
        line.thread = threading.Thread(
            target=self._run, args=(line,), name=f"camera {self._name}", daemon=True
        )
        line.thread.start()
        return line

    # --- on the device's thread -----------------------------------------------------------------

    def _run(self, line: _Line) -> None:
        pause_s, next_try_s = _FIRST_PAUSE_S, 0.0
        while not line.is_given_up:
            if not line.is_open and time.monotonic() >= next_try_s:
                line.is_open = self._do(line, lambda device: device.open(), None)
                line.tried.set()
                next_try_s = time.monotonic() + pause_s
                pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)
                continue
            wait_s = _LOOK_S if line.is_open else max(0.0, next_try_s - time.monotonic())
            try:
                item = line.jobs.get(timeout=wait_s)
            except queue.Empty:
                if line.is_open:
                    self._do(line, lambda device: device.look(), None)
                continue
            if item is None:
                break
            job, future = item
            if not line.is_open:
                future.set_exception(DeviceGoneError(line.trouble))
            elif self._do(line, job, future):
                pause_s = _FIRST_PAUSE_S
                self._given_up_for = ""
        line.device.close()

    def _do(
        self, line: _Line, job: Callable[[Device], object], future: Future[object] | None
    ) -> bool:
        """Whether it worked; where it did not, the device is closed and its trouble known."""
        line.busy_since_s = time.monotonic()
        trouble, result = "", None
        refused: CameraError | None = None
        error: Exception | None = None
        try:
            result = job(line.device)
        except CameraError as problem:
            trouble, refused, error = str(problem), problem, problem
        except DeviceGoneError as problem:
            trouble, error = str(problem), problem
        except Exception as problem:  # a driver's own errors have no common type
            trouble, error = f"{type(problem).__name__}: {problem}", problem
        line.busy_since_s = None
        line.refused = refused
        if trouble and not line.is_given_up:
            line.is_open = False
            line.device.close()
            if trouble != line.trouble:
                self._log.warning("camera_trouble", trouble=trouble)
        elif line.trouble and not trouble:
            self._log.info("camera_ready")
        line.trouble = trouble
        if future is not None:
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(DeviceGoneError(trouble))
        return not trouble


def _busy_s(line: _Line) -> float:
    """For how long the driver has not answered."""
    since = line.busy_since_s
    return 0.0 if since is None else time.monotonic() - since
