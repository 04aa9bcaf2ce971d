"""Each defence is taken out once, and the world made for it must fail: a test that cannot fail proves nothing.

Longer than most: one entry per defence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.wire_protocol import scenarios as s
from wire_protocol import messages as m
from wire_protocol import receiver as receiver_module
from wire_protocol.ahead import Ahead
from wire_protocol.holders import Holders
from wire_protocol.inquiry import Inquiries
from wire_protocol.machine_io import OutboxState
from wire_protocol.pacing import Pace
from wire_protocol.pool import Pool
from wire_protocol.reassembly import Reassembly
from wire_protocol.receiver import Receiver
from wire_protocol.sender import Sender
from wire_protocol.turns import Turns
from wire_protocol.upload import Upload

Patch = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True, slots=True)
class Mutant:
    """What is taken out, and where that shows."""

    name: str
    patch: Patch
    scenario: Callable[[], None]


def replace(owner: object, name: str, value: object) -> Patch:
    """Puts `value` in the place of `owner.name`."""
    return lambda monkeypatch: monkeypatch.setattr(owner, name, value)


def ignore(owner: object, name: str) -> Patch:
    """Makes a method do nothing."""
    return replace(owner, name, lambda *_args, **_kwargs: None)


def wrap(
    owner: type, name: str, change: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> Patch:
    """Puts a changed form of a method in its place."""
    return replace(owner, name, change(getattr(owner, name)))


def no_gaps(real: Callable[..., Any]) -> Callable[..., Any]:
    def progress(self: Receiver, transfer: Any, now: float) -> None:
        gaps, transfer.body.gaps = transfer.body.gaps, []
        real(self, transfer, now)
        transfer.body.gaps = gaps

    return progress


def without_digest(self: Receiver, transfer: Any, now: float) -> None:
    self._progress(transfer, now)
    self._store(transfer, transfer.body.data)


def no_lease(real: Callable[..., Any]) -> Callable[..., Any]:
    def tick(self: Sender, upload: Upload, now: float) -> None:
        upload.lease_until = float("inf")
        real(self, upload, now)

    return tick


def shrinking(real: Callable[..., Any]) -> Callable[..., Any]:
    def heard(self: Upload, progress: m.Progress, now: float) -> bool:
        self.last_n = -1
        new: bool = real(self, progress, now)
        self.limit = progress.limit
        return new

    return heard


def only_the_current_attempt(real: Callable[..., Any]) -> Callable[..., Any]:
    def on_stored(self: Sender, stored: m.Stored, now: float) -> None:
        if stored.attempt in self._uploads:
            real(self, stored, now)

    return on_stored


def bytes_again(real: Callable[..., Any]) -> Callable[..., Any]:
    def not_recorded(self: Sender, image: Any, now: float) -> None:
        if image.state is OutboxState.STORED and now - image.stored_at >= 30:
            image.state = OutboxState.WAITING
            self._queue.push(image.manifest, stored=False)
            return
        real(self, image, now)

    return not_recorded


def forgetful_reconnect(real: Callable[..., Any]) -> Callable[..., Any]:
    def disconnected(self: Sender, event: Any, now: float) -> None:
        for upload in list(self._uploads.values()):
            self._release(upload.worker or "w1", upload.attempt, m.Reason.LEASE_EXPIRED)
        real(self, event, now)
        for upload in list(self._uploads.values()):
            upload.resuming = False
            upload.worker_has(())

    return disconnected


def every_offline_counts(real: Callable[..., Any]) -> Callable[..., Any]:
    def status(self: Sender, event: Any, now: float) -> None:
        self._holders._counted.clear()
        real(self, event, now)

    return status


def no_adoption(real: Callable[..., Any]) -> Callable[..., Any]:
    def on_offer(self: Receiver, event: Any, offer: m.Offer, now: float) -> None:
        for transfer in list(self._by_image.values()):
            self._close(transfer)
        real(self, event, offer, now)

    return on_offer


def blind_to_unknown(real: Callable[..., Any]) -> Callable[..., Any]:
    def put_failed(self: Receiver, event: Any, now: float) -> None:
        if event.reason != "unknown_blob":
            real(self, event, now)

    return put_failed


def previews_that_free(real: Callable[..., Any]) -> Callable[..., Any]:
    def take(self: Receiver, transfer: Any, preview: m.Preview) -> None:
        real(self, transfer, preview)
        manifest = transfer.manifest
        stored = m.Stored(
            attempt=transfer.attempt, image_id=manifest.image_id, sha256=manifest.sha256
        )
        self._publish(transfer.device, stored)

    return take


def preview_each_time(self: Sender, image: Any) -> int:
    return self.pace.preview_bytes(image.manifest.size_bytes)


class _NoCrc:
    """zlib whose checksum fits everything."""

    @staticmethod
    def crc32(_data: bytes) -> Any:
        class Fits(int):
            def __eq__(self, _other: object) -> bool:
                return True

            def __ne__(self, _other: object) -> bool:
                return False

            __hash__ = int.__hash__

        return Fits()


MUTANTS = (
    Mutant(
        "every Claim is waited for",
        replace(Ahead, "terms", lambda *_: None),
        s.the_only_worker_is_not_waited_for,
    ),
    Mutant(
        "bytes go ahead of a Claim whoever may take the offer",
        replace(Ahead, "terms", lambda self, _now: self._terms),
        s.with_several_workers_no_byte_is_sent_in_vain,
    ),
    Mutant(
        "gaps are not reported",
        wrap(Receiver, "_progress", no_gaps),
        s.lost_chunks_are_reported_and_sent_again,
    ),
    Mutant(
        "gaps are not sent again",
        replace(Upload, "_find_losses", lambda *_: None),
        s.lost_chunks_are_reported_and_sent_again,
    ),
    Mutant(
        "a probe does not say what was sent",
        ignore(Reassembly, "announce"),
        s.a_lost_tail_is_found_by_a_probe,
    ),
    Mutant("no probes", ignore(Sender, "_probe"), s.a_lost_tail_is_found_by_a_probe),
    Mutant(
        "the CRC of a chunk is not looked at",
        replace(receiver_module, "zlib", _NoCrc),
        s.damaged_chunks_are_dropped_at_the_door,
    ),
    Mutant(
        "the digest of the image is not looked at",
        replace(Receiver, "_completed", without_digest),
        s.a_damaged_row_ends_as_rejected,
    ),
    Mutant(
        "the row is not checked after a Mismatch",
        replace(
            Sender, "_check_row", lambda self, image: self._queue.push(image.manifest, stored=False)
        ),
        s.a_damaged_row_ends_as_rejected,
    ),
    Mutant(
        "an intact row is not sent again",
        replace(
            Sender,
            "_on_row_checked",
            lambda self, event, now: self._reject(
                self._images[event.image_id], s_reason(), "", now
            ),
        ),
        s.a_wrong_digest_of_an_intact_row_is_sent_again,
    ),
    Mutant(
        "the device ignores its lease",
        wrap(Sender, "_claimed_tick", no_lease),
        s.a_frozen_worker_loses_its_lease,
    ),
    Mutant(
        "an offline status ends nothing",
        ignore(Sender, "_on_worker_status"),
        s.a_worker_that_goes_offline_loses_its_lease_at_once,
    ),
    Mutant(
        "0x10 ends nothing",
        ignore(Sender, "_holder_left"),
        s.nobody_there_ends_a_lease_at_once,
    ),
    Mutant(
        "Unknown makes no new offer",
        ignore(Sender, "_on_unknown"),
        s.forgotten_bytes_are_offered_again_at_once,
    ),
    Mutant(
        "the partial bytes are kept for ever",
        ignore(Receiver, "_check_all"),
        s.forgotten_bytes_are_offered_again_at_once,
    ),
    Mutant(
        "after a cut everything is sent from the beginning",
        wrap(Sender, "_on_disconnected", forgetful_reconnect),
        s.a_cut_costs_no_image_its_beginning,
    ),
    Mutant(
        "a new offer meets no old bytes",
        wrap(Receiver, "_on_offer", no_adoption),
        s.an_offer_again_goes_on_where_the_bytes_are,
    ),
    Mutant(
        "a stale Claim is not answered",
        ignore(Sender, "_release"),
        s.a_stale_claim_is_released,
    ),
    Mutant(
        "Stored counts from the current attempt only",
        wrap(Sender, "_on_stored", only_the_current_attempt),
        s.stored_counts_from_any_attempt,
    ),
    Mutant(
        "no inquiries", replace(Inquiries, "due", lambda *_: None), s.a_lost_recorded_is_asked_for
    ),
    Mutant(
        "unknown makes nothing offerable",
        ignore(Sender, "_on_not_recorded"),
        s.a_lost_diagnosis_is_made_again_without_the_bytes,
    ),
    Mutant(
        "what is stored is uploaded again",
        wrap(Sender, "_on_not_recorded", bytes_again),
        s.a_lost_diagnosis_is_made_again_without_the_bytes,
    ),
    Mutant(
        "the worker does not say that a blob is unknown",
        wrap(Receiver, "_on_put_failed", blind_to_unknown),
        s.a_lost_blob_is_sent_again,
    ),
    Mutant(
        "vanished workers are not counted",
        ignore(Sender, "_count_vanished"),
        s.an_image_that_kills_workers_becomes_suspect,
    ),
    Mutant(
        "a worker that comes back stays counted",
        wrap(Sender, "_on_worker_status", every_offline_counts),
        s.network_loss_never_makes_an_image_suspect,
    ),
    Mutant(
        "a goodbye counts like a crash",
        replace(Holders, "said_goodbye", lambda *_args: False),
        s.a_stopped_worker_makes_no_image_suspect,
    ),
    Mutant(
        "grants are given without looking ahead",
        replace(Pool, "safe", lambda *_args: True),
        s.half_granted_images_never_block_each_other,
    ),
    Mutant(
        "the pool has no bound",
        replace(Pool, "room", lambda *_: 1 << 40),
        s.half_granted_images_never_block_each_other,
    ),
    Mutant(
        "stat waits its turn",
        replace(Upload, "rank", property(lambda self: (False, self.manifest.seq))),
        s.stat_overtakes,
    ),
    Mutant(
        "an older Progress counts, and limits shrink",
        wrap(Upload, "heard", shrinking),
        s.an_older_progress_is_ignored_and_a_limit_only_grows,
    ),
    Mutant(
        "a new store_id means nothing",
        replace(Inquiries, "_ask_all", lambda *_: None),
        s.a_new_store_is_asked_at_once,
    ),
    Mutant(
        "no window",
        replace(Pace, "window_bytes", lambda _self: 1 << 40),
        s.the_window_keeps_the_queue_short,
    ),
    Mutant(
        "one chunk at a time",
        replace(Pace, "window_bytes", lambda self: self.chunk_bytes()),
        s.the_window_keeps_the_queue_short,
    ),
    Mutant(
        "a failed put is not said",
        ignore(Receiver, "_on_put_failed"),
        s.the_archive_may_be_away,
    ),
    Mutant(
        "Busy is not answered by waiting",
        replace(Sender, "_on_busy", lambda *_: None),
        s.a_busy_worker_is_asked_again,
    ),
    Mutant(
        "who comes first is served first",
        replace(Turns, "may_go", lambda *_: True),
        s.a_full_worker_serves_all_alike,
    ),
    Mutant(
        "no previews",
        replace(Pace, "preview_bytes", lambda *_: 0),
        s.a_slow_link_sends_a_preview_ahead,
    ),
    Mutant(
        "nobody waits for a preview's bytes",
        ignore(Upload, "sent_preview"),
        s.the_wait_for_an_answer_covers_the_preview,
    ),
    Mutant(
        "a preview on every link",
        replace(Pace, "preview_bytes", lambda _self, size: size // 8),
        s.a_quick_link_sends_no_preview,
    ),
    Mutant(
        "a preview counts as the image",
        wrap(Receiver, "_take_preview", previews_that_free),
        s.a_preview_frees_nothing,
    ),
    Mutant(
        "a preview for nobody",
        replace(Sender, "_preview_bytes", preview_each_time),
        s.a_preview_is_not_sent_to_nobody,
    ),
    Mutant(
        "a preview with each offer",
        replace(Sender, "_preview_bytes", preview_each_time),
        s.a_preview_travels_twice_at_most,
    ),
    Mutant(
        "a suspect's preview",
        replace(Sender, "_preview_bytes", preview_each_time),
        s.what_kills_decoders_is_not_shown_round,
    ),
)


def s_reason() -> Any:
    """A reason for a rejection that should not be."""
    from wire_protocol.json_messages import Reason

    return Reason.DAMAGED_ON_DEVICE


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_world_notices_that(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.patch(monkeypatch)
    with pytest.raises(AssertionError):
        mutant.scenario()
