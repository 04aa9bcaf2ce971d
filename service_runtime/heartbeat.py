"""Signs of life of a program in a container, and the check of them; it starts and ends nothing.

    python -m service_runtime.heartbeat --port 1883

The program's loop writes its clock into the file that HEMOWIRE_HEARTBEAT names. The check, in the
same container, wants that file fresh and a TCP connection to the broker's port: a frozen loop
keeps its connection for a while, and a loop that turns may have none. Clocks are monotonic, so a
step of the wall clock makes nobody ill.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

#: The environment variable with the file's path; without it nothing is written.
VARIABLE = "HEMOWIRE_HEARTBEAT"
EVERY_S = 2.0
#: A worker that compiles its model, or a disk that syncs, may hold a loop for some seconds.
STALE_S = 20.0
_PROC_NET = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_ESTABLISHED = "01"


@contextmanager
def heart_beats(environ: Mapping[str, str] = os.environ) -> Iterator[None]:
    """Within this block the running loop writes the file; its end takes the file away."""
    named = environ.get(VARIABLE)
    if not named:
        yield
        return
    path = Path(named)
    beating = asyncio.get_running_loop().create_task(_beat(path), name="heartbeat")
    try:
        yield
    finally:
        beating.cancel()
        with suppress(OSError):
            path.unlink(missing_ok=True)


async def _beat(path: Path) -> None:
    while True:
        with suppress(OSError):  # no file is no sign of life, which is what the check then says
            _write(path)
        await asyncio.sleep(EVERY_S)


def _write(path: Path) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(f"{time.monotonic()}\n", encoding="ascii")
    part.replace(path)


def illness(path: Path, port: int, proc_net: Sequence[Path] = _PROC_NET) -> str | None:
    """What is wrong with the program, in a sentence; None where it is well."""
    try:
        age_s = time.monotonic() - float(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return f"no sign of life: {path} is not there or not whole"
    if not 0 <= age_s <= STALE_S:
        return f"the last sign of life is {age_s:.0f} s old; {STALE_S:.0f} s are allowed"
    if not any(_has_connection(table, port) for table in proc_net):
        return f"no connection to the broker's port {port}"
    return None


def _has_connection(table: Path, port: int) -> bool:
    """Whether the kernel's table of this network namespace has one to `port` of someone else."""
    try:
        lines = table.read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return False
    rows = [line.split() for line in lines]
    return any(
        row[3] == _ESTABLISHED and int(row[2].rpartition(":")[2], 16) == port for row in rows
    )


def main(arguments: Sequence[str]) -> int:
    """0 where all is well; 1 with a sentence, which `docker inspect` shows."""
    path, port = os.environ.get(VARIABLE, ""), arguments[1:] or ["1883"]
    if not path or arguments[:1] not in ([], ["--port"]) or not port[0].isdigit():
        sys.stderr.write(f"usage: {VARIABLE}=FILE python -m service_runtime.heartbeat [--port N]\n")
        return 2
    wrong = illness(Path(path), int(port[0]))
    if wrong is not None:
        sys.stderr.write(f"{wrong}\n")
    return 0 if wrong is None else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
