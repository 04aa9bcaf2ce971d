"""Offer to stored over loopback against one QoS 1 message per image; it diagnoses nothing.

    python -m benchmarks.handoff --disk DIR --out benchmarks/results/handoff.md

All ways use the same running Mosquitto with the shipped configuration, and take turns in each
round, so that what else the machine does hits all. hemowire: from the outbox on disk to `Stored` at
the device, every digest checked and every archive put durable. One message: paho, bare (from memory
to the subscriber's callback) and with the same duties; see `handoff_plain`. DIR is on the disk to be
measured; the archive is also measured on tmpfs. (Over 250 lines: rounds, table and verdicts of one
comparison.)
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.handoff_hemowire import DEVICE, SITE, Round, device_process, worker_process
from benchmarks.handoff_plain import DEVICE as PLAIN_DEVICE
from benchmarks.handoff_plain import Sent, publisher_process, subscriber_process
from benchmarks.process_facts import look_at
from broker_config.local import WORKER, LocalBroker, edge_username
from wire_protocol.words import RESEARCH_USE_ONLY

FIELD_BYTES, CELL_BYTES = 850_000, 22_000
_SPAWN = multiprocessing.get_context("spawn")
TMPFS = Path("/dev/shm")
BARE, CAREFUL = "one QoS 1 message, bare", "one QoS 1 message, same duties"


@dataclass(frozen=True, slots=True)
class Case:
    """What one table line measures."""

    name: str
    size: int
    images: int
    #: Images that are given to the sender at once, 0 for all; and plain messages on their way.
    at_once: int
    window: int


CASES = (
    Case("0.85 MB, all queued", FIELD_BYTES, 60, 0, 4),
    Case("0.85 MB, one at a time", FIELD_BYTES, 40, 1, 1),
    Case("22 KB, one at a time", CELL_BYTES, 100, 1, 1),
    Case("22 KB, all queued", CELL_BYTES, 300, 0, 20),
)


@dataclass(slots=True)
class Bench:
    """The processes, and what asks them."""

    broker: LocalBroker
    ends: dict[str, Connection] = field(default_factory=dict)

    def ask(self, end: str, *order: object) -> Any:
        """Sends one order and waits for its answer."""
        self.ends[end].send(order)
        return self.ends[end].recv()

    def hemowire(self, case: Case, archive: Path) -> Measured:
        """One round through outbox, Sender, Receiver and archive."""
        archive.mkdir()
        self.ask("worker", "archive", archive)
        self.ask("device", "fill", case.images, case.size)
        worker_s, broker_s = self.ask("worker", "cpu"), self._broker_cpu_s()
        sent: Round = self.ask("device", "send", case.at_once)
        worker_s, broker_s = self.ask("worker", "cpu") - worker_s, self._broker_cpu_s() - broker_s
        self.ask("worker", "forget", archive)
        return Measured.of(case, sent, worker_s, broker_s)

    def plain(self, case: Case, archive: Path | None) -> Measured:
        """One round of single messages: bare, or with the same duties where there is an archive."""
        self.ask("publisher", "fill", case.images, case.size)
        self.ask("subscriber", "take", case.images, archive)
        broker_s = self._broker_cpu_s()
        order = "bare" if archive is None else "careful"
        started: Sent
        started, ended_ns = self.ask("publisher", order, case.window)
        taken: Sent = self.ends["subscriber"].recv()
        broker_s = self._broker_cpu_s() - broker_s
        if archive is None:
            ended_ns = taken.at_ns
        else:
            shutil.rmtree(archive)
        elapsed_s = (max(ended_ns.values()) - min(started.at_ns.values())) / 1e9
        latencies = tuple((ended_ns[name] - at) / 1e9 for name, at in started.at_ns.items())
        return Measured.of(case, Round(elapsed_s, latencies, started.cpu_s), taken.cpu_s, broker_s)

    def _broker_cpu_s(self) -> float:
        assert self.broker.process.pid is not None, "the broker runs"
        return look_at(self.broker.process.pid).cpu_s


@dataclass(frozen=True, slots=True)
class Measured:
    """One round."""

    mb_per_s: float
    p50_ms: float
    p95_ms: float
    #: Of sender, broker and receiver, per image.
    cpu_ms: tuple[float, float, float]

    @classmethod
    def of(cls, case: Case, sent: Round, receiver_s: float, broker_s: float) -> Measured:
        """Per image, from what the ends counted."""
        ordered = sorted(sent.latencies_s)
        p95 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
        cpu = tuple(1000 * s / case.images for s in (sent.cpu_s, broker_s, receiver_s))
        return cls(
            mb_per_s=case.size * case.images / sent.elapsed_s / 1e6,
            p50_ms=1000 * statistics.median(ordered),
            p95_ms=1000 * p95,
            cpu_ms=(cpu[0], cpu[1], cpu[2]),
        )


@contextmanager
def bench(folder: Path, *, bbr: bool) -> Iterator[Bench]:
    """Broker and all four ends, ended and waited for."""
    with ExitStack() as stack:
        broker = stack.enter_context(
            LocalBroker(folder / "broker", site=SITE, devices=[DEVICE, PLAIN_DEVICE])
        )
        device, worker = broker.settings(edge_username(DEVICE)), broker.settings(WORKER)
        plain = broker.settings(edge_username(PLAIN_DEVICE))
        built = Bench(broker)
        arrived = _SPAWN.Semaphore(0)
        for name, target, arguments in (
            ("subscriber", subscriber_process, (worker, arrived)),
            ("publisher", publisher_process, (plain, folder / "plain", arrived)),
            ("worker", worker_process, (worker,)),
            ("device", device_process, (device, folder / "device", bbr)),
        ):
            ours, theirs = _SPAWN.Pipe()
            process = _SPAWN.Process(target=target, args=(theirs, *arguments), name=name)
            process.start()
            theirs.close()
            built.ends[name] = ours
            stack.callback(process.join, 10)
            stack.callback(partial(_end, ours))
            if ours.recv() != "ready":
                raise RuntimeError(f"{name} did not start")
        yield built


def _end(pipe: Connection) -> None:
    with suppress(OSError):  # it ended by itself, and said why
        pipe.send(("end",))


def measure(
    bench: Bench, case: Case, places: dict[str, Path], rounds: int
) -> dict[str, list[Measured]]:
    """Each way in turn, `rounds` times after one that does not count."""
    ways: dict[str, Callable[[Path], Measured]] = {
        BARE: lambda _archive: bench.plain(case, None),
    }
    for place in places:
        ways[f"{CAREFUL}, archive on {place}"] = lambda archive: bench.plain(case, archive)
        ways[f"hemowire, archive on {place}"] = lambda archive: bench.hemowire(case, archive)
    found: dict[str, list[Measured]] = {way: [] for way in ways}
    for number in range(rounds + 1):
        for way, run in ways.items():
            folder = places.get(way.rpartition(" ")[2], Path())
            measured = run(folder / f"archive-{number}")
            if number:
                found[way].append(measured)
        print(".", end="", file=sys.stderr, flush=True)
    print(f" {case.name}, window {case.window}", file=sys.stderr)
    return found


def lines(case: Case, found: dict[str, list[Measured]]) -> Iterator[str]:
    """The table's lines of one case: medians over rounds, comparisons within each round."""
    middle = statistics.median
    for way, results in found.items():
        rate = middle(r.mb_per_s for r in results)
        cpu = " | ".join(f"{middle(r.cpu_ms[i] for r in results):.2f}" for i in range(3))
        yield (
            f"| {case.name} | {way} | {rate:.0f} | {1e6 * rate / case.size:.0f} |"
            f" {_against(results, found[BARE])} |"
            f" {_against(results, found.get(way.replace('hemowire', CAREFUL), []))} |"
            f" {middle(r.p50_ms for r in results):.2f} | {middle(r.p95_ms for r in results):.2f} |"
            f" {middle(r.p50_ms - p.p50_ms for r, p in zip(results, found[BARE], strict=True)):+.2f}"
            f" | {cpu} |"
        )


def _against(results: list[Measured], other: list[Measured]) -> str:
    if not other or other is results:
        return ""
    ratios = (r.mb_per_s / o.mb_per_s for r, o in zip(results, other, strict=True))
    return f"{statistics.median(ratios):.2f}"


def report(found: dict[Case, dict[str, list[Measured]]], rounds: int) -> str:
    """The page."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    head = [
        "# Offer to stored, against one QoS 1 message per image",
        "",
        "    python -m benchmarks.handoff --disk DIR --out benchmarks/results/handoff.md",
        "",
        f"At {commit}, on {platform.machine()} with {os.cpu_count()} cores, Python"
        f" {platform.python_version()}; medians of {rounds} rounds, the ways in turn in each."
        f" {RESEARCH_USE_ONLY}",
        "",
        "Bare: paho, from memory to the subscriber's callback; nothing is read, checked or stored."
        " The same duties: the sender reads a file and checks its digest, the receiver checks it"
        " again, puts it into the same archive durably, and answers. hemowire: outbox on disk, to"
        " `Stored` at the device. Times in ms; ratios and differences are taken within each round,"
        " then their median. CPU is per image.",
        "",
        "| | way | MB/s | images/s | x bare | x same duties | p50 | p95 | p50 over bare |"
        " CPU sender | broker | receiver |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    body = [line for case, results in found.items() for line in lines(case, results)]
    return "\n".join([*head, *body, ""])


def main() -> None:
    """Measures and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--disk", type=Path, required=True, help="a folder on a real disk")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--case", default="", help="only cases whose name begins so")
    parser.add_argument("--places", default="tmpfs,disk")
    parser.add_argument("--window", type=int, help="plain messages on their way, to try others")
    parser.add_argument("--no-bbr", dest="bbr", action="store_false")
    settings = parser.parse_args()
    found = {}
    with ExitStack() as stack:
        disk = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=settings.disk)))
        tmpfs = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=TMPFS)))
        known = {"tmpfs": tmpfs, "disk": disk}
        places = {name: known[name] for name in settings.places.split(",") if name}
        built = stack.enter_context(bench(disk, bbr=settings.bbr))
        chosen = [case for case in CASES if case.name.startswith(settings.case)]
        if settings.window:
            chosen = [replace(case, window=settings.window) for case in chosen]
        for case in chosen:
            found[case] = measure(built, case, places, settings.rounds)
    page = report(found, settings.rounds)
    print(page)
    if settings.out is not None:
        settings.out.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
