"""Draws the table and says of each goal whether it was met; it measures nothing."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.bad_links.cases import INLINE_BYTES, OURS, Case, Way
from benchmarks.bad_links.measuring import Carried, Tally

#: The goals: of the limit on links without outages, and against the best other way.
MOST_OVER_LIMIT = 1.10
OVER_LIMIT_LETTERS = "abc"
#: Two ways that differ by less than one of these are level: what repeats of the same way differ by,
#: a share of their time on slow links, and one fsync.
LEVEL = 0.03
LEVEL_S = 0.002

HEAD = (
    "| link | image | way | images | p50 s | / limit | slowest s | first on its connection s "
    "| sent / image | on the wire / image | lost |\n|" + "---|" * 11
)
STRUCK_HEAD = (
    "| image | way | images | p50 s | / limit | slowest s | sent / image | on the wire / image "
    "| sent from the beginning again | lost |\n|" + "---|" * 10
)


@dataclass(frozen=True, slots=True)
class Found:
    """The figures of some images that went one way."""

    images: int
    p50_s: float
    slowest_s: float
    payload_share: float
    wire_share: float
    lost: int
    again: int


def summarise(images: Sequence[Carried]) -> Found | None:
    """None where none arrived."""
    times = [image.took_s for image in images if not image.failure]
    if not times:
        return None
    return Found(
        images=len(images),
        p50_s=statistics.median(times),
        slowest_s=max(times),
        payload_share=statistics.mean(image.payload_share for image in images),
        wire_share=statistics.mean(image.wire_share for image in images),
        lost=sum(bool(image.failure) for image in images),
        again=sum(image.attempts > 1 for image in images),
    )


def rows(tallies: Sequence[Tally]) -> list[str]:
    """One for each case and way, of images that no outage struck."""
    lines = []
    for tally in tallies:
        case = tally.case
        calm = [image for image in tally.images if not image.is_struck]
        found = summarise(calm)
        name = f"({case.letter}) {case.profile.title}"
        if found is None:
            lines.append(f"| {name} | {size_text(case)} | {tally.way.label} | 0 |" + " |" * 7)
            continue
        first = summarise([image for image in calm if image.is_first])
        lines.append(
            f"| {name} | {size_text(case)} | {tally.way.label} | {found.images} "
            f"| {found.p50_s:.3f} | {found.p50_s / case.limit_s:.2f} | {found.slowest_s:.3f} "
            f"| {'' if first is None else f'{first.p50_s:.3f}'} "
            f"| {found.payload_share:.2f} | {found.wire_share:.2f} | {found.lost} |"
        )
    return lines


def struck_rows(tallies: Sequence[Tally]) -> list[str]:
    """Of images in whose middle the link went away."""
    lines = []
    for tally in tallies:
        found = summarise([image for image in tally.images if image.is_struck])
        if found is None:
            continue
        limit_s = tally.case.limit_s + tally.case.outage_s
        again = "" if tally.case.size_bytes <= INLINE_BYTES else str(found.again)
        lines.append(
            f"| {size_text(tally.case)} | {tally.way.label} | {found.images} | {found.p50_s:.1f} "
            f"| {found.p50_s / limit_s:.2f} | {found.slowest_s:.1f} | {found.payload_share:.2f} "
            f"| {found.wire_share:.2f} | {again} | {found.lost} |"
        )
    return lines


def verdicts(tallies: Sequence[Tally]) -> list[str]:
    """Every goal with what was measured."""
    lines = []
    for ours in [tally for tally in tallies if tally.way == OURS]:
        case = ours.case
        where = f"({case.letter}) {size_text(case)}"
        calm = summarise([image for image in ours.images if not image.is_struck])
        if calm is None:
            lines.append(f"- {where}: nothing arrived: missed")
            continue
        if case.letter in OVER_LIMIT_LETTERS:
            share = calm.p50_s / case.limit_s
            lines.append(
                f"- {where}: {share:.2f} of the limit, at most {MOST_OVER_LIMIT:.2f}: "
                f"{_word(share <= MOST_OVER_LIMIT)}"
            )
        others = {
            t.way: found
            for t in tallies
            if t.case == case and t.way.method is not OURS.method
            if (found := summarise([i for i in t.images if not i.is_struck])) is not None
        }
        if others:
            lines.append(f"- {where}: {_against(calm, others)}")
        struck = [image for image in ours.images if image.is_struck]
        if struck and case.size_bytes > INLINE_BYTES:
            again = sum(image.attempts > 1 for image in struck)
            lines.append(
                f"- {where}: {again} of {len(struck)} struck images sent from the beginning "
                f"again, at most 0: {_word(again == 0)}"
            )
    lost = sum(bool(image.failure) for t in tallies if t.way == OURS for image in t.images)
    lines.append(f"- lost by hemowire: {lost}, at most 0: {_word(lost == 0)}")
    return lines


def _against(ours: Found, others: dict[Way, Found]) -> str:
    best = min(others, key=lambda way: others[way].p50_s)
    ratio = others[best].p50_s / ours.p50_s
    if ratio >= 1:
        word = "ahead: met"
    elif ratio >= 1 - LEVEL or ours.p50_s - others[best].p50_s <= LEVEL_S:
        word = "level: met"
    else:
        word = "behind: missed"
    return f"best other way ({best.label}) / hemowire: {ratio:.2f}, {word}"


def size_text(case: Case) -> str:
    """With the ends that are shaped, where they are both."""
    size = case.size_bytes
    text = f"{size / 1000:.0f} KB" if size < 2**20 else f"{size / 2**20:.0f} MiB"
    return f"{text}, both ends" if case.both_ends else text


def _word(is_met: bool) -> str:
    return "met" if is_met else "missed"
