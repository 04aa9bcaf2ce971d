"""Which fault comes when, drawn from a seed; pure, it touches no program.

Every kind of fault comes up before one comes a second time, so that a short run has seen most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final


class FaultKind(StrEnum):
    """What the nemesis can do, in words for people."""

    KILL = "kill -9, started again at once"
    AWAY = "kill -9, away for a while"
    RESTART = "stopped in order, started again"
    FREEZE = "frozen for a while"
    FORGET = "kill -9 and its memory deleted"
    CUT = "network cut"
    CUT_UP = "network cut on the way there"
    CUT_DOWN = "network cut on the way back"


_PROGRAMS: Final = frozenset({FaultKind.KILL, FaultKind.AWAY, FaultKind.RESTART, FaultKind.FREEZE})
_LINKS: Final = frozenset({FaultKind.CUT, FaultKind.CUT_UP, FaultKind.CUT_DOWN})
BROKER: Final = "broker"


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """One fault, `at_s` after the first image was recorded."""

    number: int
    at_s: float
    kind: FaultKind
    target: str
    lasts_s: float


@dataclass(frozen=True, slots=True)
class Pace:
    """How close faults follow each other, and how long they last."""

    every_s: float
    longest_s: float


def plan_faults(
    seed: int, count: int, programs: Sequence[str], links: Sequence[str], pace: Pace
) -> tuple[PlannedFault, ...]:
    """`count` faults in order of time, the same for the same arguments."""
    random = Random(seed)
    planned: list[PlannedFault] = []
    deck: list[tuple[FaultKind, str]] = []
    at_s = 0.0
    for number in range(1, count + 1):
        if not deck:
            deck = _deal(random, programs, links)
        kind, target = deck.pop()
        at_s += random.uniform(0.5, 1.5) * pace.every_s
        # Most are short, some outlast every timer.
        lasts_s = min(pace.longest_s, 0.2 + random.expovariate(4 / pace.longest_s))
        planned.append(PlannedFault(number, at_s, kind, target, round(lasts_s, 2)))
    return tuple(planned)


def _deal(
    random: Random, programs: Sequence[str], links: Sequence[str]
) -> list[tuple[FaultKind, str]]:
    """Every kind once, each with a target; the last is dealt first."""
    dealt = []
    # The groups of programs are alike likely: more workers do not spare the broker.
    groups = sorted({_group(name) for name in programs})
    random.shuffle(groups)
    kinds = random.sample(list(FaultKind), len(FaultKind))
    for kind in kinds:
        if kind in _LINKS:
            target = random.choice(sorted(links))
        elif kind in _PROGRAMS:
            groups.append(groups.pop(0))
            group = groups[-1]
            target = random.choice(sorted(name for name in programs if _group(name) == group))
        else:
            target = BROKER
        dealt.append((kind, target))
    return dealt


def _group(program: str) -> str:
    return program.partition("-")[0]
