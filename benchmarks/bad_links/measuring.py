"""Sends the images: every way in turn on new connections, again and again, each timed by its own two programs.

Of every connection the sizes take turns at being the first. On a link with outages one image of each
size is struck: the link is cut while it travels and given back after the outage's time, instead of
waiting two minutes for the clock to hit one.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from benchmarks.bad_links.cases import Case, Way
from benchmarks.baselines.baseline import Baseline, Completion, Site
from benchmarks.baselines.running import open_baseline
from benchmarks.links.link import Link

#: Beyond so many times the limit and so long an image counts as lost.
_PATIENCE_TIMES = 8
_PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Carried:
    """One image."""

    took_s: float
    is_first: bool
    is_struck: bool
    #: What went up the device's link for it, headers and TCP's own repeats included, in images.
    wire_share: float
    #: Payloads handed to TCP, in images.
    payload_share: float
    #: How often it was sent from its beginning.
    attempts: int
    failure: str


@dataclass(slots=True)
class Tally:
    """All images of a case that went one way."""

    case: Case
    way: Way
    images: list[Carried] = field(default_factory=list)


async def measure(
    site: Site,
    cases: Sequence[Case],
    ways: Sequence[Way],
    repeats: int,
    told: Callable[[Tally, Carried], None],
) -> list[Tally]:
    """All sizes of one link."""
    tallies = {(case, way): Tally(case, way) for case in cases for way in ways}
    for repeat in range(repeats):
        turn = repeat % len(cases)
        for way in ways:
            is_first = True
            async with open_baseline(way.method, replace(site, congestion=way.congestion)) as end:
                for case in [*cases[turn:], *cases[:turn]]:
                    tally = tallies[case, way]
                    for _ in range(case.images):
                        image = await _carry(end, site.device_link, case, is_first=is_first)
                        is_first = False
                        _note(tally, image, told)
                    if case.outage_s:
                        after_s = case.strike_after_s(repeat)
                        _note(tally, await _strike(end, site.device_link, case, after_s), told)
    return list(tallies.values())


def _note(tally: Tally, image: Carried, told: Callable[[Tally, Carried], None]) -> None:
    tally.images.append(image)
    told(tally, image)


async def _carry(
    end: Baseline, link: Link, case: Case, *, is_first: bool = False, is_struck: bool = False
) -> Carried:
    before = await asyncio.to_thread(link.counters)
    patience_s = _PATIENCE_TIMES * case.limit_s + _PATIENCE_S + case.outage_s
    done = await end.offer(os.urandom(case.size_bytes), patience_s)
    after = await asyncio.to_thread(link.counters)
    wire = after.bytes_up - before.bytes_up
    return _carried(done, wire, is_first=is_first, is_struck=is_struck)


async def _strike(end: Baseline, link: Link, case: Case, after_s: float) -> Carried:
    """The link goes away while the image travels, and comes back."""
    if not after_s:
        await asyncio.to_thread(link.cut)
    under_way = asyncio.create_task(_carry(end, link, case, is_struck=True))
    try:
        if after_s:
            await asyncio.sleep(after_s)
            await asyncio.to_thread(link.cut)
        await asyncio.sleep(case.outage_s)
        await asyncio.to_thread(link.restore)
        return await under_way
    finally:
        under_way.cancel()
        with suppress(asyncio.CancelledError):
            await under_way


def _carried(done: Completion, wire: int, *, is_first: bool, is_struck: bool) -> Carried:
    return Carried(
        took_s=0.0 if done.failure else done.to_stored_s,
        is_first=is_first,
        is_struck=is_struck,
        wire_share=wire / done.size_bytes,
        payload_share=done.sent_bytes / done.size_bytes,
        attempts=done.attempts,
        failure=done.failure,
    )
