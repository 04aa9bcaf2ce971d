"""What links of namespaces ask of this machine: may it make them, their devices, queues and counters; it opens none."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import struct
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

from benchmarks.links.datagrams import burst_bytes
from benchmarks.links.profile import Direction, LinkProfile

#: Namespaces of links: this, the process that made them, a number.
PREFIX = "hemowire-link-"
NETNS_FOLDER = Path("/run/netns")
_TUN = Path("/dev/net/tun")
_TUNSETIFF = 0x400454CA
_IFF_TUN_NO_PI = 0x1001


class LinkSetupError(Exception):
    """A step of making the link failed; the message has the command and what it said."""


def why_not() -> str:
    """What keeps this machine from making links this way; empty where nothing does."""
    if sys.platform != "linux":
        return "network namespaces need Linux"
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [name for name in ("ip", "tc") if shutil.which(name) is None]
    if missing:
        return f"{' and '.join(missing)} not found (Debian's package iproute2)"
    if not _TUN.exists():
        return f"no {_TUN}"
    return _try_out()


@cache
def _try_out() -> str:
    name = f"{PREFIX}{os.getpid()}-try"
    try:
        run("ip", "netns", "add", name)
        try:
            run("ip", "netns", "exec", name, "tc", "qdisc", "add", "dev", "lo", "root",
                 "tbf", "rate", "1mbit", "burst", "4000", "limit", "10000")  # fmt: skip
        finally:
            run("ip", "netns", "del", name)
    except LinkSetupError as error:
        return str(error)
    return ""


@cache
def kernel_has_netem() -> bool:
    """Whether this kernel delays and loses packets itself."""
    name = f"{PREFIX}{os.getpid()}-netem"
    run("ip", "netns", "add", name)
    try:
        run("ip", "netns", "exec", name, "tc", "qdisc", "add", "dev", "lo", "root", "netem")
    except LinkSetupError:
        return False
    finally:
        run("ip", "netns", "del", name)
    return True


def remove_leftovers() -> list[str]:
    """Removes namespaces of processes that are gone; their names."""
    removed = []
    if NETNS_FOLDER.is_dir():
        for name in sorted(path.name for path in NETNS_FOLDER.iterdir()):
            maker, _, _ = name.removeprefix(PREFIX).partition("-")
            is_ours = name.startswith(PREFIX) and maker.isdigit()
            if is_ours and not Path(f"/proc/{maker}").exists():
                with suppress(LinkSetupError):  # another one was faster
                    run("ip", "netns", "del", name)
                    removed.append(name)
    return removed


def qdisc(way: Direction, profile: LinkProfile, *, has_netem: bool) -> list[str]:
    """What `tc qdisc add dev X root` is told for a direction; empty where nothing is to be done."""
    rate = way.rate_bit_per_s
    if has_netem:
        parts = ["netem", "delay", f"{way.delay_ms:g}ms", "loss", f"{way.loss_percent:g}%"]
        if rate is not None:
            waiting_s = (profile.queue_ms + way.delay_ms) / 1000
            packets = max(10, int(rate / 8 * waiting_s / profile.mtu_bytes))
            parts += ["rate", f"{rate:.0f}bit", "limit", str(packets)]
        else:
            parts += ["limit", "100000"]
        return parts
    if rate is None:
        return []
    burst = burst_bytes(profile, rate)
    queue = max(int(rate / 8 * profile.queue_ms / 1000), 4 * profile.mtu_bytes)
    return ["tbf", "rate", f"{rate:.0f}bit", "burst", str(burst), "limit", str(queue + burst)]


def open_tun(name: str) -> int:
    """A new TUN device, as its descriptor; raises OSError where the name is taken."""
    descriptor = os.open(_TUN, os.O_RDWR | os.O_NONBLOCK)
    try:
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN_NO_PI))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def drops(exec_in: list[str], device: str) -> int:
    """Packets that a device's queue had no room for."""
    told = json.loads(run(*exec_in, "tc", "-s", "-j", "qdisc", "show", "dev", device))
    return sum(int(each.get("drops", 0)) for each in told)


def run(*command: str) -> str:
    """What the command printed; raises LinkSetupError."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LinkSetupError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
    return done.stdout
