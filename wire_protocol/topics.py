"""Every topic of hemowire; no other module spells one. Who may publish or read which is in `access`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from wire_protocol.ids import LEVEL_PATTERN

DEFAULT_ROOT: Final = "hemowire/v1"
MAX_ROOT_LEVELS: Final = 3
WORKER_GROUP: Final = "workers"
RECORDS: Final = "records"

_LEVEL = re.compile(LEVEL_PATTERN)
#: Topics whose parts are remembered: a program hears the same few all the time.
_REMEMBERED = 1024


class Kind(StrEnum):
    """The families of topics; the value is the first part after the root."""

    DEVICE_STATUS = "device_status"
    DEVICE_HEALTH = "device_health"
    COMMAND = "command"
    REPLY = "reply"
    OFFER = "offer"
    INGEST = "ingest"
    TRANSFER = "transfer"
    DIAGNOSIS = "diagnosis"
    CASE = "case"
    WORKLIST = "worklist"
    THUMBNAIL = "thumbnail"
    REJECTION = "rejection"
    REFILE = "refile"
    INQUIRY = "inquiry"
    RECORDED = "recorded"
    REVIEW = "review"
    REPORT = "report"
    TRACE = "trace"
    WORKER_STATUS = "worker_status"
    WORKER_HEALTH = "worker_health"
    RECORDS_STATUS = "records_status"
    CLOCK = "clock"


#: Path below the root; a name in braces is one level.
PATHS: Final[dict[Kind, str]] = {
    Kind.DEVICE_STATUS: "device/{site}/{device}/status",
    Kind.DEVICE_HEALTH: "device/{site}/{device}/health",
    Kind.COMMAND: "command/{site}/{device}",
    Kind.REPLY: "reply/{site}/{device}",
    Kind.OFFER: "offer/{site}/{device}",
    Kind.INGEST: "ingest/{worker}/{device}",
    Kind.TRANSFER: "transfer/{device}",
    Kind.DIAGNOSIS: "diagnosis/{site}/{device}",
    Kind.CASE: "case/{site}/{device}",
    Kind.WORKLIST: "worklist/{site}",
    Kind.THUMBNAIL: "thumbnail/{site}/{device}/{image_id}",
    Kind.REJECTION: "rejection/{site}/{device}",
    Kind.REFILE: "refile/{site}/{device}",
    Kind.INQUIRY: "inquiry/{device}",
    Kind.RECORDED: "recorded/{device}",
    Kind.REVIEW: "review/{site}",
    Kind.REPORT: "report/{site}",
    Kind.TRACE: "trace/{program}",
    Kind.WORKER_STATUS: "worker/{worker}/status",
    Kind.WORKER_HEALTH: "worker/{worker}/health",
    Kind.RECORDS_STATUS: "records/status",
    Kind.CLOCK: "clock/{peer}",
}


@dataclass(frozen=True, slots=True)
class ParsedTopic:
    """A topic's kind and the values of its levels, by name."""

    kind: Kind
    levels: dict[str, str]


class Topics:
    """Builds and parses topics below one root of one to three levels."""

    def __init__(self, root: str = DEFAULT_ROOT) -> None:
        parts = root.split("/")
        if not 1 <= len(parts) <= MAX_ROOT_LEVELS or not all(_LEVEL.fullmatch(p) for p in parts):
            raise ValueError(
                f"root topic {root!r}: 1 to {MAX_ROOT_LEVELS} levels of [A-Za-z0-9_-] needed"
            )
        self.root = root
        self._parsed: dict[str, ParsedTopic | None] = {}
        self._by_shape = {_shape(path): (kind, path.split("/")) for kind, path in PATHS.items()}

    def build(self, kind: Kind, **levels: str) -> str:
        """The topic of `kind`; a level may be "+" to make a filter. Raises ValueError by name."""
        for name, value in levels.items():
            if value != "+" and not _LEVEL.fullmatch(value):
                raise ValueError(f"{name} {value!r}: 1-64 of [A-Za-z0-9_-] needed in a topic")
        return f"{self.root}/{PATHS[kind].format(**levels)}"

    def every(self, kind: Kind) -> str:
        """The filter that matches every topic of `kind`."""
        return f"{self.root}/{re.sub(r'{[a-z_]+}', '+', PATHS[kind])}"

    def shared_offers(self) -> str:
        """The workers' shared subscription: each offer goes to one of them."""
        return f"$share/{WORKER_GROUP}/{self.every(Kind.OFFER)}"

    def parse(self, topic: str) -> ParsedTopic | None:
        """What `topic` is, or None when it is not one of ours or a level is malformed."""
        if topic not in self._parsed:
            if len(self._parsed) >= _REMEMBERED:
                self._parsed.clear()
            self._parsed[topic] = self._parse(topic)
        return self._parsed[topic]

    def _parse(self, topic: str) -> ParsedTopic | None:
        if not topic.startswith(self.root + "/"):
            return None
        parts = topic[len(self.root) + 1 :].split("/")
        shape = (parts[0], len(parts), parts[-1] if parts[0] in ("device", "worker") else "")
        found = self._by_shape.get(shape)
        if found is None:
            return None
        kind, path = found
        levels = {
            name[1:-1]: part for name, part in zip(path, parts, strict=True) if name.startswith("{")
        }
        fixed = all(n == p for n, p in zip(path, parts, strict=True) if not n.startswith("{"))
        if not fixed or not all(_LEVEL.fullmatch(value) for value in levels.values()):
            return None
        return ParsedTopic(kind, levels)


def _shape(path: str) -> tuple[str, int, str]:
    parts = path.split("/")
    return parts[0], len(parts), parts[-1] if parts[0] in ("device", "worker") else ""
