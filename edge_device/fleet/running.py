"""Runs the light devices of one process and says every few seconds, on one line of JSON, how far they are."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from typing import Final

import cv2
from pydantic import BaseModel, ConfigDict

from edge_device.fleet.light_device import LightDevice, total
from edge_device.fleet.pictures import render_pictures
from edge_device.fleet.settings import FleetSettings
from edge_device.outbox import Outbox
from service_runtime.boot import monotonic_s

REPORT_EVERY_S: Final = 0.5
#: Connections begin one after the other: a broker that is asked by all at once drops some.
_BETWEEN_STARTS_S: Final = 0.01


class FleetReport(BaseModel):
    """One line of a process about its devices."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    process: int
    devices: int
    connected: int
    captured: int
    recorded: int
    left_out: int
    sent_bytes: int
    busy: int
    #: Recorded images of each device, in the order of their numbers.
    recorded_each: tuple[int, ...]
    is_last: bool = False


async def run_devices(settings: FleetSettings, process: int, stop: asyncio.Event) -> None:
    """The devices of this process, until `stop` or until all that they capture is recorded."""
    cv2.setNumThreads(1)
    numbers = settings.share_of(process)
    pictures = await asyncio.to_thread(render_pictures, settings.images)
    with ExitStack() as outboxes:
        devices: list[LightDevice] = []
        async with asyncio.TaskGroup() as tasks:
            for number in numbers:
                told = settings.device(number)
                outbox = await asyncio.to_thread(Outbox, told.data_dir / "outbox")
                outboxes.callback(outbox.close)
                devices.append(LightDevice(number, told, outbox, pictures, tasks))
            begin_s = monotonic_s() + 1.0 + len(devices) * _BETWEEN_STARTS_S
            running = [
                tasks.create_task(
                    device.run(stop, begin_s + _turn_s(settings, number), settings.every_s)
                )
                for number, device in zip(numbers, devices, strict=True)
            ]
            telling = tasks.create_task(_tell(process, devices))
            await asyncio.gather(*running)
            telling.cancel()
        _say(process, devices, is_last=True)


def _turn_s(settings: FleetSettings, number: int) -> float:
    """By how much this device captures after the first one."""
    return 0.0 if settings.at_once else settings.every_s * (number - 1) / settings.devices


async def _tell(process: int, devices: Sequence[LightDevice]) -> None:
    with suppress(BrokenPipeError):
        while True:
            await asyncio.sleep(REPORT_EVERY_S)
            _say(process, devices)


def _say(process: int, devices: Sequence[LightDevice], *, is_last: bool = False) -> None:
    report = FleetReport(
        process=process,
        devices=len(devices),
        connected=sum(device.is_connected for device in devices),
        **asdict(total(devices)),
        recorded_each=tuple(device.counts.recorded for device in devices),
        is_last=is_last,
    )
    sys.stdout.write(report.model_dump_json() + "\n")
    sys.stdout.flush()
