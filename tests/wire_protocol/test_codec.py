"""Packets: every message comes back as it went, and no bytes raise anything but PeerError.

Longer than most: every message of the protocol comes by.
"""

from __future__ import annotations

import zlib
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wire_protocol import messages as m
from wire_protocol.codec import (
    KINDS,
    MAX_PACKET_BYTES,
    VERSION,
    OversizedError,
    PeerError,
    UnsupportedVersionError,
    decode,
    encode,
)
from wire_protocol.manifest import ContentType, Manifest, OverrideReason, Priority
from wire_protocol.reference import examples

HEX32 = st.text("0123456789abcdef", min_size=32, max_size=32)
SHA = st.text("0123456789abcdef", min_size=64, max_size=64)
LEVEL = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
ATTEMPT = st.integers(1, 2**64 - 1)
COUNT = st.integers(0, 2**63 - 1)
SECONDS = st.floats(0.001, 3600)
CASE = st.just("unfiled") | st.from_regex(r"[A-Z][0-9][A-Z0-9-]{2,14}", fullmatch=True)


@st.composite
def ranges(draw: st.DrawFn, end: int = 2**40) -> tuple[m.Range, ...]:
    cuts = sorted(draw(st.sets(st.integers(0, end), max_size=40)))
    return tuple(zip(cuts[::2], cuts[1::2], strict=False))


@st.composite
def manifests(draw: st.DrawFn, size: st.SearchStrategy[int] | None = None) -> Manifest:
    overridden = draw(st.booleans())
    return Manifest(
        image_id=draw(HEX32),
        outbox_id=draw(HEX32),
        seq=draw(st.integers(1, 2**63 - 1)),
        sha256=draw(SHA),
        size_bytes=draw(st.integers(1, 64 * 1024 * 1024) if size is None else size),
        content_type=draw(st.sampled_from(ContentType)),
        width_px=draw(st.integers(1, 65_535)),
        height_px=draw(st.integers(1, 65_535)),
        um_per_px=draw(st.none() | st.floats(0.001, 100)),
        case_id=draw(CASE),
        captured_at="2026-11-21T09:14:03.120Z",
        clock_synced=draw(st.booleans()),
        captured_ns=draw(COUNT),
        boot_id=draw(HEX32),
        priority=draw(st.sampled_from(Priority)),
        gate_override=overridden,
        override_reason=draw(st.just("") | st.sampled_from(OverrideReason)) if overridden else "",
    )


PREVIEWS = st.builds(
    m.Preview,
    sha256=SHA,
    width_px=st.integers(1, 65_535),
    height_px=st.integers(1, 65_535),
    um_per_px=st.floats(0.001, 100),
    data=st.binary(min_size=1, max_size=300),
)


@st.composite
def offers(draw: st.DrawFn) -> m.Offer:
    inline = draw(st.none() | st.binary(min_size=1, max_size=200))
    manifest = draw(manifests(st.just(len(inline)) if inline else None))
    stored = draw(st.booleans()) and inline is None
    preview = None if inline or stored else draw(st.none() | PREVIEWS)
    return m.Offer(
        attempt=draw(ATTEMPT),
        manifest=manifest,
        stored=stored,
        suspect=draw(st.booleans()),
        inline=inline,
        preview=preview,
    )


@st.composite
def progresses(draw: st.DrawFn) -> m.Progress:
    missing = draw(ranges())
    upto = draw(st.integers(missing[-1][1] if missing else 0, 2**41))
    return m.Progress(draw(ATTEMPT), draw(COUNT), upto, missing, draw(COUNT))


RECORDED = st.builds(
    m.Recorded, image_id=HEX32, sha256=SHA, outcome=st.sampled_from(m.Outcome), store_id=HEX32
)
CHUNK = st.builds(
    m.Chunk, ATTEMPT, COUNT, st.integers(0, 2**32 - 1), st.binary(min_size=1, max_size=300)
)
REASON = st.sampled_from(m.Reason)
MESSAGES: dict[type, st.SearchStrategy[Any]] = {
    m.Offer: offers(),
    m.Chunk: CHUNK,
    m.Probe: st.builds(m.Probe, ATTEMPT, COUNT, st.booleans()),
    m.DeviceRelease: st.builds(m.DeviceRelease, attempt=ATTEMPT, reason=REASON),
    m.Claim: st.builds(
        m.Claim,
        attempt=ATTEMPT,
        worker=LEVEL,
        lease_s=SECONDS,
        limit=COUNT,
        max_chunk=st.integers(1, m.MAX_CHUNK_BYTES),
        have=ranges(),
    ),
    m.Busy: st.builds(m.Busy, attempt=ATTEMPT, retry_after_s=st.floats(0, 3600)),
    m.Unknown: st.builds(m.Unknown, attempt=ATTEMPT),
    m.WorkerRelease: st.builds(m.WorkerRelease, attempt=ATTEMPT, reason=REASON),
    m.Stored: st.builds(m.Stored, attempt=ATTEMPT, image_id=HEX32, sha256=SHA),
    m.Mismatch: st.builds(m.Mismatch, attempt=ATTEMPT, image_id=HEX32, actual=SHA),
    m.Refused: st.builds(
        m.Refused,
        attempt=ATTEMPT,
        image_id=HEX32,
        reason=st.text("abc_", min_size=1, max_size=64),
        detail=st.text(max_size=100),
    ),
    m.Progress: progresses(),
    m.Inquiry: st.builds(
        m.Inquiry,
        inquiry_id=HEX32,
        outbox_id=HEX32,
        image_ids=st.lists(HEX32, min_size=1, max_size=5).map(tuple),
    ),
    m.Recorded: RECORDED,
    m.InquiryAnswer: st.builds(
        m.InquiryAnswer,
        inquiry_id=HEX32,
        store_id=HEX32,
        known=st.lists(RECORDED, max_size=3).map(tuple),
        unknown=st.lists(HEX32, max_size=3).map(tuple),
    ),
    m.Refiled: st.builds(m.Refiled, refile_id=HEX32, image_id=HEX32, store_id=HEX32),
    m.ClockRequest: st.builds(m.ClockRequest, requester=LEVEL, boot_id=HEX32, sent_ns=COUNT),
    m.ClockReply: st.builds(
        m.ClockReply,
        boot_id=HEX32,
        records_boot_id=HEX32,
        sent_ns=COUNT,
        received_ns=COUNT,
        replied_ns=COUNT,
    ),
}
ANY = st.sampled_from(list(MESSAGES)).flatmap(lambda kind: MESSAGES[kind])


def sealed(body: bytes) -> bytes:
    """A packet with a right checksum, whatever it says."""
    return body + zlib.crc32(body).to_bytes(4, "big")


def test_every_kind_is_tried_here() -> None:
    assert set(MESSAGES) == set(KINDS.values())


@pytest.mark.parametrize("kind", list(MESSAGES), ids=lambda kind: kind.__name__)
def test_a_message_comes_back_as_it_went(kind: type) -> None:
    @settings(max_examples=25, deadline=None)
    @given(message=MESSAGES[kind])
    def round_trip(message: m.Message) -> None:
        back = decode(encode(message))
        assert back == message
        assert type(back) is kind

    round_trip()


@given(message=ANY, data=st.data())
def test_one_changed_bit_is_noticed_or_harmless(message: m.Message, data: st.DataObject) -> None:
    packet = encode(message)
    at = data.draw(st.integers(0, len(packet) - 1))
    bit = data.draw(st.integers(0, 7))
    damaged = packet[:at] + bytes((packet[at] ^ (1 << bit),)) + packet[at + 1 :]
    try:
        back = decode(damaged)
    except PeerError:
        return
    # Only a Chunk has no checksum over its header; its bytes have one, its image a digest.
    assert isinstance(back, m.Chunk)
    assert isinstance(message, m.Chunk)


@given(message=ANY, cut=st.integers(1, 40))
def test_a_packet_cut_short_is_refused(message: m.Message, cut: int) -> None:
    with pytest.raises(PeerError):
        decode(encode(message)[:-cut])


@given(payload=st.binary(max_size=400))
def test_any_bytes_raise_nothing_but_a_peer_error(payload: bytes) -> None:
    with pytest.raises(PeerError):
        decode(payload)


@given(kind=st.sampled_from(sorted(KINDS)), body=st.binary(max_size=200))
def test_a_right_head_and_checksum_around_rubbish_raise_nothing_but_a_peer_error(
    kind: int, body: bytes
) -> None:
    try:
        message = decode(sealed(bytes((VERSION, kind)) + body))
    except PeerError:
        return
    assert decode(encode(message)) == message  # a small one may come about by chance


LOOSE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=70)
    | st.binary(max_size=70),
    lambda inner: (
        st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=20,
)


@given(kind=st.sampled_from(sorted(KINDS)), fields=st.lists(LOOSE, max_size=18))
def test_fields_of_wrong_types_raise_nothing_but_a_peer_error(kind: int, fields: list[Any]) -> None:
    body = bytes((VERSION, kind)) + msgpack.packb(fields)
    try:
        message = decode(body if KINDS[kind] is m.Chunk else sealed(body))
    except PeerError:
        return
    assert decode(encode(message)) == message


@given(message=ANY.filter(lambda message: not isinstance(message, m.Chunk)), more=LOOSE)
def test_fields_that_a_later_minor_version_appends_are_ignored(
    message: m.Message, more: Any
) -> None:
    packet = encode(message)
    fields = msgpack.unpackb(packet[2:-4], strict_map_key=False)
    body = bytes((VERSION + 1,)) + packet[1:2] + msgpack.packb([*fields, more])
    assert decode(sealed(body)) == message


@given(message=offers())
def test_an_offer_of_version_1_0_has_no_reason_for_its_override(message: m.Offer) -> None:
    packet = encode(message)
    fields = msgpack.unpackb(packet[2:-4])
    *of_1_0, reason = fields[1]
    assert reason == message.manifest.override_reason
    body = msgpack.packb([fields[0], of_1_0, *fields[2:5]])
    back = decode(sealed(b"\x10" + packet[1:2] + body))
    assert isinstance(back, m.Offer)
    assert back.manifest == message.manifest.model_copy(update={"override_reason": ""})
    assert back.preview is None
    fewer = [fields[0], of_1_0[:-1], *fields[2:5]]
    with pytest.raises(PeerError, match="Manifest: 15 fields, 16 needed"):
        decode(sealed(b"\x10" + packet[1:2] + msgpack.packb(fewer)))


@pytest.mark.parametrize("other", [{"stored": True}, {"inline": b"four"}])
def test_a_preview_beside_the_bytes_themselves_is_refused(other: dict[str, Any]) -> None:
    offer = examples()["Offer"]
    assert isinstance(offer, m.Offer)
    preview = m.Preview(sha256="a" * 64, width_px=1, height_px=1, um_per_px=1.0, data=b"x")
    smaller = offer.manifest.model_copy(update={"size_bytes": 4})
    with pytest.raises(ValueError, match="still to come"):
        m.Offer(attempt=1, manifest=smaller, preview=preview, **other)


def test_a_preview_of_more_than_24_kib_is_refused() -> None:
    with pytest.raises(ValueError, match="data"):
        m.Preview(
            sha256="a" * 64,
            width_px=1,
            height_px=1,
            um_per_px=1.0,
            data=bytes(m.MAX_PREVIEW_BYTES + 1),
        )


@pytest.mark.parametrize(("overridden", "reason"), [(False, "urgent"), (True, "because")])
def test_a_reason_without_an_override_or_in_free_words_is_refused(
    overridden: bool, reason: str
) -> None:
    offer = examples()["Offer"]
    assert isinstance(offer, m.Offer)
    facts = offer.manifest.model_dump()
    with pytest.raises(ValueError, match="override_reason"):
        Manifest(**(facts | {"gate_override": overridden, "override_reason": reason}))


@pytest.mark.parametrize("major", [0, 2, 15])
def test_another_major_version_is_refused_by_name(major: int) -> None:
    packet = encode(m.Unknown(attempt=1))
    with pytest.raises(UnsupportedVersionError, match=f"major version {major}") as caught:
        decode(bytes((major << 4,)) + packet[1:])
    assert caught.value.major == major


def test_an_oversized_packet_is_refused_unread() -> None:
    with pytest.raises(OversizedError) as caught:
        decode(bytes(MAX_PACKET_BYTES + 1))
    assert (caught.value.size_bytes, caught.value.limit_bytes) == (
        MAX_PACKET_BYTES + 1,
        MAX_PACKET_BYTES,
    )


def test_the_largest_messages_fit_a_packet() -> None:
    recorded = m.Recorded(
        image_id="f" * 32, sha256="f" * 64, outcome=m.Outcome.DIAGNOSED, store_id="f" * 32
    )
    answer = m.InquiryAnswer(inquiry_id="f" * 32, store_id="f" * 32, known=(recorded,) * 200)
    assert len(encode(answer)) < MAX_PACKET_BYTES


def test_an_offer_of_a_whole_chunk_fits_the_room_left_beside_it() -> None:
    data = bytes(m.MAX_CHUNK_BYTES)
    manifest = Manifest(
        image_id="f" * 32,
        outbox_id="f" * 32,
        seq=2**63 - 1,
        sha256="f" * 64,
        size_bytes=len(data),
        content_type=ContentType.JPEG,
        width_px=65_535,
        height_px=65_535,
        um_per_px=0.123456789,
        case_id="A1234567890-BCDE",
        captured_at="2026-11-21T09:14:03.120456+00:00",
        clock_synced=False,
        captured_ns=2**63 - 1,
        boot_id="f" * 32,
        priority=Priority.ROUTINE,
        gate_override=True,
        override_reason=max(OverrideReason, key=len),
    )
    offer = m.Offer(attempt=2**64 - 1, manifest=manifest, suspect=True, inline=data)
    assert len(encode(offer)) - len(data) < m.PACKET_OVERHEAD_BYTES


def test_a_chunk_has_at_most_ninety_six_kib() -> None:
    with pytest.raises(PeerError, match="1 to 98304 bytes"):
        decode(encode(m.Chunk(1, 0, 0, bytes(m.MAX_CHUNK_BYTES + 1))))


@pytest.mark.parametrize(
    "missing", [((5, 5),), ((5, 4),), ((0, 4), (2, 6)), ((0, 200),), ((4, 6), (0, 2))]
)
def test_gaps_that_are_no_gaps_are_refused(missing: tuple[m.Range, ...]) -> None:
    with pytest.raises(PeerError, match="missing"):
        decode(encode(m.Progress(1, 1, 100, missing, 100)))
