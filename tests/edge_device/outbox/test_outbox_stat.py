"""Stat overtakes: captured behind 50 routine images it is the next to be sent, also after a restart."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from broker_config.local import LocalBroker
from edge_device.outbox import Outbox
from tests.edge_device.in_loop import in_loop
from tests.edge_device.outbox.outbox_steps import new_capture
from tests.edge_device.test_agent import MakeSettings
from tests.edge_device.test_agent_actions import lab
from wire_protocol import machine_io as io
from wire_protocol import messages as m
from wire_protocol.codec import decode
from wire_protocol.manifest import ContentType, Priority
from wire_protocol.sender import Sender
from wire_protocol.topics import Kind, Topics

ROUTINE = 50
#: One that rides in its offer, and one that takes several chunks.
SIZES = (2_000, 200_000)


def fill(folder: Path, size: int, *, stat_last: bool) -> list[str]:
    """Routine images, and a stat one behind them."""
    outbox = Outbox(folder)
    priorities = [Priority.ROUTINE] * ROUTINE + [Priority.STAT] * stat_last
    captures = [
        replace(
            new_capture(f"frame-{n}"),
            content=os.urandom(size),
            content_type=ContentType.JPEG,
            priority=priority,
        )
        for n, priority in enumerate(priorities)
    ]
    rows = outbox.add(captures)
    outbox.close()
    return [row.image_id for row in rows if row is not None]


def offered(effects: Sequence[io.SenderEffect], topic: str) -> list[m.Offer]:
    """The offers among these effects."""
    found = []
    for effect in effects:
        if isinstance(effect, io.Publish) and effect.topic == topic:
            offer = decode(effect.payload)
            assert isinstance(offer, m.Offer)
            found.append(offer)
    return found


def test_the_sender_offers_stat_at_once_while_routine_ones_upload(tmp_path: Path) -> None:
    topics = Topics("hemowire/v1")
    topic = topics.build(Kind.OFFER, site="lab", device="scope-1")
    numbers = count(1)
    fill(tmp_path, SIZES[1], stat_last=False)
    outbox = Outbox(tmp_path)
    sender = Sender(
        site="lab",
        device="scope-1",
        outbox_id=outbox.outbox_id,
        topics=topics,
        random64=lambda: next(numbers),
    )
    for row in outbox.unfinished():
        sender.handle(io.Queued(row.item()), 0.0)
    begun = offered(sender.handle(io.Connected(io.LinkLimits(1_000_000, 100)), 0.0), topic)
    for offer in begun:
        claim = m.Claim(
            attempt=offer.attempt, worker="w", lease_s=30.0, limit=200_000, max_chunk=65_536
        )
        sender.handle(io.FromWorker(claim), 0.1)
    capture = replace(new_capture("urgent"), content=os.urandom(SIZES[1]), priority=Priority.STAT)
    (urgent,) = outbox.add([capture])
    outbox.close()
    assert urgent is not None
    (offer,) = offered(sender.handle(io.Queued(urgent.item()), 0.2), topic)
    assert offer.manifest.image_id == urgent.image_id, "before 50 routine ones, two of them begun"


@pytest.mark.parametrize("size", SIZES)
@in_loop
async def test_an_agent_that_starts_with_50_waiting_sends_stat_first(
    broker: LocalBroker, tmp_path: Path, edge_settings: MakeSettings, size: int
) -> None:
    ids = fill(tmp_path / "scope-1" / "outbox", size, stat_last=True)
    async with lab(broker, tmp_path, edge_settings) as here:
        far = here.far
        await far.until(lambda: set(far.recorded) == set(ids))
        order = list(far.manifests)
    assert order[0] == ids[-1]
    # In the order of capture, but for the two that upload side by side.
    seqs = [far.manifests[image_id].seq for image_id in order[1:]]
    assert max(abs(seq - place) for place, seq in enumerate(seqs, 1)) <= 4


@in_loop
async def test_a_picture_taken_stat_behind_50_waiting_ones_is_the_next_to_be_sent(
    broker: LocalBroker, tmp_path: Path, edge_settings: MakeSettings
) -> None:
    fill(tmp_path / "scope-1" / "outbox", 1_000_000, stat_last=False)
    async with lab(broker, tmp_path, edge_settings) as here:
        await here.far.until(lambda: len(here.far.manifests) > 0)
        reply = await here.ask("capture", stat=True, count=1)
        assert reply.ok, reply.error
        before = len(here.far.manifests)
        (taken,) = reply.result["captures"]
        await here.far.until(lambda: taken["image_id"] in here.far.manifests)
        place = list(here.far.manifests).index(taken["image_id"])
        assert before < ROUTINE - 5, "the queue was still long"
        assert place <= before + 2, "no more than what was on the wire"
