"""From a diagnosis published to it standing on `hemowire watch`'s screen, over loopback; it classifies nothing.

    python -m benchmarks.published_to_shown --out benchmarks/results/published_to_shown.md

The real terminal program runs in a pseudo terminal (160 x 50, read as fast as it writes) or writes
lines into a pipe; diagnoses are published with the worker's account at random moments (Poisson), and
both programs' trace fragments are joined. Forms and rates take turns in each round. (Over 250 lines:
the terminal, the arrivals and the join of one measurement.)
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import pty
import random
import statistics
import sys
import tempfile
import termios
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from benchmarks.load.machine import describe_machine
from broker_config.local import ENGINEER, HEMATOLOGIST, WORKER, LocalBroker
from service_runtime.boot import monotonic_ns, new_id
from service_runtime.log import configure_logging
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import NO_SUBSCRIBERS, Connected, Message, Subscription
from service_runtime.session_roles import observer_session
from service_runtime.trace_fragments import fragment_of
from wire_protocol.json_messages import Diagnosis, TraceFragment, Urgency
from wire_protocol.topics import Kind, Topics
from wire_protocol.trace import Stage
from wire_protocol.trace_join import TraceJoiner

TOPICS = Topics()
SITE, DEVICE = "lab", "scope-1"
SIZE = (50, 160)
LIMIT_MS = 10.0
FORMS = ("live", "plain")
RATES_PER_S = (2.0, 10.0, 50.0)
WARM_UP = 20
DEADLINE_S = 30.0


@dataclass(frozen=True, slots=True)
class Round:
    """One form at one rate, once."""

    times_ms: tuple[float, ...]
    #: Of the same results: until an onlooker that does nothing had the message behind them.
    bare_ms: tuple[float, ...]
    published: int
    #: Of the terminal program while results came.
    cpu_percent: float


def diagnosis(number: int) -> Diagnosis:
    """A made-up result. All are equally urgent: the newest stands first, so each is shown."""
    text = f"URGENT: acute leukemia suspected (9{number % 10} %). Field {number}. AI draft. "
    return Diagnosis.model_validate(
        {
            "text": text + "Synthetic-trained. Research use only.",
            "urgency": Urgency.SUSPECTED_ACUTE,
            "urgency_rank": 1,
            "result": "aml",
            "case_id": f"S-{number // 20:04d}",
            "image_id": new_id(),
            "image_sha256": new_id() * 2,
            "p_acute": 0.9,
            "p_all": 0.1,
            "p_aml": 0.8,
            "model": "synthetic5-densenet121@00000000/openvino-f32",
            "training_data": "synthetic",
            "captured_at": "2026-11-21T09:14:03.120Z",
            "site": SITE,
            "device": DEVICE,
            "outbox_id": "0" * 32,
            "seq": number + 1,
            "attempt": f"{number + 1:016x}",
            "worker": "w1",
        }
    )


class Onlooker:
    """The engineer's account: hears what the terminal says that it has shown."""

    def __init__(self, broker: LocalBroker) -> None:
        self.session = MqttSession(broker.settings(ENGINEER), observer_session("shown"))
        self.joiner = TraceJoiner(awaited=(Stage.PUBLISHED, Stage.SHOWN))
        self.shown: set[str] = set()
        #: Published to heard by us, of the trace message that the worker sends right behind it.
        self.bare_ms: dict[str, float] = {}
        self.news = asyncio.Event()

    async def listen(self) -> None:
        """Until the session ends."""
        async for event in self.session.events():
            if isinstance(event, Connected):
                await self.session.subscribe([Subscription(TOPICS.every(Kind.TRACE))])
            elif isinstance(event, Message):
                fragment = TraceFragment.from_bytes(event.payload)
                self.joiner.add(fragment, 0)
                if fragment.program == "watch":
                    self.shown.add(fragment.image_id)
                else:
                    published_ns = fragment.stamps_ns[Stage.PUBLISHED.value]
                    self.bare_ms[fragment.image_id] = (event.received_at_ns - published_ns) / 1e6
            self.news.set()

    async def until(self, image_ids: set[str]) -> None:
        """Until all of these were shown."""
        async with asyncio.timeout(DEADLINE_S):
            while not image_ids <= self.shown:
                self.news.clear()
                await self.news.wait()


@asynccontextmanager
async def watching(broker: LocalBroker, form: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`hemowire watch` on a terminal of its own, or into a pipe that is read."""
    command = [
        *(sys.executable, "-m", "hemowire", "watch", "--port", str(broker.port)),
        *("--username", HEMATOLOGIST, "--site", SITE, "--name", f"bench-{new_id()[:8]}"),
        *("--password-file", str(broker.password_file(HEMATOLOGIST))),
    ]
    ours, theirs = pty.openpty() if form == "live" else os.pipe()
    if form == "live":
        termios.tcsetwinsize(theirs, SIZE)
    kept = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=theirs,
        env=kept | {"TERM": "xterm-256color"},
    )
    os.close(theirs)
    reading = asyncio.create_task(asyncio.to_thread(_drain, ours))
    try:
        yield process
    finally:
        process.terminate()
        await process.wait()
        await reading


def _drain(file: int) -> None:
    with suppress(OSError):  # the terminal's other side is closed
        while os.read(file, 65_536):
            pass
    os.close(file)


async def measure(
    broker: LocalBroker, form: str, rate_per_s: float, count: int, seed: int
) -> Round:
    """Publishes `count` results at random moments and waits until they were shown."""
    choose = random.Random(seed)
    onlooker = Onlooker(broker)
    worker = MqttSession(broker.settings(WORKER), observer_session("shown-worker"))
    tasks = [
        asyncio.create_task(job)
        for job in (onlooker.session.run(), onlooker.listen(), worker.run())
    ]
    topic = TOPICS.build(Kind.DIAGNOSIS, site=SITE, device=DEVICE)
    trace = TOPICS.build(Kind.TRACE, program="w1")
    published: list[Diagnosis] = []

    async def publish(number: int) -> int:
        result = diagnosis(number)
        payload = result.to_bytes()
        stamps = {Stage.PUBLISHED: monotonic_ns()}
        sent = worker.publish(topic, payload)
        fragment = fragment_of(
            "worker", "w1", result.image_id, result.attempt, stamps_ns=stamps, leg=None
        )
        worker.send(trace, fragment.to_bytes(), qos=0)
        code = await sent
        if code != NO_SUBSCRIBERS:
            published.append(result)
        return code

    async for event in worker.events():
        if isinstance(event, Connected):
            break
    async with watching(broker, form) as process:
        watch = psutil.Process(process.pid)
        while await publish(0) == NO_SUBSCRIBERS:  # noqa: ASYNC110  # nobody tells who subscribes
            await asyncio.sleep(0.05)
        began_s = due_s = monotonic_ns() / 1e9
        cpu_before_s = sum(watch.cpu_times()[:2])
        sending: list[asyncio.Task[int]] = []
        for number in range(1, WARM_UP + count):
            due_s += choose.expovariate(rate_per_s)
            await asyncio.sleep(max(0.0, due_s - monotonic_ns() / 1e9))
            sending.append(asyncio.create_task(publish(number)))
        await asyncio.gather(*sending)
        with suppress(TimeoutError):  # what is missing is said in the table
            await onlooker.until({one.image_id for one in published})
        cpu_s = sum(watch.cpu_times()[:2]) - cpu_before_s
        cpu_percent = 100 * cpu_s / (monotonic_ns() / 1e9 - began_s)
    for session in (worker, onlooker.session):
        await session.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    times = []
    for one in published[WARM_UP:]:
        joined = onlooker.joiner.look(one.image_id)
        took = None if joined is None else joined.stage(Stage.SHOWN)
        if took is not None:
            times.append(took.duration_ms)
    bare = [
        onlooker.bare_ms[o.image_id] for o in published[WARM_UP:] if o.image_id in onlooker.bare_ms
    ]
    return Round(tuple(times), tuple(bare), len(published) - WARM_UP, cpu_percent)


@dataclass(slots=True)
class Case:
    """The rounds of one form at one rate."""

    form: str
    rate_per_s: float
    rounds: list[Round] = field(default_factory=list)

    def row(self) -> str:
        """A line of the table: medians of the rounds' percentiles."""
        shown = sum(len(one.times_ms) for one in self.rounds)
        published = sum(one.published for one in self.rounds)
        figures = [
            statistics.median(nearest_rank(one.times_ms, share) for one in self.rounds)
            for share in (0.5, 0.95, 0.99, 1.0)
        ]
        figures += [
            statistics.median(nearest_rank(one.bare_ms, share) for one in self.rounds)
            for share in (0.5, 0.95)
        ]
        cpu = statistics.median(one.cpu_percent for one in self.rounds)
        cells = " | ".join(f"{ms:.1f}" for ms in figures)
        return f"| {self.form} | {self.rate_per_s:g} | {shown} of {published} | {cells} | {cpu:.0f} % |"

    @property
    def p95_ms(self) -> float:
        """The median of the rounds."""
        return statistics.median(nearest_rank(one.times_ms, 0.95) for one in self.rounds)


def nearest_rank(times_ms: Sequence[float], share: float) -> float:
    """The time at or below which this share of them lies."""
    ordered = sorted(times_ms)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def page(cases: Sequence[Case], rounds: int, seconds: float) -> str:
    """The results as a page."""
    machine = describe_machine()
    worst = max((case for case in cases if case.form == "live"), key=lambda case: case.p95_ms)
    verdict = "met" if worst.p95_ms < LIMIT_MS else "NOT met"
    return "\n".join(
        [
            "# Published to shown",
            "",
            "    python -m benchmarks.published_to_shown "
            "--out benchmarks/results/published_to_shown.md",
            "",
            f"On {machine.cpu}, {machine.cores} cores, Python {machine.python}, Mosquitto "
            f"{machine.mosquitto}; load {machine.load_before:g}. {rounds} rounds of about "
            f"{seconds:g} s a case, in turn; medians of the rounds' figures. Research use only, "
            "not for diagnosis.",
            "",
            "From the worker's stamp before it publishes to the terminal's stamp after it wrote the "
            "screen (live: 160 x 50) or the line (plain), from joined traces; all on one machine. "
            "Bare: until an onlooker in the publishing process had the next message, at the "
            "same moments.",
            "",
            "| form | results/s | traced | p50 ms | p95 | p99 | most | bare p50 | bare p95 | CPU of the terminal |",
            "|---|---|---|---|---|---|---|---|---|---|",
            *(case.row() for case in cases),
            "",
            f"Target: p95 below {LIMIT_MS:g} ms on the live screen: {verdict}, {worst.p95_ms:.1f} ms "
            f"at the worst rate, {worst.rate_per_s:g}/s.",
            "",
        ]
    )


def main() -> None:
    """Measures and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, help="write the page here")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each round")
    args = parser.parse_args()
    configure_logging("warning")
    cases = [Case(form, rate_per_s) for form in FORMS for rate_per_s in RATES_PER_S]
    for number in range(args.rounds):
        for case in cases:
            count = max(20, round(args.seconds * case.rate_per_s))
            # A broker of its own: the terminal's kept session would still be there in the next.
            with (
                tempfile.TemporaryDirectory() as folder,
                LocalBroker(Path(folder), site=SITE, devices=[DEVICE]) as broker,
            ):
                done = measure(broker, case.form, case.rate_per_s, count, number)
                case.rounds.append(asyncio.run(done))
            print(case.row(), flush=True)
    text = page(cases, args.rounds, args.seconds)
    print(text)
    if args.out is not None:
        args.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
