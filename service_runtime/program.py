"""Runs a program's main coroutine and turns its end into an exit code; it hides no other error.

0 ended as asked, 2 a configuration that cannot work, 3 our client id was taken over.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator

from service_runtime.mqtt_types import FatalMqttError
from service_runtime.settings import SettingsError
from service_runtime.signals import stop_on_signals

OK = 0
WRONG_CONFIGURATION = 2
TAKEN_OVER = 3


def run_program(main: Callable[[asyncio.Event], Awaitable[None]]) -> int:
    """Runs `main(stop)`; it returns after `stop` is set (SIGINT, SIGTERM) and its work is put away.

    SettingsError and FatalMqttError, alone or inside a TaskGroup's group, are printed and become
    exit codes; anything else is a bug and is raised.
    """

    async def with_signals() -> None:
        with stop_on_signals() as stop:
            await main(stop)

    try:
        asyncio.run(with_signals())
    except (SettingsError, FatalMqttError) as error:
        return _told(error)
    except BaseExceptionGroup as group:
        leaves = list(_leaves(group))
        expected = [e for e in leaves if isinstance(e, SettingsError | FatalMqttError)]
        if len(expected) != len(leaves):
            raise
        return _told(expected[0])
    return OK


def _told(error: SettingsError | FatalMqttError) -> int:
    sys.stderr.write(f"{error}\n")
    return error.exit_code if isinstance(error, FatalMqttError) else WRONG_CONFIGURATION


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
