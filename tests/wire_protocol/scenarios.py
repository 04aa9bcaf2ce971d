"""One world per defence: what must hold there, and how soon; each raises AssertionError where it does not.

Longer than most: one per defence, and the mutants name them here.
"""

from __future__ import annotations

from functools import partial

from tests.wire_protocol.world import KIB, SENDER, Faults, Row, World
from wire_protocol import messages as m
from wire_protocol.codec import encode
from wire_protocol.machine_io import OutboxState, Readiness
from wire_protocol.machine_settings import ReceiverSettings
from wire_protocol.manifest import Priority


def start(workers: int = 1, devices: int = 1, seed: int = 1, **more: object) -> World:
    """A good world with connected devices."""
    world = World(seed, **more)  # type: ignore[arg-type]  # by name
    for number in range(devices):
        world.add_device(f"d{number}")
    for _ in range(workers):
        world.add_worker()
    for device in world.devices.values():
        device.connect()
    return world


def finish(world: World, within_s: float) -> None:
    """Every image is recorded within this long, and the promises hold."""
    world.run(world.all_recorded, within_s)
    world.run_for(2)
    world.check_end()


def lost_chunks_are_reported_and_sent_again() -> None:
    """A fifth of all chunks is lost; without the gaps it would take a lease or an inquiry each time."""
    world = start()

    def lose(message: m.Message, payload: bytes) -> bytes | None:
        lost = isinstance(message, m.Chunk) and world.rng.random() < 0.2
        return None if lost else payload

    world.tamper = lose
    world.devices["d0"].capture(200 * KIB)
    finish(world, 5)


def a_lost_tail_is_found_by_a_probe() -> None:
    """Nothing comes after the last chunk that could show its loss."""
    world = start()
    dropped: list[int] = []

    def lose_last(message: m.Message, payload: bytes) -> bytes | None:
        if isinstance(message, m.Chunk) and message.offset + len(message.data) == 100 * KIB:
            dropped.append(message.offset)
            return payload if len(dropped) > 1 else None
        return payload

    world.tamper = lose_last
    world.devices["d0"].capture(100 * KIB)
    finish(world, 3)
    assert len(dropped) >= 2


def damaged_chunks_are_dropped_at_the_door() -> None:
    """One flipped bit in a chunk costs that chunk, not the image."""
    world = start()
    count = [0]

    def flip(message: m.Message, payload: bytes) -> bytes:
        if isinstance(message, m.Chunk):
            count[0] += 1
            if count[0] % 5 == 0:
                data = bytes((message.data[0] ^ 1,)) + message.data[1:]
                return encode(m.Chunk(message.attempt, message.offset, message.crc32, data))
        return payload

    world.tamper = flip
    device = world.devices["d0"]
    device.capture(150 * KIB)
    finish(world, 5)
    assert device.checks == 0, "a damaged chunk reached the digest of the whole image"


def a_damaged_row_ends_as_rejected() -> None:
    """The disk changed the bytes after capture: nothing wrong is archived, and a person hears of it."""
    world = start()
    for size in (2 * KIB, 100 * KIB):
        world.devices["d0"].capture(size, on_disk=bytes(size))
    finish(world, 60)
    assert all(r.reason == "damaged_on_device" for r in world.records.rows.values())


def a_wrong_digest_of_an_intact_row_is_sent_again() -> None:
    """The worker's copy was spoilt on the way, with a matching checksum: resend after the check."""
    world = start()
    once: list[bool] = []

    def spoil(message: m.Message, payload: bytes) -> bytes:
        if isinstance(message, m.Chunk) and message.offset == 0 and not once:
            once.append(True)
            import zlib

            data = bytes(len(message.data))
            return encode(m.Chunk(message.attempt, 0, zlib.crc32(data), data))
        return payload

    world.tamper = spoil
    device = world.devices["d0"]
    device.capture(100 * KIB)
    finish(world, 30)
    assert device.checks == 1
    assert [r.outcome for r in world.records.rows.values()] == [m.Outcome.DIAGNOSED]


def a_frozen_worker_loses_its_lease() -> None:
    """SIGSTOP in the middle of a transfer; the other worker gets the image after the lease."""
    world = start(workers=1)
    device = world.devices["d0"]
    device.capture(200 * KIB)
    first = world.workers["w1"]
    world.run(lambda: first.receiver.counts.chunks > 5, 5)
    first.frozen = True
    world.add_worker()
    finish(world, 40)
    assert device.outbox[next(iter(device.outbox))].vanished == 0, "silence is not a crash"


def a_worker_that_goes_offline_loses_its_lease_at_once() -> None:
    """Its last will is enough, also where all is sent and only Stored is missing."""
    world = start(workers=2, put_s=0.5)
    row = world.devices["d0"].capture(40 * KIB)
    world.run(lambda: any(w.busy for w in world.workers.values()), 5)
    next(w for w in world.workers.values() if w.busy).kill()
    world.run(world.all_recorded, 0.9)
    assert row.vanished == 1
    finish(world, 1)


def nobody_there_ends_a_lease_at_once() -> None:
    """No will came, but the broker says that nobody reads the chunks (0x10)."""
    world = start(workers=2)
    device = world.devices["d0"]
    device.capture(200 * KIB)
    world.run(lambda: any(w.receiver.counts.chunks > 5 for w in world.workers.values()), 5)
    next(w for w in world.workers.values() if w.receiver.counts.chunks).kill(will_after_s=3600)
    finish(world, 3)


def forgotten_bytes_are_offered_again_at_once() -> None:
    """The partial bytes are gone after 600 s; Unknown says so, and the offer follows at once."""
    world = start()
    device = world.devices["d0"]
    device.capture(200 * KIB)
    world.run(lambda: device.sender.counts.chunks > 5, 5)
    device.cut()
    world.run_for(700)
    assert world.workers["w1"].receiver.pool.used == 0, "kept for longer than 600 s"
    device.connect()
    finish(world, 1)


def a_cut_costs_no_image_its_beginning() -> None:
    """After a cut of a minute the worker still has what it had."""
    world = start(uplink_bytes_per_s=100_000.0)
    device = world.devices["d0"]
    row = device.capture(240 * KIB)
    world.run(lambda: device.sender.counts.chunk_bytes > 150 * KIB, 30)
    device.cut()
    world.run_for(60)
    device.connect()
    finish(world, 10)
    assert device.sender.counts.chunk_bytes < row.manifest.size_bytes + 64 * KIB


def an_offer_again_goes_on_where_the_bytes_are() -> None:
    """The device restarts: its new offer meets the bytes of the old one."""
    world = start(uplink_bytes_per_s=100_000.0)
    device = world.devices["d0"]
    row = device.capture(240 * KIB)
    world.run(lambda: device.sender.counts.chunk_bytes > 150 * KIB, 30)
    device.restart()
    finish(world, 10)
    assert device.sender.counts.chunk_bytes < row.manifest.size_bytes - 80 * KIB


def a_stale_claim_is_released() -> None:
    """Its answer comes too late: the worker must not keep memory for it."""
    world = start(workers=1)
    device = world.devices["d0"]
    device.capture(200 * KIB)
    first = world.workers["w1"]
    world.run(lambda: first.receiver.counts.claims == 1, 1)
    stale = m.Claim(attempt=12345, worker="w1", lease_s=10, limit=10, max_chunk=4096, have=())
    released: list[m.DeviceRelease] = []

    def watch(message: m.Message, payload: bytes) -> bytes:
        if isinstance(message, m.DeviceRelease):
            released.append(message)
        return payload

    world.tamper = watch
    device.carry_in(stale, from_records=False)
    finish(world, 5)
    assert [r.reason for r in released if r.attempt == 12345] == [m.Reason.STALE]


def stored_counts_from_any_attempt() -> None:
    """The put outlasts the lease's end; the old attempt's Stored still saves the upload."""
    world = start(workers=1, put_s=0.5)
    device = world.devices["d0"]
    row = device.capture(40 * KIB)
    world.run(lambda: world.workers["w1"].receiver.counts.chunks >= 5, 5)
    device.cut()
    device.connect()
    upload = next(iter(device.sender._uploads.values()))
    stored = m.Stored(
        attempt=upload.attempt + 1, image_id=row.manifest.image_id, sha256=row.manifest.sha256
    )
    device.carry_in(stored, from_records=False)
    world.run_for(0.1)
    assert row.state is OutboxState.STORED, "only the current attempt's Stored counted"


def a_lost_recorded_is_asked_for() -> None:
    """The records know; the device must ask."""
    world = start()
    device = world.devices["d0"]
    world.records.muted = 1
    device.capture(20 * KIB)
    finish(world, 30)
    assert device.sender.counts.chunk_bytes <= 20 * KIB


def a_lost_diagnosis_is_made_again_without_the_bytes() -> None:
    """The worker dies between Stored and its diagnosis: another reads the archive."""
    world = start()
    device = world.devices["d0"]
    row = device.capture(100 * KIB)
    world.run(lambda: row.state is OutboxState.STORED, 5)
    world.workers["w1"].kill()
    world.add_worker()
    finish(world, 60)
    assert device.sender.counts.chunk_bytes == 100 * KIB, "the bytes travelled again"
    assert [offer.stored for offer in device.offers] == [False, True]


def a_lost_blob_is_sent_again() -> None:
    """The archive lost what it had said to have: Unknown, and the bytes travel again."""
    world = start()
    device = world.devices["d0"]
    row = device.capture(100 * KIB)
    world.run(lambda: row.state is OutboxState.STORED, 5)
    world.workers["w1"].kill()
    world.archive.clear()
    world.add_worker()
    finish(world, 60)
    assert [offer.stored for offer in device.offers] == [False, True, False]


def an_image_that_kills_workers_becomes_suspect() -> None:
    """Two workers die of it; the third is warned."""
    world = start(workers=1)
    device = world.devices["d0"]
    device.capture(30 * KIB, poison=True)
    finish(world, 200)
    assert [offer.suspect for offer in device.offers if offer.stored][-1]
    assert next(iter(world.records.rows.values())).reason == "crashes_decoder"
    assert len(world.workers) == 3, "more than two workers died of one image"


def network_loss_never_makes_an_image_suspect() -> None:
    """Cuts of the device, and a worker that was only cut off, count for nothing."""
    world = start(workers=1)
    device = world.devices["d0"]
    world.records.set_online(False)
    row = device.capture(60 * KIB)
    world.run(lambda: row.state is OutboxState.STORED, 5)
    from wire_protocol.machine_io import WorkerStatus

    for _ in range(3):
        device.cut()
        device.connect()
        device.tell(WorkerStatus("w1", online=False))
        device.tell(WorkerStatus("w1", online=True))
    assert row.vanished == 0
    world.records.set_online(True)
    finish(world, 100)


def a_stopped_worker_makes_no_image_suspect() -> None:
    """A goodbye counts against no image, neither a stored one nor one that waits for Stored."""
    world = start(workers=1, put_s=0.5)
    world.records.set_online(False)
    device = world.devices["d0"]
    stored = device.capture(60 * KIB)
    world.run(lambda: stored.state is OutboxState.STORED, 5)
    world.workers["w1"].kill(clean=True)
    second = world.add_worker()
    whole = device.capture(40 * KIB)
    world.run(lambda: second.busy > 0, 5)
    second.kill(clean=True)
    world.add_worker()
    world.records.set_online(True)
    finish(world, 100)
    assert (stored.vanished, whole.vanished) == (0, 0)


def half_granted_images_never_block_each_other() -> None:
    """Forty images of 200 KiB at once, and a pool that holds two and a half of them."""
    world = start(devices=8, uplink_bytes_per_s=200_000.0)
    for device in world.devices.values():
        for _ in range(5):
            device.capture(200 * KIB)
    finish(world, 120)


def stat_overtakes() -> None:
    """Two routine images are on their way; the urgent one is stored before either."""
    world = start(uplink_bytes_per_s=100_000.0)
    device = world.devices["d0"]
    routine = [device.capture(200 * KIB) for _ in range(4)]
    world.run(lambda: device.sender.counts.chunks > 3, 10)
    urgent = device.capture(100 * KIB, priority=Priority.STAT)
    world.run(lambda: urgent.state in (OutboxState.STORED, OutboxState.RECORDED), 2.1)
    assert not any(row.state in (OutboxState.STORED, OutboxState.RECORDED) for row in routine)
    finish(world, 30)


def an_older_progress_is_ignored_and_a_limit_only_grows() -> None:
    """Reordered Progress must not take granted bytes back."""
    world = start(
        seed=3, faults=Faults(jitter_s=0.4, latency_s=0.01), bad_until=1000.0, receive_maximum=60
    )
    device = world.devices["d0"]
    device.capture(240 * KIB)
    low = [0]
    real = device.sender

    def watch() -> None:
        for upload in real._uploads.values():
            assert upload.limit >= low[0], "the limit shrank"
            low[0] = upload.limit

    def done() -> bool:
        watch()
        return world.all_recorded()

    world.run(done, 30)


def a_backup_in_the_records_place_is_noticed() -> None:
    """The restored store has forgotten an image: its tombstone brings it back."""
    from wire_protocol.machine_io import OutboxItem, Queued

    world = start()
    device = world.devices["d0"]
    rows: list[Row] = [device.capture(30 * KIB) for _ in range(3)]
    world.run(world.all_recorded, 10)
    kept = {rows[0].manifest.image_id}
    world.records.restore_older(kept, "02" * 16)
    for row in rows:
        device.tell(Queued(OutboxItem(row.manifest, OutboxState.RECORDED)))
    world.run(lambda: len(world.records.rows) == 3, 120)
    finish(world, 10)
    assert device.sender.held_images == 0
    assert (
        device.sender.counts.chunk_bytes + sum(len(o.inline or b"") for o in device.offers)
        == 3 * 30 * KIB
    ), "bytes travelled although the archive has them"


def a_new_store_is_asked_at_once() -> None:
    """The answers were lost so often that the next inquiry is half a minute away."""
    world = start()
    device = world.devices["d0"]
    world.records.muted = 4
    row = device.capture(20 * KIB)
    world.run(lambda: not world.records.muted, 120)
    world.run_for(6)
    assert row.state is OutboxState.STORED
    world.records.restore_older({row.manifest.image_id}, "02" * 16)
    finish(world, 1)


def the_window_keeps_the_queue_short() -> None:
    """At 2 Mbit/s the link stays busy and the queue below the window's 200 ms and a chunk.

    While the device learns what the link takes, the queue may be a round trip longer.
    """
    world = start(
        uplink_bytes_per_s=250_000.0,
        faults=Faults(latency_s=0.05),
        receiver_settings=ReceiverSettings(),
    )
    device = world.devices["d0"]
    for _ in range(3):
        device.capture(200 * KIB)
    finish(world, 4)
    assert device.longest_queue_s < 0.45
    device.longest_queue_s = 0.0
    for _ in range(10):
        device.capture(200 * KIB)
    began = world.now
    finish(world, 10.5)
    assert world.now - began - 2 < 1.25 * 10 * 200 * KIB / 250_000
    assert device.longest_queue_s < 0.35


def the_archive_may_be_away() -> None:
    """Puts fail for a minute: the images wait, nothing counts against them."""
    world = start()
    device = world.devices["d0"]
    world.archive_away = True
    rows = [device.capture(60 * KIB) for _ in range(3)]
    world.run_for(60)
    world.archive_away = False
    finish(world, 60)
    assert not any(row.vanished for row in rows)


def a_busy_worker_is_asked_again() -> None:
    """Busy is no failure and leaves no mark."""
    world = start(
        devices=4,
        receiver_settings=ReceiverSettings(
            pool_bytes=128 * KIB, device_pool_bytes=128 * KIB, grant_bytes=64 * KIB
        ),
    )
    for device in world.devices.values():
        for _ in range(3):
            device.capture(100 * KIB)
    finish(world, 60)
    assert any(d.sender.counts.busy for d in world.devices.values())


def a_full_worker_serves_all_alike() -> None:
    """Twenty devices with more than the pool holds: halfway, none has got much more than another."""
    world = start(
        devices=20,
        receiver_settings=ReceiverSettings(
            pool_bytes=256 * KIB, device_pool_bytes=256 * KIB, grant_bytes=64 * KIB
        ),
        put_s=0.4,
    )
    for device in world.devices.values():
        for _ in range(8):
            device.capture(60 * KIB)

    def done() -> list[int]:
        return [
            sum(
                row.state in (OutboxState.STORED, OutboxState.RECORDED) for row in d.outbox.values()
            )
            for d in world.devices.values()
        ]

    world.run(lambda: sum(done()) >= 80, 120)
    each = done()
    jain = sum(each) ** 2 / (len(each) * sum(count**2 for count in each))
    assert jain > 0.92, each
    finish(world, 120)


def a_slow_link_sends_a_preview_ahead() -> None:
    """At 256 kbit/s and 300 ms each way the worker has something to look at in 1.5 s, once."""
    world = start(
        uplink_bytes_per_s=32_000.0, faults=Faults(latency_s=0.3), round_trip_s=0.6, workers=2
    )
    device = world.devices["d0"]
    began = world.now
    first = device.capture(240 * KIB)
    second = device.capture(240 * KIB)
    finish(world, 30)
    assert [image_id for _, image_id in world.previews] == [
        row.manifest.image_id for row in (first, second)
    ]
    assert world.previews[0][0] - began < 1.5
    assert device.sender.counts.chunk_bytes == 2 * 240 * KIB, "a preview spared bytes"


def the_wait_for_an_answer_covers_the_preview() -> None:
    """A short round trip and a slow link: the preview alone takes longer than an answer may."""
    world = start(
        uplink_bytes_per_s=32_000.0,
        faults=Faults(latency_s=0.05),
        round_trip_s=0.1,
        sender_settings=SENDER.model_copy(update={"offer_wait_rtts": 1.0}),
    )
    device = world.devices["d0"]
    for _ in range(3):
        device.capture(240 * KIB)
        finish(world, 20)
    assert len(world.previews) == 2, "for the first no rate was known"
    assert len(device.offers) == 3


def a_quick_link_sends_no_preview() -> None:
    """Neither before nor after the rate is known; nor does a small image, on any link."""
    world = start(round_trip_s=0.01, uplink_bytes_per_s=1_000_000.0)
    for _ in range(4):
        world.devices["d0"].capture(240 * KIB)
    finish(world, 10)
    assert not world.previews
    world = start(round_trip_s=0.6, uplink_bytes_per_s=32_000.0, faults=Faults(latency_s=0.3))
    for _ in range(4):
        world.devices["d0"].capture(20 * KIB)
    finish(world, 20)
    assert not world.previews


def a_preview_frees_nothing() -> None:
    """The worker that saw it dies before the image is there: the image takes its whole way."""
    world = start(uplink_bytes_per_s=32_000.0, faults=Faults(latency_s=0.3), round_trip_s=0.6)
    device = world.devices["d0"]
    row = device.capture(200 * KIB)
    world.run(lambda: bool(world.previews), 5)
    world.run_for(1)
    assert row.state in (OutboxState.WAITING, OutboxState.SENDING)
    assert not world.records.rows
    world.workers["w1"].kill()
    world.add_worker()
    finish(world, 30)
    assert world.archive[row.manifest.sha256] == row.data


def a_preview_is_not_sent_to_nobody() -> None:
    """Nobody answers for a while: the offers are repeated, the preview is not."""
    world = start(uplink_bytes_per_s=32_000.0, faults=Faults(latency_s=0.3), round_trip_s=0.6)
    for worker in world.workers.values():
        worker.frozen = True
    device = world.devices["d0"]
    device.capture(240 * KIB)
    world.run_for(40)
    for worker in world.workers.values():
        worker.frozen = False
    finish(world, 40)
    assert len(device.offers) > 4
    assert sum(offer.preview is not None for offer in device.offers) == 1


def a_preview_travels_twice_at_most() -> None:
    """The worker is busy for a while, and leaves previews of what it does not take."""
    world = start(uplink_bytes_per_s=32_000.0, faults=Faults(latency_s=0.3), round_trip_s=0.6)
    world.workers["w1"].tell(Readiness(healthy=False))
    device = world.devices["d0"]
    device.capture(240 * KIB)
    world.run_for(40)
    assert not world.previews
    world.workers["w1"].tell(Readiness(healthy=True))
    finish(world, 40)
    assert len(device.offers) > 3
    assert sum(offer.preview is not None for offer in device.offers) == 2


def what_kills_decoders_is_not_shown_round() -> None:
    """A suspect image is offered without a preview."""
    world = start(uplink_bytes_per_s=32_000.0, faults=Faults(latency_s=0.3), round_trip_s=0.6)
    row = world.devices["d0"].capture(200 * KIB)
    row.vanished = 2
    world.devices["d0"].restart()
    finish(world, 30)
    last = world.devices["d0"].offers[-1]
    assert last.suspect
    assert last.preview is None


def _is_up(row: Row) -> bool:
    return row.state not in (OutboxState.WAITING, OutboxState.SENDING)


def one_by_one(workers: int) -> tuple[float, int]:
    """Five images of 60 KB, each captured when the one before is stored: how long they took from the
    second on, and what went up the link, on a link of 1 MB/s with a round trip of 0.2 s."""
    world = start(
        workers=workers,
        uplink_bytes_per_s=1_000_000.0,
        faults=Faults(latency_s=0.1),
        round_trip_s=0.2,
        receiver_settings=ReceiverSettings(),
    )
    device = world.devices["d0"]
    took_s = 0.0
    for number in range(6):
        row = device.capture(60 * KIB)
        began_s = world.now
        world.run(partial(_is_up, row), 5)
        took_s += world.now - began_s if number else 0.0
    finish(world, 30)
    return took_s / 5, device.wire_bytes


def the_only_worker_is_not_waited_for() -> None:
    """Where nobody else can take the offer, its Claim costs no round trip; with two workers it does."""
    alone_s, _ = one_by_one(workers=1)
    beside_another_s, _ = one_by_one(workers=2)
    assert alone_s < beside_another_s - 0.15


def with_several_workers_no_byte_is_sent_in_vain() -> None:
    """An offer may go to any of them: bytes ahead of its Claim would go to the wrong one."""
    _, wire = one_by_one(workers=3)
    assert wire < 1.1 * 6 * 60 * KIB


SCENARIOS = (
    lost_chunks_are_reported_and_sent_again,
    a_lost_tail_is_found_by_a_probe,
    damaged_chunks_are_dropped_at_the_door,
    a_damaged_row_ends_as_rejected,
    a_wrong_digest_of_an_intact_row_is_sent_again,
    a_frozen_worker_loses_its_lease,
    a_worker_that_goes_offline_loses_its_lease_at_once,
    nobody_there_ends_a_lease_at_once,
    forgotten_bytes_are_offered_again_at_once,
    a_cut_costs_no_image_its_beginning,
    an_offer_again_goes_on_where_the_bytes_are,
    a_stale_claim_is_released,
    stored_counts_from_any_attempt,
    a_lost_recorded_is_asked_for,
    a_lost_diagnosis_is_made_again_without_the_bytes,
    a_lost_blob_is_sent_again,
    an_image_that_kills_workers_becomes_suspect,
    network_loss_never_makes_an_image_suspect,
    a_stopped_worker_makes_no_image_suspect,
    half_granted_images_never_block_each_other,
    stat_overtakes,
    an_older_progress_is_ignored_and_a_limit_only_grows,
    a_backup_in_the_records_place_is_noticed,
    a_new_store_is_asked_at_once,
    the_window_keeps_the_queue_short,
    the_archive_may_be_away,
    a_busy_worker_is_asked_again,
    a_full_worker_serves_all_alike,
    a_slow_link_sends_a_preview_ahead,
    the_wait_for_an_answer_covers_the_preview,
    a_quick_link_sends_no_preview,
    a_preview_frees_nothing,
    a_preview_is_not_sent_to_nobody,
    a_preview_travels_twice_at_most,
    what_kills_decoders_is_not_shown_round,
    the_only_worker_is_not_waited_for,
    with_several_workers_no_byte_is_sent_in_vain,
)
