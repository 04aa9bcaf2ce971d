"""Every topic of hemowire and which role may publish or read it; no other module spells a topic."""

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
    INQUIRY = "inquiry"
    RECORDED = "recorded"
    REVIEW = "review"
    REPORT = "report"
    TRACE = "trace"
    WORKER_STATUS = "worker_status"
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
    Kind.INQUIRY: "inquiry/{device}",
    Kind.RECORDED: "recorded/{device}",
    Kind.REVIEW: "review/{site}",
    Kind.REPORT: "report/{site}",
    Kind.TRACE: "trace/{program}",
    Kind.WORKER_STATUS: "worker/{worker}/status",
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


class Role(StrEnum):
    """Who connects to the broker."""

    EDGE = "edge"
    WORKER = "worker"
    RECORDS = "records"
    HEMATOLOGIST = "hematologist"
    OPERATOR = "operator"
    ENGINEER = "engineer"


class Access(StrEnum):
    """Directions as the client sees them."""

    PUBLISH = "publish"
    READ = "read"


@dataclass(frozen=True, slots=True)
class Rule:
    """One permission; `pinned` levels must be the account's own, all others may be anything."""

    access: Access
    kind: Kind
    pinned: tuple[str, ...] = ()
    #: Levels with a fixed value, as ("peer", "records").
    fixed: tuple[tuple[str, str], ...] = ()


def _publish(kind: Kind, *pinned: str, **fixed: str) -> Rule:
    return Rule(Access.PUBLISH, kind, pinned, tuple(fixed.items()))


def _read(kind: Kind, *pinned: str, **fixed: str) -> Rule:
    return Rule(Access.READ, kind, pinned, tuple(fixed.items()))


#: What each role may do; everything else is denied. An account names its site and device where
#: a rule pins them; an account without a site may read all sites.
RULES: Final[dict[Role, tuple[Rule, ...]]] = {
    Role.EDGE: (
        _publish(Kind.DEVICE_STATUS, "site", "device"),
        _publish(Kind.DEVICE_HEALTH, "site", "device"),
        _publish(Kind.REPLY, "site", "device"),
        _publish(Kind.OFFER, "site", "device"),
        _publish(Kind.INGEST, "device"),
        _publish(Kind.REJECTION, "site", "device"),
        _publish(Kind.INQUIRY, "device"),
        _publish(Kind.TRACE, "program"),
        _publish(Kind.CLOCK, peer=RECORDS),
        _read(Kind.COMMAND, "site", "device"),
        _read(Kind.DEVICE_STATUS, "site", "device"),  # its own: a second one is noticed there
        _read(Kind.TRANSFER, "device"),
        _read(Kind.RECORDED, "device"),
        _read(Kind.CLOCK, "peer"),
        _read(Kind.WORKER_STATUS),
        _read(Kind.RECORDS_STATUS),
    ),
    Role.WORKER: (
        _publish(Kind.TRANSFER),
        _publish(Kind.DIAGNOSIS),
        _publish(Kind.THUMBNAIL),
        _publish(Kind.TRACE),
        _publish(Kind.WORKER_STATUS),
        _publish(Kind.CLOCK, peer=RECORDS),
        _read(Kind.OFFER),
        _read(Kind.INGEST),
        _read(Kind.DEVICE_STATUS),
        _read(Kind.RECORDS_STATUS),
        _read(Kind.CLOCK),
    ),
    Role.RECORDS: (
        _publish(Kind.RECORDED),
        _publish(Kind.CASE),
        _publish(Kind.WORKLIST),
        _publish(Kind.REVIEW),
        _publish(Kind.REPORT),
        _publish(Kind.RECORDS_STATUS),
        _publish(Kind.TRACE),
        _publish(Kind.CLOCK),
        _read(Kind.DIAGNOSIS),
        _read(Kind.REJECTION),
        _read(Kind.INQUIRY),
        _read(Kind.DEVICE_STATUS),
        _read(Kind.DEVICE_HEALTH),
        _read(Kind.WORKER_STATUS),
        _read(Kind.RECORDS_STATUS),  # its own: a second store is noticed there
        _read(Kind.CLOCK, peer=RECORDS),
    ),
    Role.HEMATOLOGIST: (
        _publish(Kind.TRACE, "program"),
        _publish(Kind.CLOCK, peer=RECORDS),
        _read(Kind.DIAGNOSIS, "site"),
        _read(Kind.CASE, "site"),
        _read(Kind.WORKLIST, "site"),
        _read(Kind.THUMBNAIL, "site"),
        _read(Kind.REVIEW, "site"),
        _read(Kind.REPORT, "site"),
        _read(Kind.WORKER_STATUS),
        _read(Kind.RECORDS_STATUS),
        _read(Kind.CLOCK, "peer"),
    ),
    Role.OPERATOR: (
        _publish(Kind.COMMAND, "site"),
        _read(Kind.REPLY, "site"),
        _read(Kind.DEVICE_STATUS, "site"),
        _read(Kind.DEVICE_HEALTH, "site"),
        _read(Kind.REJECTION, "site"),
        _read(Kind.WORKER_STATUS),
        _read(Kind.RECORDS_STATUS),
    ),
    Role.ENGINEER: (
        _read(Kind.TRACE),
        _read(Kind.DEVICE_STATUS),
        _read(Kind.DEVICE_HEALTH),
        _read(Kind.WORKER_STATUS),
        _read(Kind.RECORDS_STATUS),
    ),
}


def rule_filter(topics: Topics, rule: Rule, identity: dict[str, str]) -> str:
    """The topic filter of `rule` for an account whose own levels are `identity`.

    `identity` may hold site, device, program and peer; a pinned site that is absent means all
    sites, any other pinned level that is absent is an error.
    """
    levels: dict[str, str] = {}
    for part in PATHS[rule.kind].split("/"):
        if not part.startswith("{"):
            continue
        name = part[1:-1]
        fixed = dict(rule.fixed)
        if name in fixed:
            levels[name] = fixed[name]
        elif name in rule.pinned and (name in identity or name != "site"):
            levels[name] = identity[name]
        else:
            levels[name] = "+"
    return topics.build(rule.kind, **levels)
