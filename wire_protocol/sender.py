"""The device's half of the transfer: every rule of offering, sending, waiting and asking; no I/O, no clock.

It is told events and the monotonic `now`, returns effects (see `machine_io`), and never holds more
of an image than the chunk it was just given. This file is longer than most because it is one state
machine; its counting parts are `upload`, `pacing`, `offer_queue` and `inquiry`.

Reads (`ReadChunk`) are to be answered in the order they were asked. A tombstone (an image that is
recorded) may be told as `Queued` with state RECORDED when the records store has a new store_id:
it is asked about, and forgotten again if known.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from math import ceil
from typing import Any

from wire_protocol import machine_io as io
from wire_protocol import messages as m
from wire_protocol.ahead import Ahead
from wire_protocol.codec import encode
from wire_protocol.holders import Holders
from wire_protocol.inquiry import Inquiries
from wire_protocol.json_messages import Reason as EndReason
from wire_protocol.machine_io import OutboxState
from wire_protocol.machine_settings import SenderSettings
from wire_protocol.manifest import Priority
from wire_protocol.offer_queue import OfferQueue
from wire_protocol.pacing import Pace
from wire_protocol.patience import Patience
from wire_protocol.sender_image import Image, SenderCounts, Token
from wire_protocol.topics import Kind, Topics
from wire_protocol.trace import Stage
from wire_protocol.upload import Phase, Upload

NO_SUBSCRIBERS = 0x10
FIRST_ERROR_CODE = 0x80
_NEVER = float("inf")
_TO_SEND = (OutboxState.WAITING, OutboxState.SENDING)
_ENDED_HERE = (OutboxState.REJECTED, OutboxState.QUARANTINED)


class Sender:
    """All transfers of one device."""

    def __init__(
        self,
        *,
        site: str,
        device: str,
        outbox_id: str,
        topics: Topics,
        random64: Callable[[], int],
        settings: SenderSettings | None = None,
    ) -> None:
        self._settings = settings or SenderSettings()
        self._device = device
        self._topics = topics
        self._random64 = random64
        self._offer_topic = topics.build(Kind.OFFER, site=site, device=device)
        self._inquiry_topic = topics.build(Kind.INQUIRY, device=device)
        self.pace = Pace(self._settings)
        self._patience = Patience(settings=self._settings, pace=self.pace, random64=random64)
        self.counts = SenderCounts()
        self._inquiries = Inquiries(outbox_id=outbox_id, random64=random64, settings=self._settings)
        self._images: dict[str, Image] = {}
        self._queue = OfferQueue()
        self._uploads: dict[int, Upload] = {}
        self._tokens: dict[int, Token] = {}
        self._next_token = 1
        self._next_order = 0
        self._chunk_slots = 1
        self._chunks_unacked = 0
        self._connected = False
        #: This event can have made no offer possible: most are chunks that were read or acknowledged.
        self._offers_as_before = False
        #: No offer before this: nobody answered, everybody is busy, or the archive is away.
        self._hold_until = float("-inf")
        self._silences = 0
        self._busies = 0
        self._holders = Holders()
        self._ahead = Ahead()
        self._out: list[io.SenderEffect] = []
        self._handlers: dict[type, Callable[[Any, float], None]] = {
            io.Connected: self._on_connected,
            io.Disconnected: self._on_disconnected,
            io.Published: self._on_published,
            io.Tick: self._on_tick,
            io.Queued: self._on_queued,
            io.FromWorker: self._on_worker_message,
            io.FromRecords: self._on_records_message,
            io.WorkerStatus: self._on_worker_status,
            io.RecordsStatus: self._on_records_status,
            io.ChunkRead: self._on_chunk_read,
            io.PreviewMade: self._on_preview_made,
            io.RowChecked: self._on_row_checked,
            io.Persisted: self._on_persisted,
            io.Withdrawn: self._on_withdrawn,
        }
        self._answers: dict[type, Callable[[Any, float], None]] = {
            m.Claim: self._on_claim,
            m.Busy: self._on_busy,
            m.Unknown: self._on_unknown,
            m.WorkerRelease: self._on_worker_release,
            m.Stored: self._on_stored,
            m.Mismatch: self._on_mismatch,
            m.Refused: self._on_refused,
            m.Progress: self._on_progress,
        }

    # --- what the program calls ----------------------------------------------------------------

    def handle(self, event: io.SenderEvent, now: float) -> list[io.SenderEffect]:
        """Takes one event in and returns what is to be done, in order."""
        self._offers_as_before = False
        self._handlers[type(event)](event, now)
        self._pump(now)
        out, self._out = self._out, []
        return out

    @property
    def deadline(self) -> float | None:
        """When `handle(Tick(), now)` is due, in monotonic seconds; None while nothing is."""
        if not self._connected:
            return None
        at = self._inquiries.deadline or _NEVER
        for upload in self._uploads.values():
            if upload.phase is Phase.OFFERED:
                at = min(at, upload.expires)
            elif upload.phase is Phase.CLAIMED:
                at = min(at, upload.probe_at, upload.lease_until, upload.stored_wait_ends)
        if self._queue:
            wakes = self._queue.wakes_at()
            if wakes is not None:
                at = min(at, wakes)
            if self._hold_until > float("-inf"):
                at = min(at, self._hold_until)
        return None if at == _NEVER else at

    @property
    def held_images(self) -> int:
        """Images this machine knows and whose outcome it does not."""
        return len(self._images)

    @property
    def begun(self) -> frozenset[str]:
        """Images with an attempt under way."""
        return frozenset(upload.manifest.image_id for upload in self._uploads.values())

    def state_of(self, image_id: str) -> OutboxState | None:
        """Where an image stands, None when it is not (or no longer) known here."""
        image = self._images.get(image_id)
        return image.state if image else None

    # --- connection ------------------------------------------------------------------------------

    def _on_connected(self, event: io.Connected, now: float) -> None:
        if self._connected:
            self._on_disconnected(io.Disconnected(), now)
        self._connected = True
        self._hold_until = float("-inf")
        self._silences = 0
        self.pace.packet_limit(event.limits.maximum_packet_size)
        self.pace.expect_rtt(event.round_trip_s)
        slots = event.limits.receive_maximum - self._settings.control_slots
        self._chunk_slots = max(1, slots)
        wait = self._patience.for_resume()
        for upload in self._uploads.values():
            upload.lease_until = now + wait
            self._probe(upload, now)
        self._inquiries.connected(now)

    def _on_disconnected(self, _event: io.Disconnected, now: float) -> None:
        self._connected = False
        self._tokens.clear()
        self._chunks_unacked = 0
        self._ahead.disconnected()
        self._inquiries.disconnected()
        for upload in list(self._uploads.values()):
            if upload.phase is not Phase.CLAIMED:
                self._end(upload)
                self._offer_again(self._images[upload.manifest.image_id], now)
                continue
            upload.forget_flight()
            upload.resuming = True
            upload.probes = 0
            upload.probe_at = upload.lease_until = _NEVER

    def _on_published(self, event: io.Published, now: float) -> None:
        token = self._tokens.pop(event.token, None)
        if token is None:
            return
        if token.offset >= 0:
            self._chunks_unacked -= 1
        if event.reason_code == 0:
            self._offers_as_before = True
            return
        upload = self._uploads.get(token.attempt)
        if upload is None:
            return
        if upload.phase is Phase.OFFERED and token.offset >= 0:
            upload.ahead = None  # the Claim, or the wait for it, decides
            upload.lost(token.offset)
        elif upload.phase is Phase.OFFERED:
            self._unanswered(upload, now)
        elif event.reason_code == NO_SUBSCRIBERS:
            self._holder_left(upload, now)
        elif event.reason_code >= FIRST_ERROR_CODE and token.offset >= 0:
            upload.lost(token.offset)
            self._hold_chunks(upload, now)

    def _hold_chunks(self, upload: Upload, now: float) -> None:
        """The broker took a chunk and threw it away: ask the worker before sending more."""
        upload.resuming = True
        upload.probe_at = now + self._patience.before_probe(upload)

    # --- the outbox --------------------------------------------------------------------------------

    def _on_queued(self, event: io.Queued, now: float) -> None:
        item = event.item
        image_id = item.manifest.image_id
        known = self._images.get(image_id)
        if known is not None:
            if item.state in _ENDED_HERE and known.state not in _ENDED_HERE:
                self._end_here(known, now)
            return
        image = Image(item.manifest, item.state, item.vanished)
        self._images[image_id] = image
        if item.state in _TO_SEND:
            self._queue.push(item.manifest, stored=False)
            return
        image.stored_at = now
        self._inquiries.watch(image_id, now, after_s=0.0)

    def _on_chunk_read(self, event: io.ChunkRead, now: float) -> None:
        image = self._images.get(event.image_id)
        if image is None:
            return
        image.reads -= 1
        upload = image.upload
        if upload is None or event.offset not in upload.reading:
            return
        if not upload.was_read(event.offset, len(event.data)):
            if image.reads >= len(upload.reading):
                return  # asked by an earlier attempt; the answer to this one's is yet to come
            self._end(upload)
            self._check_row(image)
        elif upload.phase is Phase.READING:
            self._publish_offer(image, upload, event.data, now)
        else:
            self._publish_chunk(upload, event.offset, event.data, now)
            self._offers_as_before = upload.uploading

    def _on_preview_made(self, event: io.PreviewMade, now: float) -> None:
        image = self._images.get(event.image_id)
        upload = None if image is None else image.upload
        if image is None or upload is None or upload.phase is not Phase.READING or upload.inline:
            return  # that attempt is over, or went out with the answer to an earlier one
        self._publish_offer(image, upload, None, now, preview=event.preview)

    def _on_row_checked(self, event: io.RowChecked, now: float) -> None:
        image = self._images.get(event.image_id)
        if image is None or not image.checking:
            return
        image.checking = False
        if image.state not in _TO_SEND:
            return
        if event.intact:
            image.mismatches += 1
            self._queue.push(
                image.manifest,
                stored=False,
                not_before=now + self._patience.backoff(image.mismatches - 1),
            )
            return
        self._reject(image, EndReason.DAMAGED_ON_DEVICE, "the bytes in the outbox changed", now)

    def _on_persisted(self, _event: io.Persisted, _now: float) -> None:
        """Nothing waits for a commit: until `Recorded`, every step may be repeated harmlessly."""

    def _on_withdrawn(self, event: io.Withdrawn, _now: float) -> None:
        image = self._images.pop(event.image_id, None)
        if image is not None:
            self._let_go(image)

    # --- answers of workers ----------------------------------------------------------------------

    def _on_worker_message(self, event: io.FromWorker, now: float) -> None:
        self._answers[type(event.message)](event.message, now)

    def _on_claim(self, claim: m.Claim, now: float) -> None:
        upload = self._uploads.get(claim.attempt)
        if upload is None or upload.phase is Phase.READING:
            self.counts.stale += 1
            self._release(claim.worker, claim.attempt, m.Reason.STALE)
            return
        if upload.phase is Phase.CLAIMED:
            if upload.worker != claim.worker:
                self.counts.stale += 1
                self._release(claim.worker, claim.attempt, m.Reason.STALE)
            else:
                upload.limit = max(upload.limit, min(claim.limit, upload.manifest.size_bytes))
            return
        self._answered(upload, now)
        image = self._images[upload.manifest.image_id]
        self._busies = 0
        if upload.ahead is not None and upload.ahead.worker != claim.worker:
            # Its first bytes went to another worker, which will say that it does not know them.
            self._ahead.missed(now)
            self._release(claim.worker, claim.attempt, m.Reason.STALE)
            self._end(upload)
            self._offer_again(image, now)
            return
        self._ahead.claimed(claim)
        upload.phase = Phase.CLAIMED
        upload.worker = claim.worker
        upload.topic = self._topics.build(Kind.INGEST, worker=claim.worker, device=self._device)
        upload.lease_s = claim.lease_s
        upload.lease_until = now + claim.lease_s
        upload.limit = min(claim.limit, upload.manifest.size_bytes)
        upload.max_chunk = claim.max_chunk
        upload.worker_has(claim.have)
        if not (upload.stored or upload.first_sent):
            self._out.append(io.Stamp(image.manifest.image_id, upload.attempt, Stage.CLAIMED))
        if image.state is OutboxState.WAITING:
            image.state = OutboxState.SENDING
            self._persist(image)
        self._after_news(upload, image, now)
        if self._holders.is_gone(claim.worker):
            self._holder_left(upload, now)

    def _on_progress(self, progress: m.Progress, now: float) -> None:
        upload = self._uploads.get(progress.attempt)
        if upload is None or upload.phase is not Phase.CLAIMED:
            return
        if upload.heard(progress, now):
            upload.lease_until = now + upload.lease_s
            self._after_news(upload, self._images[upload.manifest.image_id], now)

    def _after_news(self, upload: Upload, image: Image, now: float) -> None:
        """The worker said what it has: set the probe, and note when it has everything."""
        if upload.complete_at is None and upload.is_complete():
            upload.complete_at = now
            upload.stored_wait_ends = now + self._settings.stored_wait_s
            image.holder = upload.worker
        upload.probes = 0
        upload.probe_at = now + self._patience.before_probe(upload)

    def _on_busy(self, busy: m.Busy, now: float) -> None:
        upload = self._uploads.get(busy.attempt)
        if upload is None or upload.phase is not Phase.OFFERED:
            return
        self.counts.busy += 1
        self._ahead.missed(now)
        self._answered(upload, now)
        self._end(upload)
        self._hold(now + self._patience.after_busy(busy.retry_after_s, self._busies))
        self._busies += 1
        self._offer_again(self._images[upload.manifest.image_id], now)

    def _on_unknown(self, unknown: m.Unknown, now: float) -> None:
        upload = self._uploads.get(unknown.attempt)
        if upload is None or upload.phase is Phase.READING:
            return
        if upload.phase is Phase.OFFERED and upload.ahead is not None:
            upload.ahead = None  # bytes came before the offer; what it says to that is to come
            return
        image = self._images[upload.manifest.image_id]
        self._end(upload)
        if upload.stored and image.state is OutboxState.STORED:
            # The archive has no such bytes: they travel again.
            image.state = OutboxState.WAITING
            self._inquiries.forget(image.manifest.image_id)
            self._persist(image)
        self._failed(image, now)

    def _on_worker_release(self, release: m.WorkerRelease, now: float) -> None:
        upload = self._uploads.get(release.attempt)
        if upload is None or upload.phase is Phase.READING:
            return
        image = self._images[upload.manifest.image_id]
        self._end(upload)
        if release.reason is m.Reason.ARCHIVE_AWAY:
            self._hold(now + 1.0 + self._patience.jitter())
        self._failed(image, now)

    def _on_stored(self, stored: m.Stored, now: float) -> None:
        image = self._images.get(stored.image_id)
        if image is None or stored.sha256 != image.manifest.sha256:
            return
        upload = image.upload
        if image.state not in _TO_SEND and (upload is None or upload.attempt != stored.attempt):
            return
        if upload is not None:
            if upload.attempt == stored.attempt:
                image.holder = upload.worker
            elif upload.phase is Phase.CLAIMED:
                self._release(upload.worker, upload.attempt, m.Reason.NO_LONGER_NEEDED)
            self._end(upload)
        self._queue.discard(stored.image_id)
        image.stored_at = now
        image.failures = image.mismatches = 0
        image.checking = False
        if image.state in _TO_SEND:
            image.state = OutboxState.STORED
            self._persist(image)
        self._inquiries.watch(stored.image_id, now, after_s=self._settings.inquire_after_s)

    def _on_mismatch(self, mismatch: m.Mismatch, _now: float) -> None:
        upload = self._uploads.get(mismatch.attempt)
        if upload is None or upload.phase is Phase.READING:
            return
        self.counts.mismatches += 1
        self._end(upload)
        image = self._images[upload.manifest.image_id]
        if image.state is OutboxState.STORED:
            image.state = OutboxState.WAITING
            self._persist(image)
        self._check_row(image)

    def _on_refused(self, refused: m.Refused, now: float) -> None:
        upload = self._uploads.get(refused.attempt)
        if upload is None or upload.phase is Phase.READING:
            return
        self._end(upload)
        known = refused.reason in EndReason.__members__.values()
        reason = EndReason(refused.reason) if known else EndReason.REFUSED
        detail = refused.detail if known else f"{refused.reason}: {refused.detail}"
        self._reject(self._images[upload.manifest.image_id], reason, detail, now)

    # --- presence of workers -------------------------------------------------------------------------

    def _on_worker_status(self, event: io.WorkerStatus, now: float) -> None:
        self._ahead.status(event.worker, online=event.online)
        if event.online:
            self._silences = 0
            self._hold_until = min(self._hold_until, now)
            for image_id in self._holders.is_back(event.worker):
                image = self._images.get(image_id)
                if image is not None and image.vanished:
                    # The same process is back: the network was away, not the worker.
                    image.vanished -= 1
                    self._persist(image)
            return
        self._holders.left(event.worker, clean=event.clean)
        hasten = float("-inf")
        for image in self._images.values():
            if image.holder == event.worker and image.state is OutboxState.STORED:
                if image.upload is None or image.upload.worker == event.worker:
                    hasten = max(hasten, image.stored_at + self._settings.reoffer_after_s)
                self._count_vanished(image)
        for upload in list(self._uploads.values()):
            if upload.worker == event.worker:
                self._holder_left(upload, now)
        if hasten > float("-inf"):
            self._inquiries.hasten(hasten, now)

    def _holder_left(self, upload: Upload, now: float) -> None:
        """The claimed attempt's worker is gone: the lease ends at once."""
        image = self._images[upload.manifest.image_id]
        if upload.complete_at is not None:
            self._count_vanished(image)
        self._end(upload)
        self._failed(image, now)

    def _count_vanished(self, image: Image) -> None:
        worker, image.holder = image.holder, ""
        if not worker or self._holders.said_goodbye(worker):
            return
        image.vanished += 1
        self._holders.count(worker, image.manifest.image_id)
        self._persist(image)

    # --- the records store -------------------------------------------------------------------------

    def _on_records_status(self, event: io.RecordsStatus, now: float) -> None:
        self._inquiries.records(online=event.online, store_id=event.store_id, now=now)

    def _on_records_message(self, event: io.FromRecords, now: float) -> None:
        message = event.message
        self._inquiries.answered_by(message.store_id, now)
        if isinstance(message, m.Recorded):
            self._on_recorded(message)
            return
        for recorded in message.known:
            self._on_recorded(recorded)
        asked = self._inquiries.answered(message)
        if asked is None:
            return
        for image_id in set(message.unknown) & set(asked.image_ids):
            image = self._images.get(image_id)
            if image is not None:
                self._on_not_recorded(image, now)

    def _on_recorded(self, recorded: m.Recorded) -> None:
        image = self._images.get(recorded.image_id)
        if image is None or recorded.sha256 != image.manifest.sha256:
            return
        del self._images[recorded.image_id]
        self._let_go(image)
        if image.state is not OutboxState.RECORDED:
            image.state = OutboxState.RECORDED
            self._persist(image, recorded.outcome)

    def _on_not_recorded(self, image: Image, now: float) -> None:
        image_id = image.manifest.image_id
        if image.state in _ENDED_HERE:
            if now >= image.stored_at:
                image.stored_at = now + self._patience.backoff(image.reoffers)
                image.reoffers += 1
                self._out.append(io.RepublishRejection(image_id))
            return
        if image.state is OutboxState.RECORDED:
            image.state = OutboxState.STORED
            image.stored_at = float("-inf")
            self._persist(image)
        if image.state is OutboxState.STORED:
            if image_id in self._queue:
                return
            if image.upload is None and now - image.stored_at >= self._settings.reoffer_after_s:
                wait = self._patience.backoff(image.reoffers - 1) if image.reoffers else None
                image.reoffers += 1
                image.stored_at = now + (wait or 0.0)
                later = None if wait is None else now + wait
                self._queue.push(image.manifest, stored=True, not_before=later)
            return
        upload = image.upload
        if upload is not None and upload.doubted:
            # All bytes there for 30 s, no Stored, and no record: that worker does not get on.
            self._release(upload.worker, upload.attempt, m.Reason.NO_LONGER_NEEDED)
            self._end(upload)
            self._failed(image, now)

    # --- time -----------------------------------------------------------------------------------------

    def _on_tick(self, _event: io.Tick, now: float) -> None:
        if not self._connected:
            return
        for upload in list(self._uploads.values()):
            if upload.phase is Phase.OFFERED:
                if now >= upload.expires:
                    self._unanswered(upload, now)
            elif upload.phase is Phase.CLAIMED:
                self._claimed_tick(upload, now)

    def _claimed_tick(self, upload: Upload, now: float) -> None:
        if now >= upload.lease_until:
            self.counts.expired_leases += 1
            self._release(upload.worker, upload.attempt, m.Reason.LEASE_EXPIRED)
            self._end(upload)
            self._failed(self._images[upload.manifest.image_id], now)
            return
        if now >= upload.stored_wait_ends:
            image_id = upload.manifest.image_id
            upload.stored_wait_ends = now + self._settings.stored_wait_s
            upload.doubted = True
            self._inquiries.watch(image_id, now, after_s=0.0)
            self._inquiries.hasten(now, now)
        if now >= upload.probe_at:
            self._probe(upload, now)

    def _probe(self, upload: Upload, now: float) -> None:
        held = upload.sendable() is not None and self._next_to_send() is not upload
        upload.probes += 1
        upload.probe_at = now + self._patience.before_probe(upload)
        self.counts.probes += 1
        probe = m.Probe(upload.attempt, upload.sent_through, held)
        self._publish(upload.topic, probe, Token(upload.attempt))

    # --- pumping: offers, then chunks, then an inquiry ----------------------------------------------

    def _pump(self, now: float) -> None:
        if not self._connected:
            return
        if now >= self._hold_until > float("-inf"):
            self._hold_until = float("-inf")
            self._offers_as_before = False
        may_offer = not self._offers_as_before and self._queue and self._queue.head(now)
        if may_offer and self._hold_until == float("-inf"):
            self._pump_offers(now)
        self._pump_chunks()
        deadline = self._inquiries.deadline
        if deadline is not None and deadline <= now:
            inquiry = self._inquiries.due(now)
            if inquiry is not None:
                self.counts.inquiries += 1
                self._publish(self._inquiry_topic, inquiry, None)

    def _pump_offers(self, now: float) -> None:
        while (image_id := self._queue.head(now)) is not None:
            image = self._images[image_id]
            stored = image.state is OutboxState.STORED
            size = image.manifest.size_bytes
            inline = not stored and size <= self.pace.inline_bytes()
            if not self._may_offer(image, stored=stored, inline=inline, now=now):
                return
            self._queue.discard(image_id)
            attempt = self._random64() or 1
            most_preview = 0 if stored or inline else self._preview_bytes(image)
            upload = Upload(
                attempt,
                image.manifest,
                stored=stored,
                inline=inline,
                previewed=most_preview > 0,
                pace=self.pace,
                now=now,
            )
            image.upload = upload
            self._uploads[attempt] = upload
            if inline:
                self._read(upload, 0, size)
            elif most_preview:
                scale = image.manifest.um_per_px
                assert scale is not None
                self._out.append(io.MakePreview(image_id, most_preview, scale))
            else:
                self._publish_offer(image, upload, None, now)

    def _preview_bytes(self, image: Image) -> int:
        """How large a preview its offer may carry; 0 for none.

        While nobody answers, none is sent in vain; what kills decoders is not shown round; and nobody
        could judge one without a scale.
        """
        s = self._settings
        if self._silences or image.previews >= s.preview_tries:
            return 0
        if image.vanished >= s.suspect_after or image.manifest.um_per_px is None:
            return 0
        return self.pace.preview_bytes(image.manifest.size_bytes)

    def _may_offer(self, image: Image, *, stored: bool, inline: bool, now: float) -> bool:
        s = self._settings
        uploads = self._uploads.values()
        if len(self._uploads) >= s.unfinished_attempts:
            return False
        if (self._busies or self._silences) and any(u.phase is Phase.OFFERED for u in uploads):
            return False  # one question at a time, until somebody takes an image
        if image.manifest.priority is not Priority.STAT and any(
            u.manifest.priority is Priority.STAT and u.phase is not Phase.CLAIMED for u in uploads
        ):
            return False  # whose bytes would be ahead of the stat image's, until that is claimed
        if stored:
            return sum(u.stored for u in uploads) < s.stored_offers
        if inline:
            unanswered = sum(u.inline and u.phase is not Phase.CLAIMED for u in uploads)
            return unanswered < s.inline_offers and self._window_has(image.manifest.size_bytes)
        taken = [u for u in uploads if u.uploading]
        if len(taken) < s.claimed_transfers:
            return True
        if image.manifest.priority is not Priority.STAT:
            return False
        # Stat overtakes: the routine transfer that has got least far makes room.
        routine = [u for u in taken if u.manifest.priority is not Priority.STAT]
        if not routine:
            return False
        least = min(routine, key=lambda u: (u.upto, -u.manifest.seq))
        if least.phase is Phase.CLAIMED:
            self._release(least.worker, least.attempt, m.Reason.NO_LONGER_NEEDED)
        self._end(least)
        self._offer_again(self._images[least.manifest.image_id], now)
        return True

    def _publish_offer(
        self,
        image: Image,
        upload: Upload,
        inline: bytes | None,
        now: float,
        *,
        preview: m.Preview | None = None,
    ) -> None:
        s = self._settings
        upload.phase = Phase.OFFERED
        upload.sent_at = now
        offer = m.Offer(
            attempt=upload.attempt,
            manifest=image.manifest,
            stored=upload.stored,
            suspect=image.vanished >= s.suspect_after,
            inline=inline,
            preview=preview,
        )
        if inline is not None:
            self._next_order += 1
            upload.sent(0, len(inline), self._next_order, now)
        if preview is not None:
            self._next_order += 1
            upload.sent_preview(len(preview.data), self._next_order, now)
            image.previews += 1
            self.counts.previews += 1
        wait = self._patience.for_answer(self._silences)
        upload.expires = now + wait
        self.counts.offers += 1
        self._publish(self._offer_topic, offer, Token(upload.attempt), expiry_s=ceil(wait))
        self._out.append(io.Stamp(image.manifest.image_id, upload.attempt, Stage.OFFERED))
        if inline is not None:
            self._stamp_sent(upload, last=True)
        elif not (upload.stored or preview):
            self._send_ahead(image, upload, now)

    def _send_ahead(self, image: Image, upload: Upload, now: float) -> None:
        """Its first bytes follow the offer at once, where it can reach one worker only."""
        terms = self._ahead.terms(now)
        if terms is None or self._silences or self._busies or image.failures or image.vanished:
            return
        upload.ahead = terms
        upload.topic = self._topics.build(Kind.INGEST, worker=terms.worker, device=self._device)
        upload.max_chunk = terms.max_chunk

    def _pump_chunks(self) -> None:
        pace = self.pace
        slots = self._chunk_slots - self._chunks_unacked
        if slots <= 0:
            return
        slots -= sum(len(u.reading) for u in self._uploads.values())
        for upload in self._in_sending_order():
            while (room := upload.sendable()) is not None:
                if slots <= 0:
                    return
                start, end = room
                size = min(end - start, pace.chunk_bytes(), upload.max_chunk)
                if not self._window_has(size):
                    return
                self._read(upload, start, size)
                slots -= 1

    def _read(self, upload: Upload, offset: int, size: int) -> None:
        image_id = upload.manifest.image_id
        upload.take(offset, offset + size)
        self._images[image_id].reads += 1
        self._out.append(io.ReadChunk(image_id, offset, size))

    def _in_sending_order(self) -> list[Upload]:
        ready = [u for u in self._uploads.values() if u.pending]
        if len(ready) > 1:
            ready.sort(key=lambda u: u.rank)
        return ready

    def _next_to_send(self) -> Upload | None:
        for upload in self._in_sending_order():
            if upload.sendable() is not None:
                return upload
        return None

    def _window_has(self, size: int) -> bool:
        in_flight = self.pace.in_flight
        return in_flight == 0 or in_flight + size <= self.pace.window_bytes()

    def _publish_chunk(self, upload: Upload, offset: int, data: bytes, now: float) -> None:
        self._next_order += 1
        if offset < upload.sent_through:
            self.counts.resent_bytes += len(data)
        upload.sent(offset, len(data), self._next_order, now)
        self.counts.chunks += 1
        self.counts.chunk_bytes += len(data)
        chunk = m.Chunk(upload.attempt, offset, zlib.crc32(data), data)
        self._publish(upload.topic, chunk, Token(upload.attempt, offset))
        upload.probe_at = now + self._patience.before_probe(upload)
        self._stamp_sent(upload, last=not (upload.pending or upload.reading))

    def _stamp_sent(self, upload: Upload, *, last: bool) -> None:
        image_id = upload.manifest.image_id
        if not upload.first_sent:
            upload.first_sent = True
            self._out.append(io.Stamp(image_id, upload.attempt, Stage.FIRST_SENT))
        if last:
            self._out.append(io.Stamp(image_id, upload.attempt, Stage.LAST_SENT))

    # --- small parts -----------------------------------------------------------------------------------

    def _publish(
        self, topic: str, message: m.Message, token: Token | None, expiry_s: int | None = None
    ) -> None:
        number = self._next_token
        self._next_token += 1
        if token is not None:
            self._tokens[number] = token
            if token.offset >= 0:
                self._chunks_unacked += 1
        self._out.append(io.Publish(number, topic, encode(message), 1, expiry_s))

    def _release(self, worker: str, attempt: int, reason: m.Reason) -> None:
        if self._connected:
            topic = self._topics.build(Kind.INGEST, worker=worker, device=self._device)
            self._publish(topic, m.DeviceRelease(attempt=attempt, reason=reason), None)

    def _persist(self, image: Image, outcome: m.Outcome | None = None) -> None:
        self._out.append(io.Persist(image.manifest.image_id, image.state, image.vanished, outcome))

    def _answered(self, upload: Upload, now: float) -> None:
        """An offer got its first answer: a round trip, and proof that workers listen."""
        self._silences = 0
        elapsed = now - upload.sent_at
        preview, upload.preview = upload.preview, None
        if not (upload.inline or upload.stored or preview):
            self.pace.sample_rtt(elapsed, now)
        inline = upload.out.values() if upload.inline else ()
        for chunk in [*inline, *([preview] if preview else [])]:
            size = chunk.end - chunk.offset
            self.pace.in_flight -= size
            self.pace.delivered += size
            if chunk is not preview:
                self.pace.sample_rtt(elapsed, now)
            delivered = self.pace.delivered - chunk.delivered
            self.pace.sample_rate(delivered, elapsed, chunk.limited, now)
        if upload.inline:
            upload.out.clear()

    def _unanswered(self, upload: Upload, now: float) -> None:
        """Nobody took the offer: the next ones wait longer for their answer."""
        self._end(upload)
        wait = upload.expires - upload.sent_at
        if now < upload.expires:  # said so by the broker, at once
            self._hold(now + wait * (0.5 + self._patience.jitter() / 2))
        self._silences += 1
        self._offer_again(self._images[upload.manifest.image_id], now)

    def _hold(self, until: float) -> None:
        self._hold_until = max(self._hold_until, until)

    def _offer_again(self, image: Image, now: float, delay_s: float = 0.0) -> None:
        stored = image.state is OutboxState.STORED
        if stored or image.state in _TO_SEND:
            later = now + delay_s if delay_s else None
            self._queue.push(image.manifest, stored=stored, not_before=later)

    def _failed(self, image: Image, now: float) -> None:
        """A claimed attempt came to nothing: at once again at first, then with growing pauses."""
        image.failures += 1
        self._offer_again(image, now, self._patience.after_failures(image.failures))

    def _check_row(self, image: Image) -> None:
        image.checking = True
        self._out.append(io.CheckRow(image.manifest.image_id))

    def _reject(self, image: Image, reason: EndReason, detail: str, now: float) -> None:
        self._end_here(image, now)
        self._out.append(io.RejectOnDevice(image.manifest.image_id, reason.value, detail))

    def _end_here(self, image: Image, now: float) -> None:
        self._let_go(image)
        image.state = OutboxState.REJECTED
        image.stored_at = now + self._settings.inquire_after_s
        image.reoffers = 0
        self._inquiries.watch(image.manifest.image_id, now, after_s=self._settings.inquire_after_s)

    def _let_go(self, image: Image) -> None:
        """No attempt, no place in the queue and no question is left of this image."""
        self._queue.discard(image.manifest.image_id)
        self._inquiries.forget(image.manifest.image_id)
        upload = image.upload
        if upload is not None:
            if upload.phase is Phase.CLAIMED:
                self._release(upload.worker, upload.attempt, m.Reason.NO_LONGER_NEEDED)
            self._end(upload)

    def _end(self, upload: Upload) -> None:
        upload.forget_flight()
        del self._uploads[upload.attempt]
        image = self._images.get(upload.manifest.image_id)
        if image is not None and image.upload is upload:
            image.upload = None
