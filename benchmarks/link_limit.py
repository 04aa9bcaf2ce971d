"""How near to a link's physical limit an image arrives, against one QoS 1 message through the same link.

    python -m benchmarks.link_limit --out benchmarks/results/link_limit.md

Times are from the sender's having the bytes to their lying in the archive, durably (temporary file,
fsync, rename, fsync of the folder), of real programs through a real Mosquitto. The limit is
arithmetic: wire bytes (TCP/IP headers included) at the link's rate, one-way delays, and with both
ends behind links one chunk on the second hop; no round trip is granted for offer and claim.
(A few lines over 250: one experiment from its site to its page; `bad_links` builds on its site.)
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.baselines.baseline import Completion, Method, Site
from benchmarks.baselines.running import allow_large_packets, open_baseline
from benchmarks.links import LinkProfile, LinkUnavailableError, find_profile, open_link
from benchmarks.links.link import Implementation, LinkReport
from benchmarks.links.profile import LOOPBACK, UnknownProfileError
from broker_config.local import WORKER, LocalBroker, edge_username
from wire_protocol.machine_settings import SenderSettings
from wire_protocol.words import RESEARCH_USE_ONLY

DEVICE = "scope-1"
CHUNK_BYTES = SenderSettings().chunk_max_bytes
#: The targets, of images of this size: so much of the limit, and over two links so much faster than
#: one message.
TARGET_BYTES = 4 * 1024 * 1024
MOST_OVER_LIMIT = 1.10
LEAST_FASTER = 1.6


@dataclass(frozen=True, slots=True)
class Case:
    """One link at one or both ends."""

    profile: LinkProfile
    both_ends: bool
    size_bytes: int

    @property
    def ends(self) -> str:
        """Which ends are shaped, in words."""
        return "device and worker" if self.both_ends else "device only"

    @property
    def limit_s(self) -> float:
        """What no software could beat."""
        first = self.profile.transfer_s(self.size_bytes, self.profile.up)
        if not self.both_ends:
            return first
        return first + self.profile.transfer_s(min(CHUNK_BYTES, self.size_bytes), self.profile.down)


@dataclass(slots=True)
class Found:
    """What one way took: the first image of each connection, and the others."""

    first_s: list[float]
    later_s: list[float]
    sent_share: list[float]


@contextmanager
def a_site(
    case: Case, folder: Path, implementation: Implementation | None
) -> Iterator[tuple[Site, list[LinkReport]]]:
    """A broker and the case's links around it."""
    broker = LocalBroker(folder / "broker", devices=[DEVICE])
    allow_large_packets(broker.process.rendered)
    with broker, ExitStack() as stack:
        device_link = stack.enter_context(
            open_link(case.profile, "127.0.0.1", broker.port, implementation=implementation)
        )
        worker_profile = case.profile if case.both_ends else LOOPBACK
        worker_link = stack.enter_context(
            open_link(
                worker_profile,
                "127.0.0.1",
                broker.port,
                implementation=implementation if case.both_ends else None,
            )
        )
        site = Site(
            edge=broker.settings(edge_username(DEVICE)),
            worker=broker.settings(WORKER),
            device_link=device_link,
            worker_link=worker_link,
            folder=folder / "archive",
            device=DEVICE,
        )
        yield site, [device_link.describe(), worker_link.describe()]


async def measure(
    site: Site,
    methods: Sequence[Method],
    case: Case,
    repeats: int,
    images: int,
    *,
    congestion: str | None = None,
) -> dict[Method, Found]:
    """Every way in turn, again and again, each time with new connections."""
    found = {method: Found([], [], []) for method in methods}
    patience_s = 20 * case.limit_s + 60
    for _ in range(repeats):
        for method in methods:
            async with open_baseline(method, replace(site, congestion=congestion)) as running:
                done = await running.send(
                    [os.urandom(case.size_bytes) for _ in range(images)], patience_s
                )
            _note(found[method], done)
    return found


def _note(found: Found, done: Sequence[Completion]) -> None:
    for number, completion in enumerate(done):
        if completion.failure:
            raise RuntimeError(f"an image did not arrive: {completion.failure}")
        (found.later_s if number else found.first_s).append(completion.to_stored_s)
        found.sent_share.append(completion.sent_bytes / completion.size_bytes)


def table(case: Case, found: dict[Method, Found]) -> list[str]:
    """The case's rows: medians, their share of the limit, and how much faster than one message."""
    single = found.get(Method.SINGLE)
    rows = []
    for method, times in found.items():
        later = _typical_s(times)
        first = statistics.median(times.first_s)
        spread = (
            f"{min(times.later_s or times.first_s):.3f}-{max(times.later_s or times.first_s):.3f}"
        )
        faster = ""
        if single is not None:
            faster = f"{_typical_s(single) / later:.2f}"
        rows.append(
            f"| {case.profile.title} | {case.ends} | {case.size_bytes / 1024:.0f} KiB | {method} "
            f"| {case.limit_s:.3f} | {first:.3f} | {later:.3f} | {spread} "
            f"| {later / case.limit_s:.3f} | {faster} | {statistics.median(times.sent_share):.2f} |"
        )
    return rows


def judged(case: Case, found: dict[Method, Found]) -> list[str]:
    """The targets of 4 MiB images, each with what was measured; nothing for other cases."""
    if Method.HEMOWIRE not in found or case.size_bytes != TARGET_BYTES or case.profile.loses:
        return []
    where = f"{case.profile.title}, {case.ends}"
    ours = _typical_s(found[Method.HEMOWIRE])
    over = ours / case.limit_s
    lines = [_verdict(f"{where}: of the limit", over, "at most", MOST_OVER_LIMIT)]
    if case.both_ends and Method.SINGLE in found:
        faster = _typical_s(found[Method.SINGLE]) / ours
        lines.append(
            _verdict(f"{where}: faster than one message", faster, "at least", LEAST_FASTER)
        )
    return lines


def _verdict(text: str, measured: float, direction: str, limit: float) -> str:
    met = measured <= limit if direction == "at most" else measured >= limit
    return f"- {text}: {measured:.3f}, {direction} {limit:g}: {'met' if met else 'missed'}"


def _typical_s(found: Found) -> float:
    return statistics.median(found.later_s or found.first_s)


HEAD = (
    "| link | shaped ends | image | way | limit s | first s | later s | range s | later / limit "
    "| one message / this | bytes sent / image |\n|" + "---|" * 11
)


def main() -> None:
    """Measures the cases and writes the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path)
    parser.add_argument("--profile", nargs="+", default=["10mbit"])
    parser.add_argument("--size", nargs="+", type=int, default=[TARGET_BYTES], help="bytes")
    parser.add_argument(
        "--methods", nargs="+", type=Method, default=[Method.HEMOWIRE, Method.SINGLE]
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--images", type=int, default=3, help="on each connection")
    parser.add_argument("--ends", choices=["device", "both", "each"], default="each")
    parser.add_argument("--implementation", type=Implementation, choices=list(Implementation))
    parser.add_argument("--congestion", help="TCP's, on the sender's socket; else the usual")
    args = parser.parse_args()
    try:
        text = report(args)
    except (LinkUnavailableError, UnknownProfileError) as problem:
        parser.error(str(problem))
    if args.out:
        args.out.write_text(text, encoding="utf-8")
    else:
        print(text)


def report(args: argparse.Namespace) -> str:
    """Measures every case and says so as it goes; the text of the report."""
    lines, links, verdicts = [HEAD], [], []
    for name in args.profile:
        for both in {"device": [False], "both": [True], "each": [False, True]}[args.ends]:
            with tempfile.TemporaryDirectory(prefix="hemowire-links-") as folder:
                first = Case(find_profile(name), both, args.size[0])
                with a_site(first, Path(folder), args.implementation) as (site, reports):
                    links += [
                        f"- {first.ends}, {end}: {link.text()}"
                        for end, link in zip(("device", "worker"), reports, strict=True)
                    ]
                    for size in args.size:
                        case = Case(first.profile, both, size)
                        ways, repeats, images = args.methods, args.repeats, args.images
                        found = asyncio.run(
                            measure(site, ways, case, repeats, images, congestion=args.congestion)
                        )
                        rows = table(case, found)
                        print("\n".join(rows), flush=True)
                        lines += rows
                        verdicts += judged(case, found)
    return "\n".join(
        [
            "# An image over a link, against the link's limit",
            "",
            f"{RESEARCH_USE_ONLY} `python -m benchmarks.link_limit` on {platform.machine()}, "
            f"{os.cpu_count()} cores, Linux {platform.release()}; medians of {args.repeats} "
            f"connections of {args.images} images for each way, in turn; "
            f"{args.congestion or 'bbr'} on the sender's socket"
            f"{'.' if args.congestion else ', which hemowire leaves while nothing is lost.'}",
            "",
            *lines,
            "",
            *verdicts,
            "",
            "Times are from the sender's having the bytes to their lying in the archive, fsyncs",
            "included. `first` is the first image of a connection, of a sender that does not know the",
            "link yet; `later` the ones after it. http has no broker in between: its bytes go from",
            "link to link as they come, so the chunk on the second hop is no limit of it.",
            "",
            "The links, each with what it measured of itself when it was opened:",
            "",
            *links,
            "",
        ]
    )


if __name__ == "__main__":
    main()
