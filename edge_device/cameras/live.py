"""A live camera over any driver: a picture of now when asked, a preview, trouble in words; it knows no driver.

Its own settings of the sequence decide how one picture is taken. What a driver refuses at the start
is a CameraError; later (another camera was plugged in) it is trouble, for the outbox must go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from edge_device.cameras.device_thread import Device, DeviceGoneError, DeviceThread
from edge_device.cameras.sequence import Focus, take_sequence
from edge_device.cameras.settings import Picamera2CameraSettings, V4l2CameraSettings
from edge_device.cameras.shots import Nothing, Pixels, Shot
from service_runtime.boot import new_id, wall_time
from service_runtime.log import get_log


class LiveCamera:
    """`name` is the camera's in sources and in the log."""

    def __init__(
        self,
        settings: V4l2CameraSettings | Picamera2CameraSettings,
        name: str,
        make: Callable[[], Device],
        focus: Focus,
    ) -> None:
        self.poll_s = 0.5
        self.is_live = True
        self._settings = settings
        self._name = name
        self._focus = focus
        self._taken = 0
        self._log = get_log("edge").bind(camera=name)
        self._device = DeviceThread(name, make, settings.timeout_s)

    @property
    def trouble(self) -> str:
        """Why there is no picture now; "" while all is well."""
        return self._device.trouble

    def take(self) -> Shot | Nothing:
        """A picture of now; YET while the camera is in trouble."""
        s = self._settings
        if s.count is not None and self._taken >= s.count:
            return Nothing.EVER
        over_s = time.monotonic() + s.settle_s
        is_first = True

        def next_frame() -> Pixels:
            nonlocal is_first
            is_fresh, is_first = is_first, False
            return self._device.ask(lambda device: device.frame(is_fresh=is_fresh))

        try:
            picture, sequence = take_sequence(
                next_frame,
                settle_frames=s.settle_frames,
                is_over=lambda: time.monotonic() >= over_s,
                burst=s.burst,
                focus=self._focus,
            )
        except DeviceGoneError:
            return Nothing.YET
        self._taken += 1
        if sequence is not None and not sequence.is_still:
            self._log.warning("taken_while_moving", waited_frames=sequence.waited_frames)
        # A picture of the world is never the same capture twice: its key is its own.
        return Shot(
            f"{self._name} {wall_time()}", f"{self._name}:{new_id()}", picture, sequence=sequence
        )

    def preview(self) -> Pixels | None:
        """A small picture of now; None while the camera is in trouble."""
        try:
            return self._device.ask(lambda device: device.preview())
        except DeviceGoneError:
            return None

    def close(self) -> None:
        """Lets the camera go."""
        self._device.close()
