"""Bytes that processes have sent and received through TCP, as `ss` (iproute2) tells of their open sockets.

Connections that were closed are not in it. A process in another network namespace is looked at from
there. Where there is no `ss`, nothing is known and nothing is guessed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_TIMEOUT_S = 5.0
_PID = re.compile(r"pid=(\d+)")
_SENT, _RECEIVED = re.compile(r"bytes_sent:(\d+)"), re.compile(r"bytes_received:(\d+)")


class SocketBytes(NamedTuple):
    """Totals over a process's open TCP sockets."""

    sent: int
    received: int


def socket_bytes(pids: Collection[int]) -> dict[int, SocketBytes]:
    """What is known of these processes."""
    ss = shutil.which("ss")
    if ss is None:
        return {}
    by_namespace: dict[str, list[int]] = defaultdict(list)
    for pid in pids:
        with suppress(OSError):
            by_namespace[str(Path(f"/proc/{pid}/ns/net").readlink())].append(pid)
    own = str(Path("/proc/self/ns/net").readlink())
    found: dict[int, SocketBytes] = {}
    for namespace, inside in by_namespace.items():
        enter = [] if namespace == own else ["nsenter", "-t", str(inside[0]), "-n"]
        found |= {
            pid: total
            for pid, total in read_sockets(_run([*enter, ss, "-tinpH"])).items()
            if pid in inside
        }
    return found


def read_sockets(text: str) -> dict[int, SocketBytes]:
    """Sums what `ss -tinpH` printed, by process; a socket's figures may be on the line below it."""
    totals: dict[int, SocketBytes] = {}
    sockets: list[str] = []
    for line in text.splitlines():
        if line[:1].isspace() and sockets:
            sockets[-1] += line
        else:
            sockets.append(line)
    for one in sockets:
        pid, sent, received = (pattern.search(one) for pattern in (_PID, _SENT, _RECEIVED))
        if pid is None:
            continue
        before = totals.get(int(pid[1]), SocketBytes(0, 0))
        totals[int(pid[1])] = SocketBytes(
            before.sent + (int(sent[1]) if sent else 0),
            before.received + (int(received[1]) if received else 0),
        )
    return totals


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
