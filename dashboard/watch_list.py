"""What stands on the hematologist's terminal: each result once, urgent first, newest first within; pure.

Nothing can be dismissed, so the newest comes first: a full screen must not hide what just came.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from wire_protocol.json_messages import URGENCY_RANK, Diagnosis, DiagnosisStatus, Refile

#: Results that are remembered as shown; a repeat of an older one would be shown again.
REMEMBERED: Final = 100_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One result and when it came, in monotonic seconds of this terminal."""

    message: Diagnosis
    site: str
    device: str
    came_s: float
    number: int
    #: The case that the field was moved to since; "" where it was not.
    moved_to: str = ""
    #: Results with this one; a preview is none.
    results: int = 0

    @property
    def rank(self) -> int:
        """The order of work; the urgency decides, not what the message says of its rank."""
        return URGENCY_RANK[self.message.urgency]

    @property
    def is_preview(self) -> bool:
        """Whether a full result is still to come."""
        return self.message.status is DiagnosisStatus.PREVIEW


class WatchList:
    """At most `rows` results: the least urgent and then the oldest make room."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._entries: dict[int, Entry] = {}
        self._shown: OrderedDict[tuple[str, str, bool], None] = OrderedDict()
        #: Image to the number of its last move and the case it was moved to.
        self._moved: OrderedDict[str, tuple[int, str]] = OrderedDict()
        self._number = 0
        self._results = 0
        #: Entries that stand here and were never on the screen.
        self._unseen: set[int] = set()
        self.made_room = 0
        #: Those of them that were never on the screen.
        self.made_room_unseen = 0

    @property
    def total(self) -> int:
        """Results so far, each once; a preview is none."""
        return self._results

    def add(self, message: Diagnosis, site: str, device: str, now_s: float) -> Entry | None:
        """The new entry, or None for a result that was shown before (same image and model)."""
        is_preview = message.status is DiagnosisStatus.PREVIEW
        key = (message.image_id, message.model, is_preview)
        if key in self._shown or (is_preview and (*key[:2], False) in self._shown):
            return None
        self._shown[key] = None
        while len(self._shown) > REMEMBERED:
            self._shown.popitem(last=False)
        for number, entry in list(self._entries.items()):
            if entry.is_preview and entry.message.image_id == message.image_id:
                del self._entries[number]  # the full result takes its preview's place
                self._unseen.discard(number)
        self._number += 1
        self._results += not is_preview
        moved_to = self._moved.get(message.image_id, (0, ""))[1]
        entry = Entry(message, site, device, now_s, self._number, moved_to, self._results)
        self._entries[self._number] = entry
        self._unseen.add(self._number)
        while len(self._entries) > self._rows:
            least = max(self._entries.values(), key=lambda e: (e.rank, -e.number))
            del self._entries[least.number]
            self.made_room += 1
            if least.number in self._unseen:
                self._unseen.discard(least.number)
                self.made_room_unseen += 1
        return entry

    def move(self, refile: Refile) -> bool:
        """A field belongs to another case; whether that was news. It may come before its result."""
        if self._moved.get(refile.image_id, (0, ""))[0] >= refile.number:
            return False
        self._moved[refile.image_id] = (refile.number, refile.to_case)
        while len(self._moved) > REMEMBERED:
            self._moved.popitem(last=False)
        for number, entry in self._entries.items():
            if entry.message.image_id == refile.image_id:
                self._entries[number] = replace(entry, moved_to=refile.to_case)
        return True

    def unseen(self, entries: Sequence[Entry]) -> int:
        """How many of these were never on the screen."""
        return sum(1 for entry in entries if entry.number in self._unseen)

    def note_drawn(self, entries: Sequence[Entry]) -> list[Entry]:
        """These are on the screen now; the ones among them that never were before."""
        new = [entry for entry in entries if entry.number in self._unseen]
        self._unseen.difference_update(entry.number for entry in new)
        return new

    def in_order(self) -> list[Entry]:
        """Urgent first, within one urgency the newest first."""
        return sorted(self._entries.values(), key=lambda e: (e.rank, -e.number))

    @property
    def previews(self) -> int:
        """How many previews stand here, whose results are still to come."""
        return sum(entry.is_preview for entry in self._entries.values())

    def counts(self) -> Iterable[tuple[str, int]]:
        """How many results of each urgency stand here, urgent first; previews are none."""
        results = [entry.message for entry in self._entries.values() if not entry.is_preview]
        for urgency in sorted(URGENCY_RANK, key=lambda u: URGENCY_RANK[u]):
            count = sum(1 for message in results if message.urgency is urgency)
            if count:
                yield urgency.value, count
