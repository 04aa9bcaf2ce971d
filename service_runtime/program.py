"""Runs a program's main coroutine and turns its end into an exit code; it hides no other error.

0 ended as asked, 2 a configuration that cannot work, 3 our client id was taken over; an error of
a program's own may name another code as its `exit_code`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator

from service_runtime.heartbeat import heart_beats
from service_runtime.mqtt_types import FatalMqttError
from service_runtime.settings import SettingsError
from service_runtime.signals import stop_on_signals

OK = 0
WRONG_CONFIGURATION = 2
TAKEN_OVER = 3


def run_program(
    main: Callable[[asyncio.Event], Awaitable[None]],
    *,
    name: str = "",
    known: tuple[type[Exception], ...] = (),
) -> int:
    """Runs `main(stop)`; it returns after `stop` is set (SIGINT, SIGTERM) and its work is put away.

    SettingsError, FatalMqttError and the `known` errors of the program, alone or inside a
    TaskGroup's group, are printed behind `name` and become exit codes; anything else is a bug and
    is raised.
    """
    expected: tuple[type[Exception], ...] = (SettingsError, FatalMqttError, *known)

    async def with_signals() -> None:
        with stop_on_signals() as stop, heart_beats():
            await main(stop)

    try:
        asyncio.run(with_signals())
    except expected as error:
        return _told([error], name)
    except BaseExceptionGroup as group:
        leaves = list(_leaves(group))
        if not all(isinstance(error, expected) for error in leaves):
            raise
        return _told(leaves, name)
    return OK


def _told(errors: list[BaseException], name: str) -> int:
    """Prints each once; of several codes the highest counts."""
    for text in dict.fromkeys(str(error) for error in errors):
        sys.stderr.write(f"{name}: {text}\n" if name else f"{text}\n")
    return max(int(getattr(error, "exit_code", WRONG_CONFIGURATION)) for error in errors)


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
