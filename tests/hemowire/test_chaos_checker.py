"""The chaos checker notices every way in which the promise can be broken: each mutant of a good history is refused.

Longer than most: one mutant per promise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from hemowire.chaos.checker import Wrong, check
from hemowire.chaos.delays import Delays, delays
from hemowire.chaos.history import (
    ArchiveRead,
    AsideImage,
    Blob,
    Capture,
    Ended,
    Event,
    Fault,
    Finding,
    History,
    HistoryError,
    Kind,
    ListedImage,
    OperatorRead,
    OutboxImage,
    OutboxRead,
    Record,
    RecordedImage,
    RecordsRead,
    read_history,
)

_DEVICES = ("scope-1", "scope-2")
_EACH = 4


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def image_id(device: str, seq: int) -> str:
    return digest(f"{device} {seq}")[:32]


def outcome_of(seq: int) -> str:
    return "rejected" if seq == 3 else "diagnosed"


def good_history() -> list[Event]:
    """Two devices, four images each, the third rejected."""
    places = [(device, seq) for device in _DEVICES for seq in range(1, _EACH + 1)]
    events: list[Event] = [
        Capture(kind=Kind.INVOKE, device=d, source=f"{s}.jpg", sha256=digest(f"bytes {d} {s}"))
        for d, s in places
    ]
    events.append(Fault(kind=Kind.OK, number=1, fault="kill -9", target="broker"))
    for device in _DEVICES:
        rows = tuple(
            OutboxImage(
                image_id=image_id(device, seq),
                seq=seq,
                sha256=digest(f"bytes {device} {seq}"),
                state="recorded",
                source=f"{seq}.jpg",
                bytes_held=True,
            )
            for seq in range(1, _EACH + 1)
        )
        events.append(OutboxRead(device=device, outbox_id=device, next_seq=_EACH + 1, images=rows))
    records = tuple(
        RecordedImage(
            device=d,
            image_id=image_id(d, s),
            outbox_id=d,
            seq=s,
            sha256=digest(f"bytes {d} {s}"),
            outcome=outcome_of(s),
        )
        for d, s in places
    )
    listed = tuple(
        ListedImage(
            device=d,
            image_id=image_id(d, s),
            outcome=outcome_of(s),
            reason="focus" if s == 3 else "",
            text="Out of focus. Take it again.",
        )
        for d, s in places
    )
    blobs = tuple(
        Blob(name=digest(f"bytes {d} {s}"), sha256=digest(f"bytes {d} {s}"))
        for d, s in places
        if s != 3
    )
    return [
        *events,
        RecordsRead(images=records),
        ArchiveRead(blobs=blobs),
        OperatorRead(images=listed, reconcile_code=0),
    ]


Mutant = Callable[[list[Event]], Sequence[Event]]


def _outbox(change: Callable[[tuple[OutboxImage, ...]], tuple[OutboxImage, ...]]) -> Mutant:
    def mutate(events: list[Event]) -> Sequence[Event]:
        at = next(i for i, e in enumerate(events) if isinstance(e, OutboxRead))
        found = events[at]
        assert isinstance(found, OutboxRead)
        events[at] = found.model_copy(update={"images": change(found.images)})
        return events

    return mutate


def _records(change: Callable[[tuple[RecordedImage, ...]], tuple[RecordedImage, ...]]) -> Mutant:
    def mutate(events: list[Event]) -> Sequence[Event]:
        return [
            e.model_copy(update={"images": change(e.images)}) if isinstance(e, RecordsRead) else e
            for e in events
        ]

    return mutate


def _archive(change: Callable[[tuple[Blob, ...]], tuple[Blob, ...]]) -> Mutant:
    def mutate(events: list[Event]) -> Sequence[Event]:
        return [
            e.model_copy(update={"blobs": change(e.blobs)}) if isinstance(e, ArchiveRead) else e
            for e in events
        ]

    return mutate


def _listed(change: Callable[[ListedImage], ListedImage | None]) -> Mutant:
    def mutate(events: list[Event]) -> Sequence[Event]:
        return [
            e.model_copy(
                update={"images": tuple(c for i in e.images if (c := change(i)) is not None)}
            )
            if isinstance(e, OperatorRead)
            else e
            for e in events
        ]

    return mutate


def _without(kind: type[Event]) -> Mutant:
    return lambda events: [event for event in events if not isinstance(event, kind)]


def _with(event: Event) -> Mutant:
    return lambda events: [*events, event]


def _held(image: OutboxImage) -> OutboxImage:
    return image.model_copy(update={"state": "stored"})


def _freed(image: OutboxImage) -> OutboxImage:
    return image.model_copy(update={"bytes_held": False})


def _lost_from_records_and_held(events: list[Event]) -> Sequence[Event]:
    events = list(_outbox(lambda rows: (_held(rows[0]), *rows[1:]))(events))
    return _records(lambda rows: rows[1:])(events)


MUTANTS: dict[str, tuple[Wrong, Mutant]] = {
    "a file that the camera never took": (Wrong.LOST, _outbox(lambda rows: rows[:-1])),
    "a row that is gone from the middle of the outbox": (
        Wrong.LOST,
        _outbox(lambda rows: (rows[0], *rows[2:])),
    ),
    "a file that was captured twice": (
        Wrong.DOUBLED,
        _outbox(lambda rows: (*rows, rows[0].model_copy(update={"image_id": "f" * 32, "seq": 5}))),
    ),
    "other bytes in the outbox": (
        Wrong.ALTERED,
        _outbox(lambda rows: (rows[0].model_copy(update={"sha256": "0" * 64}), *rows[1:])),
    ),
    "a record that is gone, and the outbox trusts it": (
        Wrong.LOST,
        _records(lambda rows: rows[1:]),
    ),
    "a record that is not there yet": (Wrong.HELD, _lost_from_records_and_held),
    "a record that is doubled": (Wrong.DOUBLED, _records(lambda rows: (*rows, rows[0]))),
    "a record under another image's name": (
        Wrong.DOUBLED,
        _records(lambda rows: (*rows, rows[0].model_copy(update={"image_id": "e" * 32}))),
    ),
    "a record of other bytes": (
        Wrong.ALTERED,
        _records(lambda rows: (rows[0].model_copy(update={"sha256": "0" * 64}), *rows[1:])),
    ),
    "a record in another place of the outbox": (
        Wrong.ALTERED,
        _records(lambda rows: (rows[0].model_copy(update={"seq": 9}), *rows[1:])),
    ),
    "an image that a rule dropped": (
        Wrong.DROPPED,
        _records(lambda rows: (rows[0].model_copy(update={"outcome": "dropped"}), *rows[1:])),
    ),
    "a blob that is gone": (Wrong.LOST, _archive(lambda blobs: blobs[1:])),
    "a blob with a byte changed": (
        Wrong.ALTERED,
        _archive(lambda blobs: (blobs[0].model_copy(update={"sha256": "0" * 64}), *blobs[1:])),
    ),
    "a rejection without a reason": (
        Wrong.SILENT,
        _listed(lambda image: image.model_copy(update={"reason": ""})),
    ),
    "a rejection without words": (
        Wrong.SILENT,
        _listed(lambda image: image.model_copy(update={"text": " "})),
    ),
    "a rejection that nobody was shown": (
        Wrong.SILENT,
        _listed(lambda image: None if image.outcome == "rejected" else image),
    ),
    "a rejection that is shown as a diagnosis": (
        Wrong.SILENT,
        _listed(lambda image: image.model_copy(update={"outcome": "diagnosed"})),
    ),
    "an image rejected as damaged that no fault damaged": (
        Wrong.NEEDLESS,
        _listed(lambda image: image.model_copy(update={"reason": "damaged_on_device"})),
    ),
    "an image rejected as a killer that was none": (
        Wrong.NEEDLESS,
        _listed(lambda image: image.model_copy(update={"reason": "crashes_decoder"})),
    ),
    "a program that ended by itself": (Wrong.CRASHED, _with(Ended(program="worker-1", code=1))),
    "a reconcile that finds a gap": (
        Wrong.UNRECONCILED,
        _with(OperatorRead(images=(), reconcile_code=1)),
    ),
    "a fault that could not be done": (
        Wrong.UNTESTED,
        _with(Fault(kind=Kind.FAIL, number=2, fault="kill -9", target="broker")),
    ),
    "no faults": (Wrong.UNTESTED, _without(Fault)),
    "no images": (Wrong.UNTESTED, _without(Capture)),
    "no reading of the archive": (Wrong.UNTESTED, _without(ArchiveRead)),
    "no reading of the outboxes": (Wrong.UNTESTED, _without(OutboxRead)),
}


def test_a_good_history_is_clean() -> None:
    verdict = check(good_history())
    assert verdict.problems == ()
    assert (verdict.captured, verdict.diagnosed, verdict.rejected) == (8, 6, 2)
    assert verdict.set_aside == 0


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_noticed(name: str) -> None:
    wrong, mutate = MUTANTS[name]
    verdict = check(mutate(good_history()))
    assert wrong in {problem.wrong for problem in verdict.problems}
    assert not verdict.is_clean


# --- a copied card -------------------------------------------------------------------------------

_COPY = "copy-1"
_TAKEN = image_id(_COPY, 4)


def copied_history() -> list[Event]:
    """The card of the first device was copied after its third image: both give a fourth."""
    events = good_history()
    content = digest(f"bytes {_COPY} 4")
    events.insert(0, Capture(kind=Kind.INVOKE, device=_COPY, source="c.jpg", sha256=content))
    original = next(e for e in events if isinstance(e, OutboxRead))
    fourth = OutboxImage(
        image_id=_TAKEN, seq=4, sha256=content, state="stored", source="c.jpg", bytes_held=True
    )
    rows = (*original.images[:3], fourth)
    copy = OutboxRead(device=_COPY, outbox_id=original.outbox_id, next_seq=5, images=rows)
    place = {"device": _COPY, "image_id": _TAKEN, "outbox_id": original.outbox_id, "seq": 4}
    aside = AsideImage(sha256=content, **place)
    finding = Finding(what="conflicts", outbox_id=original.outbox_id, image_id=_TAKEN)
    changed: list[Event] = []
    for event in events:
        match event:
            case RecordsRead():
                changed += [copy, event.model_copy(update={"set_aside": (aside,)})]
            case ArchiveRead():
                blobs = (*event.blobs, Blob(name=content, sha256=content))
                changed.append(event.model_copy(update={"blobs": blobs}))
            case OperatorRead():
                told = {"reconcile_code": 1, "reconcile_text": "x", "findings": (finding,)}
                changed.append(event.model_copy(update=told))
            case _:
                changed.append(event)
    return changed


def _not_aside(events: list[Event]) -> Sequence[Event]:
    return [
        e.model_copy(update={"set_aside": ()}) if isinstance(e, RecordsRead) else e for e in events
    ]


def _bytes_gone(events: list[Event]) -> Sequence[Event]:
    events = list(_archive(lambda blobs: blobs[:-1])(events))
    return [
        e.model_copy(update={"images": (*e.images[:3], _freed(e.images[3]))})
        if isinstance(e, OutboxRead) and e.device == _COPY
        else e
        for e in events
    ]


def _operator(**told: object) -> Mutant:
    return lambda events: [
        e.model_copy(update=told) if isinstance(e, OperatorRead) else e for e in events
    ]


_OF_ANOTHER = Finding(what="outbox", outbox_id="scope-2")

COPIED_MUTANTS: dict[str, tuple[Wrong, Mutant]] = {
    "the image of a copied card was not set aside": (Wrong.HELD, _not_aside),
    "nobody has the bytes of one that was set aside": (Wrong.LOST, _bytes_gone),
    "no other image has its place": (
        Wrong.LOST,
        _records(lambda rows: tuple(r for r in rows if (r.device, r.seq) != ("scope-1", 4))),
    ),
    "reconcile does not name it": (
        Wrong.SILENT,
        _operator(findings=(Finding(what="outbox", outbox_id="scope-1"),)),
    ),
    "reconcile calls it clean": (Wrong.SILENT, _operator(reconcile_code=0, findings=())),
    "reconcile complains of another outbox too": (
        Wrong.UNRECONCILED,
        _operator(findings=(_OF_ANOTHER, Finding(what="c", outbox_id="scope-1", image_id=_TAKEN))),
    ),
}


def test_of_a_copied_card_one_image_is_recorded_and_the_other_set_aside() -> None:
    verdict = check(copied_history())
    assert verdict.problems == ()
    assert (verdict.captured, verdict.diagnosed, verdict.set_aside) == (9, 6, 1)


@pytest.mark.parametrize("name", COPIED_MUTANTS)
def test_a_mutant_of_a_copied_card_is_noticed(name: str) -> None:
    wrong, mutate = COPIED_MUTANTS[name]
    assert wrong in {problem.wrong for problem in check(mutate(copied_history())).problems}


def test_an_image_set_aside_of_a_card_that_nobody_copied_is_a_problem() -> None:
    events = [
        e.model_copy(
            update={
                "images": e.images[1:],
                "set_aside": (
                    AsideImage(
                        device="scope-1",
                        image_id=image_id("scope-1", 1),
                        outbox_id="scope-1",
                        seq=1,
                        sha256=digest("bytes scope-1 1"),
                    ),
                ),
            }
        )
        if isinstance(e, RecordsRead)
        else e
        for e in good_history()
    ]
    assert not check(events).is_clean


def test_a_delay_is_from_the_camera_to_the_first_record() -> None:
    capture = Capture(kind=Kind.INVOKE, device="d", source="1.jpg", sha256="", at_s=1.0)
    kept = capture.model_copy(update={"kind": Kind.OK, "image_id": "i", "at_s": 2.0})
    record = Record(kind=Kind.OK, device="d", image_id="i", at_s=4.5)
    again = record.model_copy(update={"at_s": 60.0})
    assert delays([capture, kept, record, again]) == Delays(1, 3.5, 3.5, 3.5)
    assert delays([capture]) is None


def test_a_history_reads_back_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    with History(file, lambda: 0.0) as history:
        for event in good_history():
            history.add(event)
    assert read_history(file) == tuple(good_history())
    file.write_text('{"event": "capture"}\n')
    with pytest.raises(HistoryError, match="line 1"):
        read_history(file)
