"""The rules by which a report becomes, joins or contradicts an image's one outcome; pure, no database.

- An image is fixed by its first report that ends it: image_id, sha256, outbox_id and seq belong
  together one to one. Whatever disagrees with a fixed one is a CONFLICT: kept apart, alarmed, not
  answered. (A renamed device still speaks of the same image: the outbox names it, not the topic.)
- A report is known by (image_id, sha256, bundle, mode). A known one is answered AGAIN.
- The first outcome stands and is what people see; later ones are kept as ALTERNATIVES.
- A preview is kept and answers nothing, so it frees nothing.
- A worker's report needs its blob in the archive; without it nothing is recorded or answered.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from wire_protocol.messages import Outcome


class Mode(StrEnum):
    """What kind of report it is."""

    FULL = "full"
    PREVIEW = "preview"
    #: The worker refused for good; the bytes are in the archive.
    REFUSAL = "refusal"
    #: The image ended on the device: the gate said no, or the bytes are damaged; no blob exists.
    REJECTION = "rejection"
    #: A named operator dropped it on the device.
    DROP = "drop"


#: Modes whose bytes must be in the archive before anything is recorded.
NEEDS_BLOB = frozenset({Mode.FULL, Mode.REFUSAL})


@dataclass(frozen=True, slots=True)
class Identity:
    """What an image row fixes."""

    image_id: str
    sha256: str
    outbox_id: str
    seq: int

    @property
    def place(self) -> tuple[str, int]:
        """Where it stands on its device."""
        return self.outbox_id, self.seq


@dataclass(frozen=True, slots=True)
class ReportKey:
    """What makes two reports the same one."""

    image_id: str
    sha256: str
    bundle: str
    mode: Mode


class Verdict(StrEnum):
    """What becomes of a report."""

    FIRST = "first"
    ALTERNATIVE = "alternative"
    AGAIN = "again"
    PREVIEW = "preview"
    PREVIEW_AGAIN = "preview_again"
    CONFLICT_IMAGE = "conflict_image"
    CONFLICT_SEQ = "conflict_seq"
    BLOB_MISSING = "blob_missing"
    #: The database cannot hold it (a NUL in a text, a number too large); kept nowhere but the log.
    UNSTORABLE = "unstorable"


#: Verdicts that are answered with `Recorded`.
ANSWERED = frozenset({Verdict.FIRST, Verdict.ALTERNATIVE, Verdict.AGAIN})
#: Verdicts whose report is kept as a row of its own.
KEPT = frozenset({Verdict.FIRST, Verdict.ALTERNATIVE, Verdict.PREVIEW})
CONFLICTS = frozenset({Verdict.CONFLICT_IMAGE, Verdict.CONFLICT_SEQ})
#: Verdicts that are set aside and alarmed.
SET_ASIDE = CONFLICTS | {Verdict.BLOB_MISSING}


@dataclass(slots=True)
class Ledger:
    """The facts that a batch of reports can touch, kept current while the batch is decided."""

    by_image: dict[str, tuple[Identity, Outcome]] = field(default_factory=dict)
    by_place: dict[tuple[str, int], Identity] = field(default_factory=dict)
    keys: set[ReportKey] = field(default_factory=set)

    def learn(self, identity: Identity, outcome: Outcome) -> None:
        """An image row that exists."""
        self.by_image[identity.image_id] = (identity, outcome)
        self.by_place[identity.place] = identity

    def outcome(self, image_id: str) -> Outcome:
        """The outcome that stands; KeyError for an image without one."""
        return self.by_image[image_id][1]

    def decide(
        self, identity: Identity, key: ReportKey, outcome: Outcome | None, *, blob_seen: bool
    ) -> Verdict:
        """The verdict on one report; an accepted one is learned before the next is decided."""
        if key.mode is Mode.PREVIEW or outcome is None:
            return self._keep(key, Verdict.PREVIEW, Verdict.PREVIEW_AGAIN)
        known = self.by_image.get(identity.image_id)
        if known is not None and known[0] != identity:
            return Verdict.CONFLICT_IMAGE
        if known is None and identity.place in self.by_place:
            return Verdict.CONFLICT_SEQ
        if known is not None and key in self.keys:
            return Verdict.AGAIN
        if key.mode in NEEDS_BLOB and not blob_seen:
            return Verdict.BLOB_MISSING
        if known is None:
            self.learn(identity, outcome)
            return self._keep(key, Verdict.FIRST, Verdict.FIRST)
        return self._keep(key, Verdict.ALTERNATIVE, Verdict.AGAIN)

    def _keep(self, key: ReportKey, fresh: Verdict, again: Verdict) -> Verdict:
        if key in self.keys:
            return again
        self.keys.add(key)
        return fresh
