"""A link as a network namespace behind two TUN devices: real packets and real TCP; needs root on Linux.

        programs behind the link              this machine
    [ namespace: hwlNNf, tbf (up) ] <-> forwarder <-> [ hwlNNn, tbf (down) ]

`tbf` keeps the rates, `forwarder` delays, loses and cuts; where the kernel has netem, it does the
delays and losses in their place. Everything goes with the link: devices end with the forwarder's
process, and namespaces that a killed process left behind are removed by the next one by their name.
(Over 250 lines: from the first device to the last counter it is one object's life.)
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from benchmarks.links.datagrams import measure_datagrams
from benchmarks.links.kernel import (
    NETNS_FOLDER,
    PREFIX,
    LinkSetupError,
    drops,
    kernel_has_netem,
    open_tun,
    qdisc,
    remove_leftovers,
    run,
)
from benchmarks.links.link import Address, Implementation, LinkCounters, LinkReport, Measured, Way
from benchmarks.links.profile import LinkProfile

_CLONE_NEWNET = 0x40000000
#: Pairs of addresses are of 10.213.0.0/16, four apart.
_MOST_LINKS = 16_384
_ERROR_MS = 2.0
_numbers = count(1)


class NamespaceLink:
    """The link; made by `open_namespace`."""

    def __init__(self, profile: LinkProfile) -> None:
        self._profile = profile
        self.name = f"{PREFIX}{os.getpid()}-{next(_numbers)}"
        self._near_ip = self._far_ip = self._near_device = self._far_device = ""
        self._has_netem = kernel_has_netem()
        self._process: subprocess.Popen[str] | None = None
        self._measured: Measured | None = None
        self._before = LinkCounters(0, 0, 0, 0)
        self._address = Address("", 0)
        self._lock = threading.Lock()

    # --- what every link offers ---------------------------------------------------------------

    @property
    def profile(self) -> LinkProfile:
        """What was asked for."""
        return self._profile

    @property
    def host(self) -> str:
        """Where a program in the namespace finds the target."""
        return self._address.host

    @property
    def port(self) -> int:
        """Its port there."""
        return self._address.port

    @property
    def inside_host(self) -> str:
        """The namespace's own address."""
        return self._far_ip

    def forward(self, target_host: str, target_port: int) -> Address:
        """Where a program in the namespace finds another server."""
        told = self._ask({"do": "forward", "host": target_host, "port": target_port})
        return Address(self._near_ip, int(str(told["port"])))

    def expose(self, port: int) -> Address:
        """Where this machine finds a server in the namespace."""
        return Address(self._far_ip, port)

    def command_prefix(self) -> list[str]:
        """Runs a program in the namespace."""
        return ["ip", "netns", "exec", self.name]

    def describe(self) -> LinkReport:
        """Which link this is and what it measured of itself."""
        shaping = (
            "netem for rate, delay and loss"
            if self._has_netem
            else "tbf for the rate, a userspace forwarder for delay and loss"
        )
        return LinkReport(
            profile=self._profile,
            implementation=Implementation.NAMESPACES,
            how=f"network namespace and TUN devices, {shaping}",
            measured=self._measured,
        )

    def counters(self) -> LinkCounters:
        """IP bytes and packets."""
        now, before = self._count(), self._before
        return LinkCounters(
            now.bytes_up - before.bytes_up,
            now.bytes_down - before.bytes_down,
            now.packets_lost - before.packets_lost,
            now.packets_overflowed - before.packets_overflowed,
        )

    def cut(self, way: Way = Way.BOTH) -> None:
        """From now on every packet that way is lost."""
        ways = [Way.UP, Way.DOWN] if way is Way.BOTH else [way]
        self._ask({"do": "cut", "ways": ways, "is_cut": True})

    def restore(self) -> None:
        """Packets pass again; TCP finds out when it next tries."""
        self._ask({"do": "cut", "ways": [Way.UP, Way.DOWN], "is_cut": False})

    # --- life, for open_namespace -------------------------------------------------------------

    def open(self, target: Address, *, check: bool) -> None:
        """Makes namespace, devices and forwarder, and measures the link."""
        run("ip", "netns", "add", self.name)
        self._exec("sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6 || true")
        near, far = self._make_devices()
        try:
            self._shape()
            self._start_forwarder(near, far)
        finally:
            os.close(near)
            os.close(far)
        if check:
            # A machine that is busy at that moment blurs the figures: the link gets three chances.
            for _ in range(3):
                with self._datagram_socket() as inside, _bound(self._near_ip) as outside:
                    self._measured = measure_datagrams(
                        inside, outside, self._profile, implementation_error_ms=_ERROR_MS
                    )
                if not self._measured.problems:
                    break
        self._address = self.forward(*target)
        self._before = self._count()
        if self._profile.outages is not None:
            self._ask({"do": "outages", **self._profile.outages.model_dump()})

    def close(self) -> None:
        """Ends the forwarder, with it the devices, and removes the namespace."""
        if self._process is not None:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.close()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process.stdout.close()
        with suppress(LinkSetupError):
            run("ip", "netns", "del", self.name)

    # --- inside -------------------------------------------------------------------------------

    def _make_devices(self) -> tuple[int, int]:
        for number in range(os.getpid() % 512, _MOST_LINKS):
            self._near_device, self._far_device = f"hwl{number}n", f"hwl{number}f"
            try:
                near = open_tun(self._near_device)
            except OSError:
                continue  # another link's
            far = open_tun(self._far_device)
            base = f"10.213.{number >> 6}"
            self._near_ip, self._far_ip = (
                f"{base}.{(number & 63) * 4 + 1}",
                f"{base}.{(number & 63) * 4 + 2}",
            )
            break
        else:
            raise LinkSetupError(f"all {_MOST_LINKS} links are taken")
        mtu = str(self._profile.mtu_bytes)
        with suppress(OSError):  # a kernel without IPv6
            Path(f"/proc/sys/net/ipv6/conf/{self._near_device}/disable_ipv6").write_text("1")
        run("ip", "link", "set", self._far_device, "netns", self.name)
        for where, device, own, other in (
            (["ip"], self._near_device, self._near_ip, self._far_ip),
            (["ip", "-n", self.name], self._far_device, self._far_ip, self._near_ip),
        ):
            run(*where, "addr", "add", own, "peer", other, "dev", device)
            run(*where, "link", "set", device, "mtu", mtu, "up")
        run("ip", "-n", self.name, "link", "set", "lo", "up")
        return near, far

    def _shape(self) -> None:
        for exec_in, device, way in (
            (["ip", "netns", "exec", self.name], self._far_device, self._profile.up),
            ([], self._near_device, self._profile.down),
        ):
            discipline = qdisc(way, self._profile, has_netem=self._has_netem)
            if discipline:
                run(*exec_in, "tc", "qdisc", "add", "dev", device, "root", *discipline)

    def _start_forwarder(self, near: int, far: int) -> None:
        told: dict[str, object] = {
            "near_fd": near,
            "far_fd": far,
            "address": self._near_ip,
            "device": self._near_device,
        }
        for name, way in (("up", self._profile.up), ("down", self._profile.down)):
            told[name] = {
                "delay_s": 0.0 if self._has_netem else way.delay_ms / 1000,
                "loss": 0.0 if self._has_netem else way.loss_percent / 100,
            }
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).with_name("forwarder.py")), json.dumps(told)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(near, far),
            text=True,
            start_new_session=True,
        )

    def _ask(self, command: dict[str, object]) -> dict[str, object]:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        with self._lock:
            try:
                process.stdin.write(json.dumps(command) + "\n")
                process.stdin.flush()
                line = process.stdout.readline()
            except OSError:
                line = ""
        if not line:
            raise LinkSetupError(f"{self.name}: its forwarder has ended")
        told: dict[str, object] = json.loads(line)
        return told

    def _count(self) -> LinkCounters:
        told = self._ask({"do": "count"})
        up, down = told["up"], told["down"]
        assert isinstance(up, list)
        assert isinstance(down, list)
        dropped = drops([], self._near_device) + drops(self.command_prefix(), self._far_device)
        return LinkCounters(up[0], down[0], up[1] + down[1], up[2] + down[2] + dropped)

    def _exec(self, *command: str) -> None:
        run(*self.command_prefix(), *command)

    def _datagram_socket(self) -> socket.socket:
        """A UDP socket of the namespace: only the thread that makes it has to be there."""
        made: list[socket.socket] = []
        failed: list[OSError] = []

        def make() -> None:
            try:
                with (NETNS_FOLDER / self.name).open("rb") as namespace:
                    libc = ctypes.CDLL(None, use_errno=True)
                    if libc.setns(namespace.fileno(), _CLONE_NEWNET) != 0:
                        raise OSError(ctypes.get_errno(), "setns")
                made.append(_bound(self._far_ip))
            except OSError as error:
                failed.append(error)

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        if failed:
            raise LinkSetupError(f"{self.name}: no socket inside: {failed[0]}")
        return made[0]


@contextmanager
def open_namespace(
    profile: LinkProfile, target_host: str, target_port: int, *, check: bool
) -> Iterator[NamespaceLink]:
    """The link from its making to its removal; raises LinkSetupError."""
    remove_leftovers()
    link = NamespaceLink(profile)
    try:
        link.open(Address(target_host, target_port), check=check)
        yield link
    finally:
        link.close()


def _bound(host: str) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((host, 0))
    return made
