"""How the AI is doing, as the page is told it: shares with their intervals, days and waits; it draws nothing."""

from __future__ import annotations

from typing import Final

from dashboard.page.views import View
from dashboard.review.agreement import CANNOT_SAY, Agreement, Share
from dashboard.review.drift import DriftDay
from dashboard.review.figures import Figures
from dashboard.review.findings import FINDING_WORDS
from dashboard.review.turnaround import Turnaround, Waits
from wire_protocol.case_messages import Finding

#: Findings in the order of work, for tables whose rows do not jump about.
_ORDER: Final = tuple(finding.value for finding in Finding)


class ShareView(View):
    """Of `total` cases `agreed`; `low` and `high` are Wilson's interval at 95 %, None of no case."""

    agreed: int
    total: int
    low: float | None
    high: float | None


class ClassView(View):
    """What a person signed, and how often the AI had said the same."""

    key: str
    words: str
    #: Its place in the order of work.
    place: int
    share: ShareView


class WeekView(View):
    """A week, by its Monday."""

    monday: str
    share: ShareView


class CountView(View):
    """So many cases of which the AI said one thing and a person another, or the same."""

    ai: str
    person: str
    cases: int


class KindView(View):
    """Readers of one kind: those who had seen the AI's answer, or those who had not."""

    ai_seen: bool
    same: ShareView
    same_urgency: ShareView
    abstained: int
    classes: tuple[ClassView, ...]
    weeks: tuple[WeekView, ...]
    counts: tuple[CountView, ...]


class DayView(View):
    """The fields of a day, by how unlike the training images they were (percentiles)."""

    day: str
    fields: int
    median: float | None
    p90: float | None
    foreign: int
    bundles: tuple[str, ...]


class WaitsView(View):
    """Of so many cases, in seconds."""

    cases: int
    median_s: float | None
    p90_s: float | None


class WaitingView(View):
    """How long cases of one urgency wait for a person."""

    urgency: str
    opened: WaitsView
    signed: WaitsView
    unread: int


class FiguresView(View):
    """Everything."""

    site: str
    now: str
    unseen: KindView
    seen: KindView
    drift: tuple[DayView, ...]
    turnaround: tuple[WaitingView, ...]


def figures_view(figures: Figures, *, site: str | None, now: str) -> FiguresView:
    """The figures of a site, or of all of them."""
    return FiguresView(
        site=site or "",
        now=now,
        unseen=_kind(figures.unseen),
        seen=_kind(figures.seen),
        drift=tuple(_day(day) for day in figures.drift),
        turnaround=tuple(_waiting(one) for one in figures.turnaround),
    )


def _kind(found: Agreement) -> KindView:
    counts = sorted(found.counts.items(), key=lambda one: (-one[1], one[0]))
    return KindView(
        ai_seen=found.ai_seen,
        same=_share(found.same),
        same_urgency=_share(found.same_urgency),
        abstained=found.abstained,
        classes=tuple(
            ClassView(
                key=key,
                words=_words(key),
                place=_ORDER.index(key),
                share=_share(found.by_finding[key]),
            )
            for key in sorted(found.by_finding, key=_ORDER.index)
        ),
        weeks=tuple(
            WeekView(monday=monday, share=_share(share)) for monday, share in found.by_week.items()
        ),
        counts=tuple(
            CountView(ai=_words(ai), person=_words(person), cases=cases)
            for (ai, person), cases in counts
        ),
    )


def _words(key: str) -> str:
    """A finding as it is signed, without what is added to it there."""
    if key == CANNOT_SAY:
        return "cannot say"
    return FINDING_WORDS[Finding(key)].partition(";")[0].partition(":")[0]


def _share(share: Share) -> ShareView:
    low, high = share.interval or (None, None)
    return ShareView(agreed=share.agreed, total=share.total, low=low, high=high)


def _day(day: DriftDay) -> DayView:
    return DayView(
        day=day.day,
        fields=day.fields,
        median=day.median,
        p90=day.p90,
        foreign=day.foreign,
        bundles=tuple(sorted(bundle for bundle in day.bundles if bundle)),
    )


def _waiting(found: Turnaround) -> WaitingView:
    return WaitingView(
        urgency=found.urgency,
        opened=_waits(found.opened),
        signed=_waits(found.signed),
        unread=found.unread,
    )


def _waits(found: Waits) -> WaitsView:
    return WaitsView(cases=found.cases, median_s=found.median_s, p90_s=found.p90_s)
