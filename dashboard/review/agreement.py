"""How often people and the AI say the same, apart for those who had seen its answer and those who had not; pure.

Of each case and each of the two kinds the last signature counts. APL is a finding that bundles do
not have: where a person says APL and the AI says AML they agree. Agreement of readers who had seen
the AI's answer says little about the AI: people follow what they are shown.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from dashboard.review.findings import FINDING_URGENCY, finding_of
from dashboard.review.machine import Review, Signature
from wire_protocol.case_messages import Finding
from wire_protocol.json_messages import DiagnosisStatus

#: What the AI said where there was nothing to agree with.
CANNOT_SAY: Final = "cannot_say"
_Z: Final = 1.959964


@dataclass(frozen=True, slots=True)
class Share:
    """Of `total` cases `agreed`; the interval is Wilson's at 95 %, None of no case."""

    agreed: int
    total: int

    @property
    def interval(self) -> tuple[float, float] | None:
        """Low and high."""
        if self.total == 0:
            return None
        n, p = self.total, self.agreed / self.total
        middle = (p + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
        half = _Z / (1 + _Z**2 / n) * math.sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2))
        return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of one kind of reading."""

    ai_seen: bool
    #: (what the AI said, what the person said) to how many cases.
    counts: dict[tuple[str, str], int]
    #: The same finding; cases where the AI could not say are left out.
    same: Share
    #: The same urgency, so that ALL against AML counts as the same alarm.
    same_urgency: Share
    #: Person's finding to its share.
    by_finding: dict[str, Share]
    #: Monday of the week, as a date, to its share.
    by_week: dict[str, Share]
    #: Cases in which the AI could not say.
    abstained: int


def agreement(reviews: Iterable[Review]) -> tuple[Agreement, Agreement]:
    """Readers who had not seen the AI's answer, then those who had."""
    listed = list(reviews)
    unseen, seen = (
        [s for review in listed if (s := _last(review, ai_seen=flag)) is not None]
        for flag in (False, True)
    )
    return _tally(unseen, ai_seen=False), _tally(seen, ai_seen=True)


def ai_finding(signature: Signature) -> Finding | None:
    """What the AI had said, in a person's words."""
    return finding_of(signature.placed.ai.result, signature.placed.ai.urgency)


def agrees(signature: Signature) -> bool | None:
    """Whether person and AI say the same; None where one of them says nothing."""
    ai, person = ai_finding(signature), signature.placed.finding
    if ai is None or person is None:
        return None
    return ai is (Finding.AML if person is Finding.APL else person)


def _last(review: Review, *, ai_seen: bool) -> Signature | None:
    if review.status is DiagnosisStatus.ENTERED_IN_ERROR:
        return None
    fit = [
        s for s in review.signatures if s.placed.ai_seen is ai_seen and s.placed.finding is not None
    ]
    return fit[-1] if fit else None


def _tally(signatures: list[Signature], *, ai_seen: bool) -> Agreement:
    counts: Counter[tuple[str, str]] = Counter()
    finding: dict[str, list[bool]] = {}
    week: dict[str, list[bool]] = {}
    urgency: list[bool] = []
    abstained = 0
    for signature in signatures:
        person = signature.placed.finding
        assert person is not None
        ai = ai_finding(signature)
        counts[ai.value if ai is not None else CANNOT_SAY, person.value] += 1
        same = agrees(signature)
        if ai is None or same is None:
            abstained += 1
            continue
        finding.setdefault(person.value, []).append(same)
        week.setdefault(_monday(signature.signed_at_ms), []).append(same)
        urgency.append(FINDING_URGENCY[ai] is FINDING_URGENCY[person])
    judged = [same for listed in finding.values() for same in listed]
    return Agreement(
        ai_seen=ai_seen,
        counts=dict(counts),
        same=_share(judged),
        same_urgency=_share(urgency),
        by_finding={name: _share(listed) for name, listed in sorted(finding.items())},
        by_week={name: _share(listed) for name, listed in sorted(week.items())},
        abstained=abstained,
    )


def _share(outcomes: list[bool]) -> Share:
    return Share(sum(outcomes), len(outcomes))


def _monday(at_ms: int) -> str:
    day = datetime.fromtimestamp(at_ms / 1000, UTC).date()
    return day.fromordinal(day.toordinal() - day.weekday()).isoformat()
