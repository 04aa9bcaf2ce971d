"""Several workers on one shared subscription: how evenly load spreads, what each that leaves or freezes costs.

    python -m benchmarks.shared_workers --out benchmarks/results/shared_workers.md

Four workers and three microscopes, images without a pause; one worker after the other is stopped,
killed, started and frozen under that load. The broker deals offers out in turn. An offer that no
worker answered was dealt to one that could not: its cost is the time until the image is offered
again. At the end every image must be recorded once. Longer than most files: the phases follow each other in one run.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.recovery.figures import rank
from benchmarks.recovery.ground import Ground, full_diagnosis, open_ground
from hemowire.chaos.checker import Verdict
from hemowire.chaos.history import Fault, Kind
from service_runtime.boot import monotonic_s
from service_runtime.log import configure_logging
from wire_protocol.machine_settings import SenderSettings
from wire_protocol.messages import Busy, Claim, Offer
from wire_protocol.words import RESEARCH_USE_ONLY

_EVERY_S: Final = 0.3
_SETTLE_S: Final = 240.0
#: 5 s of keepalive, and half of it again before the broker lets a silent client go.
KEEPALIVE_S: Final = 7.5
OFFER_WAIT_S: Final = SenderSettings().offer_wait_s
#: Beside the wait itself: the way of two messages on a busy machine.
_SLACK_S: Final = 0.15
#: 1 where all shares are equal.
JAIN_TARGET: Final = 0.95


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of the load."""

    name: str
    #: Diagnoses by each worker.
    shares: tuple[int, ...]
    #: Seconds that each unanswered offer cost its image.
    costs_s: tuple[float, ...]
    #: When the last of them was made, from the strike.
    last_s: float
    busies: int
    #: What it may be: the most that an offer may cost, and for how long offers may go there.
    cost_target_s: float | None = None
    until_target_s: float | None = None

    @property
    def jain(self) -> float:
        """Jain's index of the shares."""
        total = sum(self.shares)
        return total * total / (len(self.shares) * sum(n * n for n in self.shares))

    @property
    def is_missed(self) -> bool:
        """Whether load was uneven, or an offer cost more than it may."""
        if self.cost_target_s is None:
            return self.jain < JAIN_TARGET or bool(self.costs_s)
        too_dear = max(self.costs_s, default=0.0) > self.cost_target_s
        too_long = self.until_target_s is not None and self.last_s > self.until_target_s
        return too_dear or too_long


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where every target was met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shared_workers")
    parser.add_argument("--out", type=Path, help="the Markdown file (default: the screen only)")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each phase (30)")
    args = parser.parse_args(arguments)
    configure_logging("critical")
    with tempfile.TemporaryDirectory(prefix="shared-") as folder:
        phases, verdict = asyncio.run(_measure(Path(folder) / "run", args.seconds))
    text = _text(phases, verdict)
    print(text)
    if args.out is not None:
        args.out.write_text(text, encoding="utf-8")
    return int(any(phase.is_missed for phase in phases) or bool(verdict.problems))


async def _measure(folder: Path, seconds: float) -> tuple[list[Phase], Verdict]:
    async with open_ground(folder, devices=3, workers=4) as ground:
        feeding = asyncio.create_task(feed(ground))
        try:
            phases = await _phases(ground, seconds)
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
        await ground.settled(_SETTLE_S)
        verdict = await ground.judge()
        ground.check()
        return phases, verdict


async def _phases(ground: Ground, seconds: float) -> list[Phase]:
    """In this order, so that four workers become three, two and three again."""
    blows, plant = ground.blows, ground.plant
    first, second, third, _ = plant.workers
    phases = [await measure_phase(ground, "4 workers", seconds)]
    gone = plant.programs.programs[first]
    began_s = monotonic_s()
    await plant.programs.stop(first)
    phases.append(
        await measure_phase(
            ground, "one was stopped (drained)", seconds, began_s, cost_s=0.0, until_s=0.0
        )
    )
    phases.append(await measure_phase(ground, "3 workers", seconds))
    began_s = monotonic_s()
    killing = asyncio.create_task(blows.kill(second, 2.5 * seconds))
    phases.append(
        await measure_phase(
            ground, "one was killed", seconds, began_s,
            cost_s=OFFER_WAIT_S + _SLACK_S, until_s=1.0,
        )
    )  # fmt: skip
    phases.append(await measure_phase(ground, "2 workers", seconds))
    started_s = monotonic_s()
    await plant.programs.start_command(first, gone.command, gone.environment)
    await ground.worker_online(first, started_s)
    await killing
    await ground.worker_online(second, started_s)
    phases.append(await measure_phase(ground, "two were started: 4 workers again", seconds))
    began_s = monotonic_s()
    freezing = asyncio.create_task(blows.freeze(third, seconds))
    phases.append(
        await measure_phase(
            ground, "one was frozen", seconds, began_s,
            cost_s=OFFER_WAIT_S + _SLACK_S, until_s=KEEPALIVE_S + 1.0,
        )
    )  # fmt: skip
    await freezing
    return phases


async def measure_phase(
    ground: Ground,
    name: str,
    seconds: float,
    began_s: float | None = None,
    *,
    cost_s: float | None = None,
    until_s: float | None = None,
    answer_s: float = 1.0,
) -> Phase:
    """What was heard for so long, or since `began_s`, when one worker was struck.

    An offer that is not answered `answer_s` after the phase was dealt to somebody who could not.
    """
    if began_s is None:
        began_s = monotonic_s()
    else:
        ground.events.append(Fault(kind=Kind.OK, number=1, fault=name, target="a worker"))
    await asyncio.sleep(seconds)
    until = monotonic_s()
    shares: Counter[str] = Counter()
    for heard in ground.ear.since(began_s, lambda _: True):
        found = full_diagnosis(heard)
        if found is not None and heard.at_s <= until:
            shares[found.worker] += 1
    offers, answers = _offers_and_answers(ground, began_s, until)
    while not {at for made in offers.values() for _, at in made} <= answers.keys():
        if monotonic_s() > until + answer_s:
            break
        await asyncio.sleep(0.05)
        offers, answers = _offers_and_answers(ground, began_s, until)
    busies = sum(isinstance(said, Busy) for said in answers.values())
    costs: list[float] = []
    last_s = 0.0
    for made in offers.values():
        for number, (at_s, attempt) in enumerate(made, start=1):
            if attempt in answers:
                continue
            again_s = made[number][0] if number < len(made) else monotonic_s()
            costs.append(again_s - at_s)
            last_s = max(last_s, at_s - began_s)
    return Phase(name, tuple(shares.values()), tuple(costs), last_s, busies, cost_s, until_s)


def _offers_and_answers(
    ground: Ground, since_s: float, until_s: float
) -> tuple[dict[str, list[tuple[float, int]]], dict[int, Claim | Busy]]:
    """The offers of each image in that time, and by attempt what was ever answered."""
    offers: dict[str, list[tuple[float, int]]] = {}
    answers: dict[int, Claim | Busy] = {}
    for heard in ground.ear.since(since_s, lambda _: True):
        said = heard.said
        if isinstance(said, Claim | Busy):
            answers[said.attempt] = said
        elif isinstance(said, Offer) and heard.at_s <= until_s:
            offers.setdefault(said.manifest.image_id, []).append((heard.at_s, said.attempt))
    return offers, answers


async def feed(ground: Ground) -> None:
    """An image to one device after the other, until cancelled."""
    while True:
        for device in ground.plant.devices:
            ground.give(device)
            await asyncio.sleep(_EVERY_S)


def _text(phases: Sequence[Phase], verdict: Verdict) -> str:
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    ).stdout.strip()
    rows = []
    for phase in phases:
        cost = f"{rank(phase.costs_s, 0.5):.2f}, {max(phase.costs_s):.2f}" if phase.costs_s else "-"
        last = f"{phase.last_s:.1f}" if phase.costs_s else "-"
        cells = (
            phase.name, " ".join(map(str, sorted(phase.shares, reverse=True))),
            f"{phase.jain:.3f}", str(len(phase.costs_s)), cost, last, str(phase.busies),
            "missed" if phase.is_missed else "met",
        )  # fmt: skip
        rows.append(f"| {' | '.join(cells)} |")
    problems = [f"- {problem.wrong}: {problem.text}" for problem in verdict.problems]
    return f"""# Several workers on one shared subscription

    python -m benchmarks.shared_workers --out benchmarks/results/shared_workers.md

At {commit or "no commit"}, on {platform.machine()} with {os.cpu_count()} cores shared with other \
work, Python {platform.python_version()}. The real programs and \
Mosquitto, workers with the packaged network, three devices, simulated fields of 640 x 480 pixels, \
one every {_EVERY_S:g} s. {RESEARCH_USE_ONLY}

| | diagnoses by worker | Jain's index | offers that nobody answered | their cost, s: p50, most | \
last one after, s | Busy | |
|---|---|---|---|---|---|---|---|
{chr(10).join(rows)}

Targets: Jain's index at least {JAIN_TARGET:g} while nobody leaves, and then no offer unanswered; an \
offer dealt to a dead or frozen worker costs at most offer_wait ({OFFER_WAIT_S:g} s, and \
{_SLACK_S:g} s for the way of two messages), to a drained one nothing; none goes to a frozen one \
after its keepalive ({KEEPALIVE_S:g} s).

{verdict.captured} images were put before the cameras: {verdict.diagnosed} recorded once with equal \
bytes, {verdict.rejected} rejected, {len(verdict.problems)} problems.
{chr(10).join(problems)}"""


if __name__ == "__main__":
    sys.exit(main())
