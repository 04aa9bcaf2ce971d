"""Several microscope agents in one process, each the real one with an outbox and a connection of its own.

    python -m benchmarks.load.devices scope-1.toml scope-2.toml

For loads of many devices, where a process for each would measure the starting of processes. It ends
when all have captured and all is recorded.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from edge_device.agent import run_edge
from edge_device.settings import EdgeSettings
from service_runtime.log import configure_logging
from service_runtime.program import run_program
from service_runtime.settings import load_settings


async def run_devices(settings: list[EdgeSettings], stop: asyncio.Event) -> None:
    """Runs until `stop`, or until each camera is exhausted and all is recorded."""
    async with asyncio.TaskGroup() as group:
        for device in settings:
            group.create_task(run_edge(device, stop, exit_when_done=True), name=device.device)


def main(paths: list[str]) -> int:
    """Runs the agents of these settings files; the codes are those of `hemowire edge`."""
    settings = [load_settings(EdgeSettings, Path(path)) for path in paths]
    configure_logging(settings[0].log_level)

    async def run(stop: asyncio.Event) -> None:
        await run_devices(settings, stop)

    return run_program(run, name="devices")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
