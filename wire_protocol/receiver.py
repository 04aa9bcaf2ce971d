"""The worker's half of the transfer: offers, grants, reassembly and last words; no I/O, no clock.

It is told events and the monotonic `now`, returns effects (see `machine_io`), and hands an image's
bytes over with `Store` the moment their digest matches, keeping none itself. This file is longer
than most because it is one state machine; memory is counted by `pool`, bytes by `reassembly`.

`Freed` is to be told for every key once: after `Store` (also where the put failed) and after
`Fetched`. A `Fetch` that failed has handed nothing over and frees itself.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, TypeVar

from wire_protocol import machine_io as io
from wire_protocol import messages as m
from wire_protocol.codec import encode
from wire_protocol.json_messages import Reason as EndReason
from wire_protocol.machine_settings import ReceiverSettings
from wire_protocol.manifest import Manifest
from wire_protocol.pool import Pool
from wire_protocol.reassembly import Reassembly
from wire_protocol.topics import Kind, Topics
from wire_protocol.trace import Stage
from wire_protocol.turns import Turns

NO_SUBSCRIBERS = 0x10
#: What a `Fetch` fails with, permanently, where the archive has no such bytes.
UNKNOWN_BLOB = "unknown_blob"
UNKNOWN_PAUSE_S = 0.5
_NEVER = float("inf")
_ImageKey = tuple[str, str, str]
_K = TypeVar("_K")
_V = TypeVar("_V")


class _State(Enum):
    RECEIVING = auto()
    STORING = auto()  #: bytes are with the archive and the pipeline
    FETCHING = auto()  #: the archive is asked for the bytes
    DONE = auto()  #: answered; only the pipeline still holds the bytes


@dataclass(slots=True, eq=False)
class _Transfer:
    key: int
    site: str
    device: str
    attempt: int
    manifest: Manifest
    suspect: bool
    since: float
    body: Reassembly
    state: _State = _State.RECEIVING
    #: Bytes of the pool that are this transfer's; also the absolute limit told to the device.
    limit: int = 0
    lease_until: float = _NEVER
    #: The lease is over: no grants, and the bytes may be let go.
    idle_since: float | None = None
    held: bool = False
    n: int = 0
    told_limit: int = 0
    told_at: float = float("-inf")
    untold: int = 0
    freed: bool = False
    #: The attempt whose first byte was stamped, and the one that `Store` or `Fetch` named.
    first_of: int = 0
    handed_as: int = 0

    @property
    def size(self) -> int:
        return self.manifest.size_bytes

    @property
    def image_key(self) -> _ImageKey:
        return (self.device, self.manifest.image_id, self.manifest.sha256)


@dataclass(slots=True)
class ReceiverCounts:
    """What happened, for health and the curious."""

    offers: int = 0
    previews: int = 0
    claims: int = 0
    busy: int = 0
    refused: int = 0
    chunks: int = 0
    chunk_bytes: int = 0
    duplicate_chunks: int = 0
    damaged_chunks: int = 0
    over_limit_chunks: int = 0
    unknown: int = 0
    mismatches: int = 0
    expired_leases: int = 0
    evicted: int = 0
    stored: int = 0


class Receiver:
    """All transfers of one worker."""

    def __init__(
        self,
        *,
        worker: str,
        topics: Topics,
        random64: Callable[[], int],
        settings: ReceiverSettings | None = None,
    ) -> None:
        self._settings = settings or ReceiverSettings()
        self._worker = worker
        self._topics = topics
        self._random64 = random64
        self.counts = ReceiverCounts()
        self.pool = Pool(self._settings.pool_bytes, self._settings.device_pool_bytes)
        self._by_key: dict[int, _Transfer] = {}
        self._by_attempt: dict[tuple[str, int], _Transfer] = {}
        self._by_image: dict[_ImageKey, _Transfer] = {}
        #: Transfers whose lease is over, least recently heard first.
        self._idle: OrderedDict[int, _Transfer] = OrderedDict()
        #: Those that want a greater limit, in the order in which devices get their turn.
        self._wanting: OrderedDict[str, list[_Transfer]] = OrderedDict()
        self._progress_due: OrderedDict[int, float] = OrderedDict()
        #: Last words by attempt, and of stored images by image, each with the moment it fades.
        self._answers: OrderedDict[tuple[str, int], tuple[float, m.TransferMessage]] = OrderedDict()
        self._stored: OrderedDict[_ImageKey, float] = OrderedDict()
        self._unknown_told: OrderedDict[tuple[str, int], float] = OrderedDict()
        self._tokens: dict[int, str] = {}
        self._turns = Turns()
        self._next_token = 1
        self._next_key = 1
        self._next_check = _NEVER
        self._connected = True
        self._healthy = True
        self._drain_until: float | None = None
        self._transfer_topics: dict[str, str] = {}
        self._out: list[io.ReceiverEffect] = []
        self._handlers: dict[type, Callable[[Any, float], None]] = {
            io.Connected: self._on_connected,
            io.Disconnected: self._on_disconnected,
            io.Published: self._on_published,
            io.Tick: self._on_tick,
            io.FromDevice: self._on_message,
            io.DeviceGone: self._on_device_gone,
            io.Put: self._on_put,
            io.PutFailed: self._on_put_failed,
            io.Fetched: self._on_fetched,
            io.Freed: self._on_freed,
            io.Readiness: self._on_readiness,
            io.Drain: self._on_drain,
        }
        self._messages: dict[type, Callable[[io.FromDevice, Any, float], None]] = {
            m.Offer: self._on_offer,
            m.Chunk: self._on_chunk,
            m.Probe: self._on_probe,
            m.DeviceRelease: self._on_release,
        }

    # --- what the program calls ------------------------------------------------------------------

    def handle(self, event: io.ReceiverEvent, now: float) -> list[io.ReceiverEffect]:
        """Takes one event in and returns what is to be done, in order."""
        self._handlers[type(event)](event, now)
        out, self._out = self._out, []
        return out

    @property
    def deadline(self) -> float | None:
        """When `handle(Tick(), now)` is due, in monotonic seconds; None while nothing is."""
        at = self._next_check
        if self._progress_due:
            at = min(at, next(iter(self._progress_due.values())))
        if self._drain_until is not None:
            at = min(at, self._drain_until)
        return None if at == _NEVER else at

    @property
    def unfinished(self) -> int:
        """Transfers that still owe their device an answer; a drain may end when it is 0."""
        return sum(
            t.state is not _State.DONE and t.idle_since is None for t in self._by_key.values()
        )

    @property
    def images_in_memory(self) -> int:
        """Images that are being received, stored or processed here."""
        return len(self._by_key)

    def buffered_bytes(self) -> int:
        """Bytes held for reassembly right now; never above the pool."""
        return sum(len(t.body.data) for t in self._by_key.values())

    # --- connection and program --------------------------------------------------------------------

    def _on_connected(self, _event: io.Connected, now: float) -> None:
        self._connected = True
        self._tokens.clear()
        for transfer in self._by_key.values():
            if transfer.state is _State.RECEIVING and transfer.idle_since is None:
                transfer.lease_until = now + self._settings.lease_s
        self._check_at(now + self._settings.lease_s)

    def _on_disconnected(self, _event: io.Disconnected, _now: float) -> None:
        self._connected = False
        self._tokens.clear()

    def _on_published(self, event: io.Published, now: float) -> None:
        device = self._tokens.pop(event.token, None)
        if device is not None and event.reason_code == NO_SUBSCRIBERS:
            self._leave(device, now)

    def _on_device_gone(self, event: io.DeviceGone, now: float) -> None:
        self._leave(event.device, now)

    def _leave(self, device: str, now: float) -> None:
        for transfer in list(self._by_key.values()):
            if transfer.device == device and transfer.state is _State.RECEIVING:
                self._make_idle(transfer, now)
        self._deal(now)

    def _on_readiness(self, event: io.Readiness, _now: float) -> None:
        self._healthy = event.healthy

    def _on_drain(self, event: io.Drain, now: float) -> None:
        self._drain_until = event.until
        if now >= event.until:
            self._end_drain(now)

    def _end_drain(self, now: float) -> None:
        self._drain_until = _NEVER
        for transfer in list(self._by_key.values()):
            if transfer.state is _State.DONE:
                continue
            if transfer.idle_since is None:
                self._say(
                    transfer,
                    m.WorkerRelease(attempt=transfer.attempt, reason=m.Reason.DRAINING),
                    now,
                )
            self._close(transfer)

    # --- messages of devices -------------------------------------------------------------------------

    def _on_message(self, event: io.FromDevice, now: float) -> None:
        self._messages[type(event.message)](event, event.message, now)

    def _on_offer(self, event: io.FromDevice, offer: m.Offer, now: float) -> None:
        self.counts.offers += 1
        device, manifest = event.device, offer.manifest
        said = self._answers.get((device, offer.attempt))
        if said is not None:
            self._publish(device, said[1])
            return
        if self._refuses(device, offer, now):
            return
        image_key = (device, manifest.image_id, manifest.sha256)
        transfer = self._by_image.get(image_key)
        if transfer is not None:
            self._adopt(transfer, offer, now)
            return
        if not offer.stored and self._stored.get(image_key, float("-inf")) > now:
            self._publish(device, _stored(offer.attempt, manifest))
            return
        if self._drain_until is not None:
            self._busy(device, offer, self._settings.draining_retry_s)
        elif not self._healthy:
            self._busy(device, offer, self._settings.unready_retry_s)
        elif not self._admit(event, offer, now):
            self._turns.refused(device, now)
            self._busy(device, offer, self._settings.busy_retry_s)

    def _refuses(self, device: str, offer: m.Offer, now: float) -> bool:
        manifest, limits = offer.manifest, self._settings
        detail = ""
        if manifest.size_bytes > limits.max_image_bytes:
            detail = f"{manifest.size_bytes} bytes, limit {limits.max_image_bytes}"
        elif not self.pool.fits(manifest.size_bytes):
            detail = f"{manifest.size_bytes} bytes, memory of a device {self.pool.device_bytes}"
        elif max(manifest.width_px, manifest.height_px) > limits.max_side_px:
            detail = (
                f"{manifest.width_px} x {manifest.height_px} pixels,"
                f" limit {limits.max_side_px} a side"
            )
        if not detail:
            return False
        self.counts.refused += 1
        refused = m.Refused(
            attempt=offer.attempt,
            image_id=manifest.image_id,
            reason=EndReason.TOO_LARGE.value,
            detail=detail,
        )
        self._remember(device, offer.attempt, refused, now)
        self._publish(device, refused)
        return True

    def _admit(self, event: io.FromDevice, offer: m.Offer, now: float) -> bool:
        """Takes a new image in, if there is room for at least its beginning."""
        device, manifest = event.device, offer.manifest
        whole = offer.stored or offer.inline is not None
        wanted = manifest.size_bytes if whole else min(manifest.size_bytes, self._step())
        if not self._turns.may_go(device, manifest.size_bytes, now):
            return False
        if self.pool.room(device) < wanted and not self._idle:
            return False  # hundreds may ask a full worker: the answer costs as little as it can
        own = sum(t.device == device for t in self._by_key.values())
        while len(self._by_key) >= self._settings.transfers or (
            own >= self._settings.device_transfers
        ):
            only_of = device if own >= self._settings.device_transfers else None
            if not self._evict(only_of):
                return False
            own = sum(t.device == device for t in self._by_key.values())
        transfer = _Transfer(
            key=self._next_key,
            site=event.site,
            device=device,
            attempt=offer.attempt,
            manifest=manifest,
            suspect=offer.suspect,
            since=now,
            body=Reassembly(manifest.size_bytes),
        )
        if not self._grow(transfer, wanted):
            return False
        self._turns.took(device, manifest.size_bytes)
        self._next_key += 1
        self._by_key[transfer.key] = transfer
        self._by_attempt[device, offer.attempt] = transfer
        self._by_image[transfer.image_key] = transfer
        self._restart_lease(transfer, now)
        self._check_at(now + self._settings.age_s)
        if offer.stored:
            transfer.state = _State.FETCHING
            transfer.lease_until = _NEVER
            self._claim(transfer, ((0, manifest.size_bytes),))
            self._out.append(
                io.Fetch(transfer.key, event.site, device, offer.attempt, manifest, offer.suspect)
            )
        elif offer.inline is not None:
            self._take_inline(transfer, offer.inline, now)
        else:
            self._claim(transfer, ())
            if offer.preview is not None:
                self._take_preview(transfer, offer.preview)
        return True

    def _take_preview(self, transfer: _Transfer, preview: m.Preview) -> None:
        """Handed on at once: its few bytes are the pipeline's to bound, or to leave."""
        if hashlib.sha256(preview.data).hexdigest() != preview.sha256 or transfer.suspect:
            return
        self.counts.previews += 1
        self._out.append(
            io.ClassifyPreview(
                transfer.site, transfer.device, transfer.attempt, transfer.manifest, preview
            )
        )

    def _take_inline(self, transfer: _Transfer, inline: bytes, now: float) -> None:
        image_id = transfer.manifest.image_id
        self._out.append(io.Stamp(image_id, transfer.attempt, Stage.FIRST_RECEIVED))
        actual = hashlib.sha256(inline).hexdigest()
        if actual != transfer.manifest.sha256:
            self._mismatch(transfer, actual, now)
            return
        self._claim(transfer, ((0, len(inline)),))
        self._store(transfer, inline)

    def _adopt(self, transfer: _Transfer, offer: m.Offer, now: float) -> None:
        """The device offers again what is here already, in part or whole: go on with it."""
        self._by_attempt.pop((transfer.device, transfer.attempt), None)
        transfer.attempt = offer.attempt
        transfer.suspect = transfer.suspect or offer.suspect
        self._by_attempt[transfer.device, offer.attempt] = transfer
        if transfer.state is _State.DONE:
            self._publish(transfer.device, _stored(offer.attempt, transfer.manifest))
            return
        if transfer.state is not _State.RECEIVING:
            self._claim(transfer, ((0, transfer.size),))
            return
        if not self._revive(transfer, now):
            self._close(transfer)
            self._busy(transfer.device, offer, self._settings.busy_retry_s)
            self._deal(now)
            return
        transfer.untold = 0
        self._progress_due.pop(transfer.key, None)
        if offer.inline is not None and self._grow(transfer, transfer.size - transfer.limit):
            self._take_inline(transfer, offer.inline, now)
            return
        self._claim(transfer, transfer.body.have())

    def _on_chunk(self, event: io.FromDevice, chunk: m.Chunk, now: float) -> None:
        transfer = self._by_attempt.get((event.device, chunk.attempt))
        if transfer is None:
            self._not_known(event.device, chunk.attempt, now, again=False)
            return
        if transfer.state is not _State.RECEIVING:
            self._answer_late(transfer)
            return
        if transfer.idle_since is not None and not self._revive(transfer, now):
            self._close(transfer)
            self._not_known(event.device, chunk.attempt, now, again=True)
            return
        end = chunk.offset + len(chunk.data)
        if end > transfer.limit:
            self.counts.over_limit_chunks += 1
            return
        if zlib.crc32(chunk.data) != chunk.crc32:
            self.counts.damaged_chunks += 1
            return
        self._restart_lease(transfer, now)
        self.counts.chunks += 1
        body = transfer.body
        if transfer.first_of != chunk.attempt:
            transfer.first_of = chunk.attempt
            self._out.append(
                io.Stamp(transfer.manifest.image_id, chunk.attempt, Stage.FIRST_RECEIVED)
            )
        if not body.write(chunk.offset, chunk.data):
            self.counts.duplicate_chunks += 1
        else:
            self.counts.chunk_bytes += len(chunk.data)
        transfer.held = False
        if body.complete:
            self._completed(transfer, now)
            return
        self._want_more(transfer, now)
        self._progress_soon(transfer, now)

    def _on_probe(self, event: io.FromDevice, probe: m.Probe, now: float) -> None:
        transfer = self._by_attempt.get((event.device, probe.attempt))
        if transfer is None:
            self._not_known(event.device, probe.attempt, now, again=True)
            return
        if transfer.state is not _State.RECEIVING:
            self._answer_late(transfer)
            return
        if transfer.idle_since is not None and not self._revive(transfer, now):
            self._close(transfer)
            self._not_known(event.device, probe.attempt, now, again=True)
            return
        self._restart_lease(transfer, now)
        transfer.held = probe.held
        transfer.body.announce(min(probe.sent_through, transfer.limit))
        self._want_more(transfer, now)
        self._progress(transfer, now)

    def _on_release(self, event: io.FromDevice, release: m.DeviceRelease, now: float) -> None:
        transfer = self._by_attempt.get((event.device, release.attempt))
        if transfer is None:
            return
        if transfer.state is _State.RECEIVING:
            self._close(transfer)
            self._deal(now)

    # --- answers of archive and pipeline ------------------------------------------------------------

    def _on_put(self, event: io.Put, now: float) -> None:
        self._is_stored(event.key, now, archived=True)

    def _on_fetched(self, event: io.Fetched, now: float) -> None:
        self._is_stored(event.key, now, archived=False)

    def _is_stored(self, key: int, now: float, *, archived: bool) -> None:
        transfer = self._by_key.get(key)
        if transfer is None or transfer.state is _State.DONE:
            return
        transfer.state = _State.DONE
        self.counts.stored += 1
        if archived:
            self._out.append(
                io.Stamp(transfer.manifest.image_id, transfer.handed_as, Stage.ARCHIVED)
            )
        _put_bounded(
            self._stored,
            transfer.image_key,
            now + self._settings.answers_s,
            self._settings.answers,
        )
        self._say(transfer, _stored(transfer.attempt, transfer.manifest), now)
        if transfer.freed:
            self._close(transfer)

    def _on_put_failed(self, event: io.PutFailed, now: float) -> None:
        transfer = self._by_key.get(event.key)
        if transfer is None or transfer.state is _State.DONE:
            return
        fetching = transfer.state is _State.FETCHING
        attempt = transfer.attempt
        answer: m.TransferMessage
        if not event.permanent:
            answer = m.WorkerRelease(attempt=attempt, reason=m.Reason.ARCHIVE_AWAY)
        elif fetching and event.reason == UNKNOWN_BLOB:
            self._stored.pop(transfer.image_key, None)
            answer = m.Unknown(attempt=attempt)
        else:
            self.counts.refused += 1
            answer = m.Refused(
                attempt=attempt,
                image_id=transfer.manifest.image_id,
                reason=event.reason[:64] or EndReason.REFUSED.value,
                detail=event.detail[:400],
            )
        self._say(transfer, answer, now)
        transfer.state = _State.DONE
        self._forget_names(transfer)
        if fetching or transfer.freed:
            self._close(transfer)
            self._deal(now)

    def _on_freed(self, event: io.Freed, now: float) -> None:
        transfer = self._by_key.get(event.key)
        if transfer is None:
            return
        transfer.freed = True
        self._give_back(transfer)
        if transfer.state is _State.DONE:
            self._close(transfer)
        self._deal(now)

    # --- completion -------------------------------------------------------------------------------------

    def _completed(self, transfer: _Transfer, now: float) -> None:
        actual = transfer.body.digest()
        if actual != transfer.manifest.sha256:
            self._mismatch(transfer, actual, now)
            self._deal(now)
            return
        self._progress(transfer, now)
        self._store(transfer, transfer.body.data)

    def _store(self, transfer: _Transfer, data: bytes | bytearray) -> None:
        transfer.state = _State.STORING
        transfer.handed_as = transfer.attempt
        transfer.lease_until = _NEVER
        transfer.body.data = bytearray()
        self._stop_wanting(transfer)
        self._out.append(io.Stamp(transfer.manifest.image_id, transfer.attempt, Stage.COMPLETED))
        self._out.append(
            io.Store(
                transfer.key,
                transfer.site,
                transfer.device,
                transfer.attempt,
                transfer.manifest,
                data,
                transfer.suspect,
            )
        )

    def _mismatch(self, transfer: _Transfer, actual: str, now: float) -> None:
        self.counts.mismatches += 1
        manifest = transfer.manifest
        self._say(
            transfer,
            m.Mismatch(attempt=transfer.attempt, image_id=manifest.image_id, actual=actual),
            now,
        )
        self._close(transfer)

    # --- grants -------------------------------------------------------------------------------------------

    def _step(self) -> int:
        """How much a limit grows at a time: never so much that one device could take the pool."""
        return min(self._settings.grant_bytes, max(1, self.pool.device_bytes // 4))

    def _grow(self, transfer: _Transfer, by: int) -> bool:
        if by <= 0:
            return True
        active = [
            t
            for t in self._by_key.values()
            if t.state is _State.RECEIVING and t.idle_since is None and t is not transfer
        ]
        if not self.pool.safe([*active, transfer], transfer, by):
            return False
        if not self._make_room(transfer, by):
            return False
        self.pool.grant(transfer.device, by)
        transfer.limit += by
        return True

    def _make_room(self, transfer: _Transfer, by: int) -> bool:
        """Lets partial bytes of absent devices go, the longest absent first."""
        while self.pool.room(transfer.device) < by:
            own_share = self.pool.device_bytes - self.pool.of_device(transfer.device)
            only_of = transfer.device if own_share < by else None
            if not self._evict(only_of, but=transfer):
                return False
        return True

    def _evict(self, only_of: str | None, but: _Transfer | None = None) -> bool:
        for transfer in self._idle.values():
            if transfer is not but and only_of in (None, transfer.device):
                self.counts.evicted += 1
                self._close(transfer)
                return True
        return False

    def _want_more(self, transfer: _Transfer, now: float) -> None:
        """Asks for a greater limit once half of the last step is used."""
        if transfer.limit >= transfer.size or transfer.held:
            return
        step = self._step()
        if transfer.limit - transfer.body.upto > step // 2:
            return
        waiting = self._wanting.setdefault(transfer.device, [])
        if transfer not in waiting:
            waiting.append(transfer)
        self._deal(now)

    def _stop_wanting(self, transfer: _Transfer) -> None:
        waiting = self._wanting.get(transfer.device)
        if waiting and transfer in waiting:
            waiting.remove(transfer)
            if not waiting:
                del self._wanting[transfer.device]

    def _deal(self, now: float) -> None:
        """One step to each device in turn, until nobody wants more or nothing can be given."""
        refused = 0
        while self._wanting and refused < len(self._wanting):
            device, waiting = next(iter(self._wanting.items()))
            self._wanting.move_to_end(device)
            for transfer in waiting:
                by = min(self._step(), transfer.size - transfer.limit)
                if self._grow(transfer, by):
                    refused = 0
                    self._stop_wanting(transfer)
                    if transfer.told_limit < transfer.limit:
                        self._progress_soon(transfer, now, grew=True)
                    break
            else:
                refused += 1

    def _give_back(self, transfer: _Transfer) -> None:
        self.pool.free(transfer.device, transfer.limit)
        transfer.limit = 0

    # --- leases -----------------------------------------------------------------------------------------

    def _restart_lease(self, transfer: _Transfer, now: float) -> None:
        transfer.lease_until = now + self._settings.lease_s
        if self._next_check == _NEVER or transfer.lease_until < self._next_check:
            self._next_check = transfer.lease_until

    def _make_idle(self, transfer: _Transfer, now: float) -> None:
        if transfer.idle_since is not None:
            return
        transfer.idle_since = now
        self._idle[transfer.key] = transfer
        self._stop_wanting(transfer)
        self._progress_due.pop(transfer.key, None)
        self._check_at(now + self._settings.partial_s)

    def _revive(self, transfer: _Transfer, now: float) -> bool:
        """The device of a kept transfer is back; False where the pool could not finish it now."""
        if transfer.idle_since is not None:
            active = [
                t
                for t in self._by_key.values()
                if t.state is _State.RECEIVING and t.idle_since is None
            ]
            if not self.pool.safe([*active, transfer], transfer, 0):
                return False
            transfer.idle_since = None
            self._idle.pop(transfer.key, None)
        self._restart_lease(transfer, now)
        return True

    def _check_at(self, at: float) -> None:
        self._next_check = min(self._next_check, at)

    def _on_tick(self, _event: io.Tick, now: float) -> None:
        while self._progress_due:
            key, due = next(iter(self._progress_due.items()))
            if due > now:
                break
            self._progress(self._by_key[key], now)
        if self._drain_until is not None and now >= self._drain_until:
            self._end_drain(now)
        if now >= self._next_check:
            self._check_all(now)
            self._deal(now)

    def _check_all(self, now: float) -> None:
        s = self._settings
        following = _NEVER
        for transfer in list(self._by_key.values()):
            if transfer.state is not _State.RECEIVING:
                continue
            if now >= transfer.since + s.age_s:
                release = m.WorkerRelease(attempt=transfer.attempt, reason=m.Reason.LEASE_EXPIRED)
                self._say(transfer, release, now)
                self._close(transfer)
                continue
            if transfer.idle_since is None and now >= transfer.lease_until and self._connected:
                self.counts.expired_leases += 1
                self._make_idle(transfer, now)
            if transfer.idle_since is not None:
                if now >= transfer.idle_since + s.partial_s:
                    self.counts.evicted += 1
                    self._close(transfer)
                    continue
                following = min(following, transfer.idle_since + s.partial_s)
            elif self._connected:
                following = min(following, transfer.lease_until)
            following = min(following, transfer.since + s.age_s)
        self._next_check = following

    # --- small parts ---------------------------------------------------------------------------------------

    def _claim(self, transfer: _Transfer, have: tuple[m.Range, ...]) -> None:
        self.counts.claims += 1
        transfer.told_limit = transfer.limit
        self._publish(
            transfer.device,
            m.Claim(
                attempt=transfer.attempt,
                worker=self._worker,
                lease_s=self._settings.lease_s,
                limit=transfer.limit,
                max_chunk=self._settings.max_chunk_bytes,
                have=have,
            ),
        )

    def _busy(self, device: str, offer: m.Offer, retry_after_s: float) -> None:
        """QoS 0: hundreds of devices may be told so at once, and must not keep a Claim or Stored
        waiting for its turn; a lost one costs its device the wait for an answer."""
        self.counts.busy += 1
        busy = m.Busy(attempt=offer.attempt, retry_after_s=retry_after_s)
        self._publish(device, busy, qos=0)

    def _progress_soon(self, transfer: _Transfer, now: float, *, grew: bool = False) -> None:
        """Now, where it matters or the last one is long ago; else with the next chunk or soon."""
        s = self._settings
        transfer.untold += 1
        if (
            grew
            or transfer.body.gaps
            or transfer.untold >= s.progress_chunks
            or now - transfer.told_at >= s.progress_s
        ):
            self._progress(transfer, now)
        elif transfer.key not in self._progress_due:
            self._progress_due[transfer.key] = now + s.progress_s

    def _progress(self, transfer: _Transfer, now: float) -> None:
        self._progress_due.pop(transfer.key, None)
        body = transfer.body
        transfer.n += 1
        transfer.untold = 0
        transfer.told_at = now
        transfer.told_limit = transfer.limit
        progress = m.Progress(
            transfer.attempt, transfer.n, body.upto, tuple(body.gaps), transfer.limit
        )
        self._publish(transfer.device, progress, qos=0)

    def _answer_late(self, transfer: _Transfer) -> None:
        """A probe or a stray chunk of an image that is complete here."""
        if transfer.state is _State.DONE:
            self._publish(transfer.device, _stored(transfer.attempt, transfer.manifest))
            return
        transfer.n += 1
        whole = m.Progress(transfer.attempt, transfer.n, transfer.size, (), transfer.size)
        self._publish(transfer.device, whole, qos=0)

    def _not_known(self, device: str, attempt: int, now: float, *, again: bool) -> None:
        told = self._unknown_told.get((device, attempt), float("-inf"))
        if not again and now - told < UNKNOWN_PAUSE_S:
            return
        _put_bounded(self._unknown_told, (device, attempt), now, self._settings.answers)
        said = self._answers.get((device, attempt))
        if said is not None and said[0] > now:
            self._publish(device, said[1])
            return
        self.counts.unknown += 1
        self._publish(device, m.Unknown(attempt=attempt))

    def _say(self, transfer: _Transfer, answer: m.TransferMessage, now: float) -> None:
        """The last word on an attempt: remembered for a while, since it may get lost."""
        self._remember(transfer.device, transfer.attempt, answer, now)
        self._publish(transfer.device, answer)

    def _remember(self, device: str, attempt: int, answer: m.TransferMessage, now: float) -> None:
        until = now + self._settings.answers_s
        _put_bounded(self._answers, (device, attempt), (until, answer), self._settings.answers)

    def _forget_names(self, transfer: _Transfer) -> None:
        """No message finds this transfer any more; its memory may still be counted."""
        name = (transfer.device, transfer.attempt)
        if self._by_attempt.get(name) is transfer:
            del self._by_attempt[name]
        if self._by_image.get(transfer.image_key) is transfer:
            del self._by_image[transfer.image_key]

    def _close(self, transfer: _Transfer) -> None:
        """Forgets the transfer; bytes that the pipeline holds stay counted until Freed."""
        self._forget_names(transfer)
        self._stop_wanting(transfer)
        self._idle.pop(transfer.key, None)
        self._progress_due.pop(transfer.key, None)
        if transfer.state is _State.STORING and not transfer.freed:
            transfer.state = _State.DONE
            return
        self._give_back(transfer)
        self._by_key.pop(transfer.key, None)

    def _publish(self, device: str, message: m.TransferMessage, qos: int = 1) -> None:
        topic = self._transfer_topics.get(device)
        if topic is None:
            if len(self._transfer_topics) >= self._settings.answers:
                self._transfer_topics.clear()
            topic = self._topics.build(Kind.TRANSFER, device=device)
            self._transfer_topics[device] = topic
        token = self._next_token
        self._next_token += 1
        if qos:
            self._tokens[token] = device
        self._out.append(io.Publish(token, topic, encode(message), qos))


def _stored(attempt: int, manifest: Manifest) -> m.Stored:
    return m.Stored(attempt=attempt, image_id=manifest.image_id, sha256=manifest.sha256)


def _put_bounded(memory: OrderedDict[_K, _V], key: _K, value: _V, limit: int) -> None:
    memory[key] = value
    memory.move_to_end(key)
    while len(memory) > limit:
        memory.popitem(last=False)
