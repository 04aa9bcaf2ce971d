"""Judges a history: each captured image recorded once with equal bytes, or rejected for a reason that was seen; pure.

It believes nothing that a program says of itself. What was put before the cameras is compared with
what the durable parties hold: lost, doubled, altered, silently rejected, or still on its way. Where a
card was copied, two devices give images the same place in one outbox: then one of them is recorded,
and the other must be set aside with its bytes and be shown to the operator. (Over 250 lines: every way to
break the promise is compared in one place.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from hemowire.chaos.history import (
    ArchiveRead,
    AsideImage,
    Capture,
    Ended,
    Event,
    Fault,
    Kind,
    ListedImage,
    OperatorRead,
    OutboxImage,
    OutboxRead,
    RecordedImage,
    RecordsRead,
)
from wire_protocol.json_messages import Reason

#: What the names of files begin with that were made to kill decoders.
DEADLY = "deadly-"
_DIAGNOSED, _REJECTED = "diagnosed", "rejected"
_E = TypeVar("_E")


class Wrong(StrEnum):
    """The ways in which the promise is broken."""

    LOST = "lost"
    DOUBLED = "doubled"
    ALTERED = "altered"
    SILENT = "silently rejected"
    NEEDLESS = "rejected without a cause"
    DROPPED = "dropped"
    HELD = "not recorded in time"
    CRASHED = "a program ended by itself"
    UNRECONCILED = "reconcile finds something"
    UNTESTED = "the run shows nothing"


@dataclass(frozen=True, slots=True)
class Problem:
    """One of them, in words."""

    wrong: Wrong
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The counts, and what is wrong; nothing is the only good answer."""

    captured: int
    diagnosed: int
    rejected: int
    #: Images of copied cards whose place another one has.
    set_aside: int
    faults: int
    problems: tuple[Problem, ...]

    @property
    def is_clean(self) -> bool:
        """Whether the promise held, in a run that could have broken it."""
        return not self.problems

    def count(self, wrong: Wrong) -> int:
        """How often."""
        return sum(problem.wrong is wrong for problem in self.problems)


def check(events: Iterable[Event]) -> Verdict:
    """The verdict; the same events give the same one."""
    history = tuple(events)
    given = [e for e in history if isinstance(e, Capture) and e.kind is Kind.INVOKE]
    outboxes, copied = _without_copies(_of(history, OutboxRead))
    records = [image for read in _of(history, RecordsRead) for image in read.images]
    recorded = {image.image_id for image in records}
    aside = {
        image.image_id: image
        for read in _of(history, RecordsRead)
        for image in read.set_aside
        if image.outbox_id in copied and image.image_id not in recorded
    }
    faults = [e for e in _of(history, Fault) if e.kind is Kind.OK]
    problems = [
        *_untested(history, given, faults),
        *_captured_once(given, outboxes),
        *_seqs(outboxes),
        *_recorded_once(outboxes, records, copied, aside),
        *_set_aside(history, outboxes, records, aside),
        *_archived(history, records),
        *_seen(history, records),
        *_caused(history, outboxes),
        *_reconciled(history, copied),
        *(
            Problem(Wrong.CRASHED, f"{e.program} ended by itself with {e.code} at {e.at_s:.1f} s")
            for e in _of(history, Ended)
        ),
    ]
    outcomes = Counter(image.outcome for image in records)
    return Verdict(
        captured=len(given),
        diagnosed=outcomes[_DIAGNOSED],
        rejected=outcomes[_REJECTED],
        set_aside=len(aside),
        faults=len(faults),
        problems=tuple(problems),
    )


def _of(history: Sequence[Event], kind: type[_E]) -> list[_E]:
    return [event for event in history if isinstance(event, kind)]


def _without_copies(outboxes: Sequence[OutboxRead]) -> tuple[list[OutboxRead], set[str]]:
    """Each outbox with the rows that are its own, and the ids of those that two devices have.

    The first of two is the original; what a copied card brought along is the original's.
    """
    rows_of: dict[str, set[str]] = {}
    copied: set[str] = set()
    own = []
    for outbox in outboxes:
        if outbox.outbox_id not in rows_of:
            rows_of[outbox.outbox_id] = {image.image_id for image in outbox.images}
            own.append(outbox)
            continue
        copied.add(outbox.outbox_id)
        known = rows_of[outbox.outbox_id]
        fresh = tuple(image for image in outbox.images if image.image_id not in known)
        known |= {image.image_id for image in fresh}
        own.append(outbox.model_copy(update={"images": fresh}))
    return own, copied


def _untested(
    history: Sequence[Event], given: Sequence[Capture], faults: Sequence[Fault]
) -> Iterable[Problem]:
    """A run without images, readings or faults proves nothing, and must not look as if it did."""
    if not given:
        yield Problem(Wrong.UNTESTED, "no image was captured")
    if not faults:
        yield Problem(Wrong.UNTESTED, "no fault was done")
    for kind, name in (
        (OutboxRead, "outbox"),
        (RecordsRead, "records store"),
        (ArchiveRead, "archive"),
        (OperatorRead, "operator's list"),
    ):
        if not any(isinstance(event, kind) for event in history):
            yield Problem(Wrong.UNTESTED, f"the {name} was not read at the end")
    for fault in _of(history, Fault):
        if fault.kind is Kind.FAIL:
            text = f"fault {fault.number}, {fault.fault} of {fault.target}: {fault.detail}"
            yield Problem(Wrong.UNTESTED, text)


def _captured_once(given: Sequence[Capture], outboxes: Sequence[OutboxRead]) -> Iterable[Problem]:
    """Every file of the camera is in its outbox once, with the bytes that it had."""
    kept: dict[tuple[str, str], list[OutboxImage]] = {}
    for outbox in outboxes:
        for image in outbox.images:
            kept.setdefault((outbox.device, image.source), []).append(image)
    for capture in given:
        found = kept.pop((capture.device, capture.source), [])
        name = f"{capture.device}: {capture.source}"
        if not found:
            yield Problem(Wrong.LOST, f"{name} was never captured")
        if len(found) > 1:
            yield Problem(Wrong.DOUBLED, f"{name} was captured {len(found)} times")
        for image in found:
            if image.sha256 != capture.sha256:
                yield Problem(Wrong.ALTERED, f"{name}: other bytes in the outbox")
    for (device, source), images in kept.items():
        yield Problem(
            Wrong.DOUBLED, f"{device} captured {source} {len(images)} times, nobody put it"
        )


def _seqs(outboxes: Sequence[OutboxRead]) -> Iterable[Problem]:
    seen: set[str] = set()
    for outbox in outboxes:
        if outbox.outbox_id in seen:
            continue  # a copy: most of its seqs are its original's
        seen.add(outbox.outbox_id)
        seqs = Counter(image.seq for image in outbox.images)
        gaps = sorted(set(range(1, outbox.next_seq)) - set(seqs))
        if gaps:
            yield Problem(Wrong.LOST, f"{outbox.device}: no row has seq {gaps[:10]}")


def _recorded_once(
    outboxes: Sequence[OutboxRead],
    records: Sequence[RecordedImage],
    copied: Collection[str],
    aside: Collection[str],
) -> Iterable[Problem]:
    """Every row of an outbox has one record, with its digest, and every record a row.

    Of a copied card either device may have brought an image that both had.
    """
    by_place: dict[tuple[str, str], list[RecordedImage]] = {}
    for record in records:
        device = "" if record.outbox_id in copied else record.device
        by_place.setdefault((device, record.image_id), []).append(record)
    for outbox in outboxes:
        device = "" if outbox.outbox_id in copied else outbox.device
        for image in outbox.images:
            if image.image_id in aside:
                continue
            found = by_place.pop((device, image.image_id), [])
            name = f"{outbox.device} seq {image.seq} image {image.image_id[-6:]}"
            if not found and image.bytes_held and image.state != "recorded":
                yield Problem(Wrong.HELD, f"{name} is {image.state} and has no record")
            elif not found:
                yield Problem(Wrong.LOST, f"{name} is {image.state} and has no record")
            if len(found) > 1:
                yield Problem(Wrong.DOUBLED, f"{name} is recorded {len(found)} times")
            for record in found:
                if record.sha256 != image.sha256:
                    yield Problem(Wrong.ALTERED, f"{name} is recorded with other bytes")
                if (record.outbox_id, record.seq) != (outbox.outbox_id, image.seq):
                    yield Problem(Wrong.ALTERED, f"{name} is recorded as seq {record.seq}")
                if record.outcome not in (_DIAGNOSED, _REJECTED):
                    yield Problem(Wrong.DROPPED, f"{name} is recorded as {record.outcome}")
    for (device, image_id), found in by_place.items():
        text = f"{device} image {image_id[-6:]} is recorded and was never captured"
        yield from (Problem(Wrong.DOUBLED, text) for _ in found)


def _set_aside(
    history: Sequence[Event],
    outboxes: Sequence[OutboxRead],
    records: Sequence[RecordedImage],
    aside: dict[str, AsideImage],
) -> Iterable[Problem]:
    """Another image has its place, its bytes are kept, and reconcile names it."""
    places = {(record.outbox_id, record.seq) for record in records}
    blobs = {blob.name for read in _of(history, ArchiveRead) for blob in read.blobs}
    held = {image.image_id for outbox in outboxes for image in outbox.images if image.bytes_held}
    told = {finding.image_id for read in _of(history, OperatorRead) for finding in read.findings}
    for image in aside.values():
        name = f"{image.device} seq {image.seq} image {image.image_id[-6:]}, set aside"
        if (image.outbox_id, image.seq) not in places:
            yield Problem(Wrong.LOST, f"{name}: no other image has its place")
        if image.sha256 not in blobs and image.image_id not in held:
            yield Problem(Wrong.LOST, f"{name}: nobody has its bytes")
        if image.image_id not in told:
            yield Problem(Wrong.SILENT, f"{name}: reconcile does not name it")


def _archived(history: Sequence[Event], records: Sequence[RecordedImage]) -> Iterable[Problem]:
    """The bytes of every diagnosed image are in the archive under their digest, and are those."""
    blobs = {blob.name: blob.sha256 for read in _of(history, ArchiveRead) for blob in read.blobs}
    for record in records:
        if record.outcome != _DIAGNOSED:
            continue
        name = f"{record.device} image {record.image_id[-6:]}"
        if record.sha256 not in blobs:
            yield Problem(Wrong.LOST, f"{name}: the archive does not have its bytes")
        elif blobs[record.sha256] != record.sha256:
            yield Problem(Wrong.ALTERED, f"{name}: the archive has other bytes under its digest")


def _seen(history: Sequence[Event], records: Sequence[RecordedImage]) -> Iterable[Problem]:
    """The operator's list has every image, and each rejected one with a reason and words."""
    listed: dict[tuple[str, str], ListedImage] = {
        (image.device, image.image_id): image
        for read in _of(history, OperatorRead)
        for image in read.images
    }
    for record in records:
        shown = listed.get((record.device, record.image_id))
        name = f"{record.device} image {record.image_id[-6:]}"
        if shown is None:
            yield Problem(Wrong.SILENT, f"{name} is {record.outcome}; the operator's list lacks it")
        elif shown.outcome != record.outcome:
            yield Problem(Wrong.SILENT, f"{name} is {record.outcome}, shown as {shown.outcome}")
        elif record.outcome == _REJECTED and not (shown.reason.strip() and shown.text.strip()):
            yield Problem(
                Wrong.SILENT, f"{name} is rejected without a reason that anybody can read"
            )


def _caused(history: Sequence[Event], outboxes: Sequence[OutboxRead]) -> Iterable[Problem]:
    """An image that the run left alone is not rejected as damaged, or as one that kills programs."""
    rotten = {fault.image_id for fault in _of(history, Fault)}
    deadly = {
        image.image_id
        for outbox in outboxes
        for image in outbox.images
        if image.source.startswith(DEADLY)
    }
    causes: dict[str, Collection[str]] = {
        Reason.DAMAGED_ON_DEVICE: rotten,
        Reason.CRASHES_DECODER: deadly,
        Reason.INFERENCE_FAILED: (),
    }
    for read in _of(history, OperatorRead):
        for image in read.images:
            if image.image_id not in causes.get(image.reason, (image.image_id,)):
                name = f"{image.device} image {image.image_id[-6:]}"
                yield Problem(Wrong.NEEDLESS, f"{name} is rejected as {image.reason}")


def _reconciled(history: Sequence[Event], copied: Collection[str]) -> Iterable[Problem]:
    """The program's own proof must agree: where it does not, one of the two is wrong.

    It must complain of copied cards, and of nothing else.
    """
    for read in _of(history, OperatorRead):
        others = [finding for finding in read.findings if finding.outbox_id not in copied]
        is_known = bool(read.findings) and not others and read.reconcile_code == 1
        if read.reconcile_code != 0 and not is_known:
            text = f"hemowire records reconcile: exit code {read.reconcile_code}"
            yield Problem(Wrong.UNRECONCILED, f"{text}: {read.reconcile_text}")
