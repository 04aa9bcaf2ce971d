"""Who is there: the present life counts, an earlier one's will never, and a goodbye is no crash."""

from __future__ import annotations

import pytest

from wire_protocol.codec import PeerError
from wire_protocol.json_messages import STOPPED, Presence, Status
from wire_protocol.presence import REMOVED, PresenceBook, WrongTopicError
from wire_protocol.topics import Kind, ParsedTopic

TOPIC = ParsedTopic(Kind.WORKER_STATUS, {"worker": "w1"})
OTHER = ParsedTopic(Kind.WORKER_STATUS, {"worker": "w2"})


def said(state: str, life: str, reason: str = "", worker: str = "w1") -> bytes:
    return Status(
        state=Presence(state), incarnation=life * 32, program="worker", id=worker, reason=reason
    ).to_bytes()


def states(book: PresenceBook, *payloads: bytes) -> list[str | None]:
    heard = [book.hear(TOPIC, payload) for payload in payloads]
    return [None if status is None else status.state.value for status in heard]


def test_a_late_will_of_an_earlier_life_is_ignored() -> None:
    book = PresenceBook()
    story = (("online", "a"), ("online", "b"), ("offline", "a"), ("offline", "b"))
    assert states(book, *(said(*word) for word in story)) == ["online", "online", None, "offline"]


def test_the_retained_offline_of_somebody_never_seen_counts() -> None:
    assert states(PresenceBook(), said("offline", "a")) == ["offline"]


def test_a_removed_status_is_an_end_once_and_not_malformed() -> None:
    book = PresenceBook()
    assert states(book, b"", said("online", "a")) == [None, "online"]
    removed = book.hear(TOPIC, b"")
    assert removed is not None and not removed.is_goodbye
    assert (removed.state, removed.reason, removed.id) == (Presence.OFFLINE, REMOVED, "w1")
    assert states(book, b"", said("online", "b")) == [None, "online"]


def test_after_a_lost_connection_the_retained_word_of_any_life_counts() -> None:
    book = PresenceBook()
    book.hear(TOPIC, said("online", "a"))
    book.forget()
    assert states(book, said("offline", "b")) == ["offline"]


def test_each_topic_has_lives_of_its_own() -> None:
    book = PresenceBook()
    book.hear(TOPIC, said("online", "a"))
    gone = book.hear(OTHER, said("offline", "b", worker="w2"))
    assert gone is not None and gone.id == "w2"


@pytest.mark.parametrize("payload", [b"{}", b"not json", b"\xff"])
def test_what_is_no_status_is_malformed(payload: bytes) -> None:
    with pytest.raises(PeerError):
        PresenceBook().hear(TOPIC, payload)


def test_a_status_of_somebody_else_is_refused_and_changes_nothing() -> None:
    book = PresenceBook()
    book.hear(TOPIC, said("online", "a"))
    device = ParsedTopic(Kind.DEVICE_STATUS, {"site": "lab", "device": "w1"})
    for topic in (OTHER, device):
        with pytest.raises(WrongTopicError):
            book.hear(topic, said("offline", "b"))
    assert states(book, said("offline", "a")) == ["offline"]


def test_only_a_stop_is_a_goodbye() -> None:
    said_how = [("offline", STOPPED), ("offline", "connection lost"), ("online", STOPPED)]
    statuses = [Status.from_bytes(said(state, "a", reason)) for state, reason in said_how]
    assert [status.is_goodbye for status in statuses] == [True, False, False]
