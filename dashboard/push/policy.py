"""Whether a case is worth a notification, and when; pure: it is given the time and sends nothing.

- One per case and rise in urgency: a case that was told at a rank is told again only at a smaller one,
  also where it fell in between, as a sum of few fields may. A signature ends that.
- None for retakes, for fields that belong to no case, for signed cases but those signed as an emergency.
- A reader gets at most one in `cooldown_s`: what comes meanwhile is told together when it is over; what
  has become less urgent or signed by then is not told.
- An urgent case that nobody has opened after `escalate_after_s` is told once more, to everybody.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from dashboard.push.settings import PushSettings
from dashboard.review.views import CaseSummary
from wire_protocol.manifest import UNFILED

_NEVER: Final = 99


class Why(StrEnum):
    """What is told."""

    URGENT = "urgent"
    EMERGENCY = "emergency"
    UNREAD = "unread"


@dataclass(frozen=True, slots=True)
class Told:
    """What readers of a site are told: how many cases, and the most pressing reason."""

    site: str
    why: Why
    keys: tuple[str, ...]


@dataclass(slots=True)
class _Case:
    site: str
    rank: int
    #: The smallest rank that was told; beyond all of them before anything was.
    told_rank: int
    #: Since when it is as urgent as now.
    since_s: float
    is_unread: bool
    escalated: bool = False


@dataclass(slots=True)
class PushPolicy:
    """Remembers what was told; `seen` and `due` are all there is."""

    settings: PushSettings
    _cases: dict[str, _Case] = field(default_factory=dict)
    _waiting: dict[str, dict[str, Why]] = field(default_factory=dict)
    _last_s: dict[str, float] = field(default_factory=dict)

    def seen(self, case: CaseSummary, now_s: float, *, is_new: bool = True) -> None:
        """A case as it is now; not `is_new`: as it was when the program started, told already."""
        waiting = self._waiting.setdefault(case.site, {})
        waiting.pop(case.key, None)
        is_emergency = case.rank == 0
        is_done = not case.is_open and not is_emergency
        if case.case_id == UNFILED or case.fields == 0 or is_done:
            self._cases.pop(case.key, None)
            return
        known = self._cases.get(case.key)
        if known is None:
            if case.rank > self.settings.rank:
                return
            told_rank = _NEVER if is_new else case.rank
            known = _Case(case.site, case.rank, told_rank, now_s, case.is_unread)
            self._cases[case.key] = known
        if case.rank < known.rank:
            known.since_s, known.escalated = now_s, False
        known.rank = case.rank
        known.is_unread = case.is_unread and case.is_open
        if case.rank <= self.settings.rank and case.rank < known.told_rank:
            waiting[case.key] = Why.EMERGENCY if is_emergency else Why.URGENT

    def due(self, now_s: float) -> list[Told]:
        """What is to be told now; asked for again at `deadline`."""
        for key, case in self._cases.items():
            if self._is_overdue(case, now_s):
                case.escalated = True
                self._waiting.setdefault(case.site, {}).setdefault(key, Why.UNREAD)
        told = []
        for site, waiting in self._waiting.items():
            if waiting and now_s >= self._free_at(site):
                why = min(waiting.values(), key=[Why.EMERGENCY, Why.URGENT, Why.UNREAD].index)
                told.append(Told(site, why, tuple(waiting)))
                self._last_s[site] = now_s
        for one in told:
            self._waiting[one.site] = {}
            for key in one.keys:
                known = self._cases[key]
                known.told_rank = min(known.told_rank, known.rank)
        return told

    def deadline(self) -> float | None:
        """When `due` may have something; None: not before the next case."""
        times = [self._free_at(site) for site, waiting in self._waiting.items() if waiting]
        times += [
            case.since_s + self.settings.escalate_after_s
            for case in self._cases.values()
            if self._may_escalate(case)
        ]
        return min(times, default=None)

    def _is_overdue(self, case: _Case, now_s: float) -> bool:
        late = now_s - case.since_s >= self.settings.escalate_after_s
        return self._may_escalate(case) and late

    def _may_escalate(self, case: _Case) -> bool:
        return case.is_unread and not case.escalated and case.rank <= self.settings.rank

    def _free_at(self, site: str) -> float:
        last_s = self._last_s.get(site)
        return float("-inf") if last_s is None else last_s + self.settings.cooldown_s
