"""Proves that nothing is lost: seqs 1..next-1 = diagnosed + rejected + dropped + still held; pure, it mends nothing.

What the records store and the archive hold is compared with what the devices last said. A device's
word may be some seconds old: seqs recorded beyond it are fine, and seqs that it holds by its own
account are not gaps, unless the device is silent. (Over 250 lines: one proof, read from top to bottom.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dashboard.identity import Verdict
from wire_protocol.messages import Outcome

#: Seqs from first to last, both included.
SeqRange = tuple[int, int]


@dataclass(frozen=True, slots=True)
class OutboxFact:
    """What a device last said of one outbox."""

    outbox_id: str
    site: str
    device: str
    next_seq: int
    highest_next_seq: int
    oldest_unrecorded_seq: int | None
    #: Images that the outbox still owed to the records store.
    held: int
    #: Since the device's last word.
    age_s: float
    #: Its status; None where none was ever seen.
    online: bool | None


@dataclass(frozen=True, slots=True)
class ImageFact:
    """An image row."""

    device: str
    image_id: str
    sha256: str
    outbox_id: str
    seq: int
    outcome: Outcome
    has_blob: bool


@dataclass(frozen=True, slots=True)
class AsideFact:
    """A report that was set aside."""

    verdict: Verdict
    device: str
    image_id: str
    sha256: str
    outbox_id: str
    seq: int
    times: int


@dataclass(frozen=True, slots=True)
class ManifestFact:
    """A manifest of the archive."""

    device: str
    image_id: str
    sha256: str
    outbox_id: str
    seq: int


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that reconcile looks at; the archive was listed after the store was read."""

    store_id: str
    outboxes: tuple[OutboxFact, ...]
    images: tuple[ImageFact, ...]
    set_aside: tuple[AsideFact, ...]
    blobs: frozenset[str]
    manifests: tuple[ManifestFact, ...]
    silent_after_s: float


@dataclass(frozen=True, slots=True)
class OutboxAccount:
    """The equation of one outbox. `is_heard` is false where no device ever spoke of it."""

    outbox_id: str
    site: str
    device: str
    is_heard: bool
    next_seq: int
    diagnosed: int
    rejected: int
    dropped: int
    held: int
    gaps: tuple[SeqRange, ...]
    #: Missing seqs beyond what the device says it holds, where it cannot be said which.
    unaccounted: int
    #: The device once gave out higher seqs than it knows now: its outbox went back in time.
    went_back: bool
    #: It holds images and is offline, or has not been heard of for too long.
    is_silent: bool
    #: Devices that gave different images the same place in it; empty where none did: its card was
    #: copied, and the copies count on side by side.
    copied_to: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether the equation holds and nothing that is held is out of reach."""
        found = (self.gaps, self.unaccounted, self.went_back, self.is_silent, self.copied_to)
        return not any(found)


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What was found; `orphan_blobs` are only listed: an upload that was cut leaves such blobs."""

    store_id: str
    outboxes: tuple[OutboxAccount, ...]
    conflicts: tuple[AsideFact, ...]
    #: Images of the archive without a record that no device is about to bring.
    unrecorded: tuple[ManifestFact, ...]
    records_without_blob: tuple[ImageFact, ...]
    orphan_blobs: tuple[str, ...]

    @property
    def is_clean(self) -> bool:
        """Whether nothing is lost, doubled or contradicted."""
        found = (self.conflicts, self.unrecorded, self.records_without_blob)
        return not any(found) and all(account.is_clean for account in self.outboxes)


def reconcile(facts: Facts) -> Reconciliation:
    """Compares; the same facts give the same answer."""
    by_outbox: dict[str, list[ImageFact]] = {}
    for image in facts.images:
        by_outbox.setdefault(image.outbox_id, []).append(image)
    said = {outbox.outbox_id: outbox for outbox in facts.outboxes}
    copied_to = _copied_to(facts)
    accounts = tuple(
        _account(
            outbox_id,
            said.get(outbox_id),
            by_outbox.get(outbox_id, []),
            facts.silent_after_s,
            copied_to.get(outbox_id, ()),
        )
        for outbox_id in sorted({*said, *by_outbox})
    )
    by_id = {account.outbox_id: account for account in accounts}
    recorded = {image.image_id for image in facts.images}
    conflicts = tuple(a for a in facts.set_aside if a.verdict is not Verdict.BLOB_MISSING)
    unrecorded = tuple(
        manifest
        for manifest in facts.manifests
        if manifest.image_id not in recorded
        and not _is_on_its_way(manifest, said.get(manifest.outbox_id), by_id)
    )
    named = {
        *(image.sha256 for image in facts.images),
        *(manifest.sha256 for manifest in facts.manifests),
        *(aside.sha256 for aside in facts.set_aside),
    }
    return Reconciliation(
        store_id=facts.store_id,
        outboxes=tuple(sorted(accounts, key=lambda a: (a.site, a.device, a.outbox_id))),
        conflicts=conflicts,
        unrecorded=unrecorded,
        records_without_blob=tuple(
            i for i in facts.images if i.has_blob and i.sha256 not in facts.blobs
        ),
        orphan_blobs=tuple(sorted(facts.blobs - named)),
    )


def _copied_to(facts: Facts) -> dict[str, tuple[str, ...]]:
    """The devices of each outbox in which two gave different images the same place."""
    devices: dict[str, set[str]] = {}
    holder = {(image.outbox_id, image.seq): image.device for image in facts.images}
    for aside in facts.set_aside:
        first = holder.get((aside.outbox_id, aside.seq))
        is_other = aside.verdict is Verdict.CONFLICT_SEQ and first not in (None, aside.device)
        if is_other and first is not None:
            devices.setdefault(aside.outbox_id, set()).update((first, aside.device))
    return {outbox_id: tuple(sorted(names)) for outbox_id, names in devices.items()}


def _account(
    outbox_id: str,
    said: OutboxFact | None,
    images: Sequence[ImageFact],
    silent_after_s: float,
    copied_to: tuple[str, ...],
) -> OutboxAccount:
    outcomes = Counter(image.outcome for image in images)
    seqs = [image.seq for image in images]
    next_seq = said.next_seq if said is not None else max(seqs, default=0) + 1
    missing = missing_ranges(seqs, next_seq)
    # Without the device's word, or below its oldest unrecorded image, missing means lost.
    oldest = said.oldest_unrecorded_seq if said is not None else None
    gaps = _clip(missing, 1, next_seq if oldest is None else oldest)
    perhaps_held = 0 if oldest is None else _count(_clip(missing, oldest, next_seq))
    held = min(perhaps_held, said.held if said is not None else 0)
    is_away = said is None or said.online is False or said.age_s > silent_after_s
    return OutboxAccount(
        outbox_id=outbox_id,
        site=said.site if said is not None else "",
        device=said.device if said is not None else images[0].device,
        is_heard=said is not None,
        next_seq=next_seq,
        diagnosed=outcomes[Outcome.DIAGNOSED],
        rejected=outcomes[Outcome.REJECTED],
        dropped=outcomes[Outcome.DROPPED],
        held=held,
        gaps=tuple(gaps),
        unaccounted=perhaps_held - held,
        went_back=said is not None and said.next_seq < said.highest_next_seq,
        is_silent=held > 0 and is_away,
        copied_to=copied_to,
    )


def _is_on_its_way(
    manifest: ManifestFact, said: OutboxFact | None, accounts: dict[str, OutboxAccount]
) -> bool:
    """Whether its device is there and either holds it or captured it after its last word."""
    if said is None or said.online is False or accounts[manifest.outbox_id].is_silent:
        return False
    oldest = said.oldest_unrecorded_seq
    return manifest.seq >= (said.next_seq if oldest is None else oldest)


def missing_ranges(seqs: Iterable[int], next_seq: int) -> list[SeqRange]:
    """The seqs of 1..next_seq-1 that are not in `seqs`, as ranges."""
    missing: list[SeqRange] = []
    expected = 1
    for seq in sorted({s for s in seqs if 1 <= s < next_seq}):
        if seq > expected:
            missing.append((expected, seq - 1))
        expected = seq + 1
    if expected < next_seq:
        missing.append((expected, next_seq - 1))
    return missing


def _clip(ranges: Iterable[SeqRange], start: int, end: int) -> list[SeqRange]:
    """The parts of the ranges that lie in start..end-1."""
    clipped = ((max(first, start), min(last, end - 1)) for first, last in ranges)
    return [(first, last) for first, last in clipped if first <= last]


def _count(ranges: Iterable[SeqRange]) -> int:
    return sum(last - first + 1 for first, last in ranges)
