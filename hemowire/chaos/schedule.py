"""Which fault comes when, drawn from a seed; pure, it touches no program.

Every kind of fault comes up before one comes a second time, so that a short run has seen many.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final, TypeVar

BROKER: Final = "broker"
RECORDS: Final = "records"
WIRE: Final = "wire"
ARCHIVE: Final = "archive"


class FaultKind(StrEnum):
    """What the nemesis can do, in words for people."""

    KILL = "kill -9, started again at once"
    KILL_AT_STEP = "kill -9 at a step of a transfer"
    AWAY = "kill -9, away for a while"
    RESTART = "stopped in order, started again"
    FREEZE = "frozen for a while"
    FREEZE_AT_STEP = "frozen at a step of a transfer"
    FORGET = "kill -9 and its memory deleted"
    CUT = "network cut"
    CUT_UP = "network cut on the way there"
    CUT_DOWN = "network cut on the way back"
    SLOW = "network of 256 kbit/s and 300 ms"
    DISK_FULL = "disk full"
    CLOCK = "wall clock an hour wrong"
    SPOIL = "messages spoiled"
    TWIN = "a second agent with its name"
    SAME_OUTBOX = "a second agent on its outbox"
    BACKUP = "restored from an old backup"
    ROT = "a bit turned in a file of its outbox"
    REFLASH = "flashed anew, with the same name and an empty outbox"
    ARCHIVE_AWAY = "away: whatever is asked of it fails"
    DEADLY = "given an image that kills every decoder"
    CLONE = "its card copied: two devices with one outbox"


class Step(StrEnum):
    """Named steps of a transfer, as they are heard."""

    CLAIMED = "after the claim"
    UPLOADING = "between two chunks"
    STORED = "after Stored"
    DIAGNOSED = "after the diagnosis"
    RECORDED = "after Recorded"


class Spoil(StrEnum):
    """What is done with messages that were heard."""

    DOUBLE = "doubled"
    REPLAY = "replayed later, out of order"
    CUT_SHORT = "cut short"
    CORRUPT = "with bits turned"


#: The kinds that strike programs of any group.
_ANY: Final = frozenset(
    {
        FaultKind.KILL,
        FaultKind.KILL_AT_STEP,
        FaultKind.AWAY,
        FaultKind.RESTART,
        FaultKind.FREEZE,
        FaultKind.FREEZE_AT_STEP,
    }
)
_LINKS: Final = frozenset({FaultKind.CUT, FaultKind.CUT_UP, FaultKind.CUT_DOWN, FaultKind.SLOW})
_Card = TypeVar("_Card", Step, Spoil)
_AT_STEP: Final = frozenset({FaultKind.KILL_AT_STEP, FaultKind.FREEZE_AT_STEP})


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """One fault, `at_s` after the first image was recorded."""

    number: int
    at_s: float
    kind: FaultKind
    target: str
    lasts_s: float
    step: Step | None = None
    spoil: Spoil | None = None

    @property
    def words(self) -> str:
        """The kind, and what is particular about this one."""
        return ", ".join(w.value for w in (self.kind, self.step, self.spoil) if w is not None)


@dataclass(frozen=True, slots=True)
class Pace:
    """How close faults follow each other, and how long they last."""

    every_s: float
    longest_s: float


@dataclass(frozen=True, slots=True)
class Targets:
    """What there is to strike, by name."""

    programs: Sequence[str]
    links: Sequence[str]
    disks: Sequence[str]
    #: Links that lose packets, and so are what they are for the whole run.
    lossy: Sequence[str] = ()

    @property
    def edges(self) -> list[str]:
        """The agents."""
        return [name for name in self.programs if _group(name) == "edge"]

    @property
    def with_clocks(self) -> list[str]:
        """Mosquitto's own clock is left alone: no rule of ours runs in it."""
        return [name for name in self.programs if name != BROKER]


def plan_faults(
    seed: int,
    count: int,
    targets: Targets,
    pace: Pace,
    kinds: Collection[FaultKind] = tuple(FaultKind),
) -> tuple[PlannedFault, ...]:
    """`count` faults of these kinds in order of time, the same for the same arguments."""
    random = Random(seed)
    planned: list[PlannedFault] = []
    deck: list[tuple[FaultKind, str]] = []
    steps: list[Step] = []
    spoils: list[Spoil] = []
    at_s = 0.0
    for number in range(1, count + 1):
        if not deck:
            deck = _deal(random, targets, sorted(kinds))
        kind, target = deck.pop()
        step = _next(random, steps, Step) if kind in _AT_STEP else None
        spoil = _next(random, spoils, Spoil) if kind is FaultKind.SPOIL else None
        at_s += random.uniform(0.5, 1.5) * pace.every_s
        # Most are short, some outlast every timer.
        lasts_s = min(pace.longest_s, 0.2 + random.expovariate(4 / pace.longest_s))
        planned.append(PlannedFault(number, at_s, kind, target, round(lasts_s, 2), step, spoil))
    return tuple(planned)


def _next(random: Random, deck: list[_Card], full: type[_Card]) -> _Card:
    if not deck:
        deck.extend(random.sample(list(full), len(full)))
    return deck.pop()


def _deal(
    random: Random, targets: Targets, kinds: Sequence[FaultKind]
) -> list[tuple[FaultKind, str]]:
    """Every kind once, each with a target; the last is dealt first."""
    dealt = []
    # The groups of programs are alike likely: more workers do not spare the broker.
    groups = sorted({_group(name) for name in targets.programs})
    random.shuffle(groups)
    for kind in random.sample(kinds, len(kinds)):
        if kind in _ANY:
            groups.append(groups.pop(0))
            names = [name for name in targets.programs if _group(name) == groups[-1]]
        elif kind is FaultKind.SLOW:
            names = [name for name in targets.links if name not in targets.lossy]
        elif kind in _LINKS:
            names = list(targets.links)
        else:
            names = {
                FaultKind.FORGET: [BROKER],
                FaultKind.BACKUP: [RECORDS],
                FaultKind.SPOIL: [WIRE],
                FaultKind.DISK_FULL: list(targets.disks),
                FaultKind.CLOCK: targets.with_clocks,
                FaultKind.ARCHIVE_AWAY: [ARCHIVE],
            }.get(kind, targets.edges)
        dealt.append((kind, random.choice(sorted(names))))
    return dealt


def _group(program: str) -> str:
    return program.partition("-")[0]
