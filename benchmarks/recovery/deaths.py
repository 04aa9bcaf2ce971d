"""A worker dies, is stopped or freezes while it has an image: how long until images are completed elsewhere.

It is struck right after its claim. Two clocks run from the strike: to the next image that another
worker has completed (every byte there, the digest matched, archived: it says Stored), and to the same
of the image that it had. How long an image takes that nobody disturbs, on this machine in the same
minutes, stands beside them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from benchmarks.recovery.ear import Heard
from benchmarks.recovery.figures import Figure
from benchmarks.recovery.ground import Ground
from service_runtime.boot import monotonic_s
from wire_protocol.messages import Claim, Offer, Stored

#: Between two images of all devices together.
_EVERY_S: Final = 0.3
_CLAIM_S = 60.0
_DONE_S = 90.0
#: The broker lets a frozen worker go after one and a half of its keepalive of 5 s.
KEEPALIVE_S: Final = 7.5
#: Longer than the broker's latest word, of which it thinks every 5 s: else nobody comes back online.
_FREEZE_S = 15.0


class Strike(StrEnum):
    """What is done to the worker."""

    KILL = "killed (SIGKILL)"
    STOP = "stopped (SIGTERM)"
    FREEZE = "frozen (SIGSTOP)"


#: The broker tells of a death by the worker's will at once; a frozen one costs its keepalive.
TARGETS_S: Final = {Strike.KILL: 1.0, Strike.STOP: 1.0, Strike.FREEZE: KEEPALIVE_S + 1.0}


@dataclass(frozen=True, slots=True)
class _Took:
    next_s: float
    #: None where it had completed the image before the strike.
    same_s: float | None


async def measure_deaths(ground: Ground, repeats: dict[Strike, int]) -> list[Figure]:
    """Two figures for each way to die."""
    figures = []
    since_s = monotonic_s()
    feeding = asyncio.create_task(_feed(ground))
    try:
        for strike, times in repeats.items():
            took = [await _strike(ground, strike, number) for number in range(times)]
            figures += [
                Figure(
                    f"worker {strike}: next image completed on another",
                    tuple(t.next_s for t in took),
                    TARGETS_S[strike],
                ),
                Figure(
                    f"worker {strike}: the image that it had",
                    tuple(t.same_s for t in took if t.same_s is not None),
                    TARGETS_S[strike],
                    "by itself: it finishes what it has" if strike is Strike.STOP else "",
                ),
            ]
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
    ground.check()
    return [undisturbed(ground, since_s), *figures]


async def _feed(ground: Ground) -> None:
    while True:
        for device in ground.plant.devices:
            ground.give(device)
            await asyncio.sleep(_EVERY_S)


async def _strike(ground: Ground, strike: Strike, number: int) -> _Took:
    plant, ear = ground.plant, ground.ear
    victim = plant.workers[number % len(plant.workers)]
    claim = await ear.first(f"a claim of {victim}", monotonic_s(), _claims(victim), _CLAIM_S)
    assert isinstance(claim.said, Claim)
    image_id = _image_of(ground, claim)
    struck_s = monotonic_s()
    doing = asyncio.create_task(_do(ground, strike, victim))
    worker = claim.said.worker

    def elsewhere(heard: Heard) -> bool:
        said = heard.said
        return isinstance(said, Stored) and _claimed_by(ground, said.attempt) not in ("", worker)

    def same(heard: Heard) -> bool:
        return isinstance(heard.said, Stored) and heard.said.image_id == image_id

    following = await ear.first("an image on another worker", struck_s, elsewhere, _DONE_S)
    again = await ear.first("the image that it had", claim.at_s, same, _DONE_S)
    assert isinstance(again.said, Stored)
    is_own = _claimed_by(ground, again.said.attempt) == worker and strike is not Strike.STOP
    await doing
    if strike is not Strike.FREEZE:
        await ground.worker_online(victim, struck_s)
    same_s = None if is_own else max(0.0, again.at_s - struck_s)
    return _Took(following.at_s - struck_s, same_s)


async def _do(ground: Ground, strike: Strike, victim: str) -> None:
    match strike:
        case Strike.KILL:
            await ground.blows.kill(victim)
        case Strike.STOP:
            await ground.blows.restart(victim)
        case Strike.FREEZE:
            await ground.blows.freeze(victim, _FREEZE_S)
            await ground.worker_online(victim, monotonic_s() - 1.0)


def _claims(victim: str) -> Callable[[Heard], bool]:
    def is_it(heard: Heard) -> bool:
        said = heard.said
        return isinstance(said, Claim) and said.worker.rpartition("-")[0] == victim

    return is_it


def _claimed_by(ground: Ground, attempt: int) -> str:
    for heard in reversed(ground.ear.heard):
        if isinstance(heard.said, Claim) and heard.said.attempt == attempt:
            return heard.said.worker
    return ""


def undisturbed(ground: Ground, since_s: float) -> Figure:
    """From offer to Stored, of the images that needed one offer: what this machine takes for it."""
    offers: dict[int, tuple[str, float]] = {}
    times: Counter[str] = Counter()
    took = []
    for heard in ground.ear.since(since_s, lambda _: True):
        match heard.said:
            case Offer(attempt=attempt, manifest=manifest):
                offers[attempt] = (manifest.image_id, heard.at_s)
                times[manifest.image_id] += 1
            case Stored(attempt=attempt):
                image_id, at_s = offers.pop(attempt, ("", 0.0))
                if times[image_id] == 1:
                    took.append(heard.at_s - at_s)
            case _:
                pass
    return Figure("for comparison: an image that nobody disturbs", tuple(took))


def _image_of(ground: Ground, claim: Heard) -> str:
    assert isinstance(claim.said, Claim)
    attempt = claim.said.attempt
    for heard in reversed(ground.ear.heard):
        if isinstance(heard.said, Offer) and heard.said.attempt == attempt:
            return heard.said.manifest.image_id
    raise LookupError(f"nobody heard the offer of attempt {attempt:016x}")
