"""Which role may publish or read which topic; everything else is denied. The broker's access file is made from it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from wire_protocol.topics import PATHS, RECORDS, Kind, Topics


class Role(StrEnum):
    """Who connects to the broker."""

    EDGE = "edge"
    WORKER = "worker"
    RECORDS = "records"
    HEMATOLOGIST = "hematologist"
    OPERATOR = "operator"
    ENGINEER = "engineer"
    METRICS = "metrics"


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
        _publish(Kind.REFILE, "site", "device"),
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
        _publish(Kind.WORKER_HEALTH),
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
        _read(Kind.REFILE),
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
        _read(Kind.REFILE, "site"),
        _read(Kind.REVIEW, "site"),
        _read(Kind.REPORT, "site"),
        _read(Kind.WORKER_STATUS),
        _read(Kind.RECORDS_STATUS),
        _read(Kind.CLOCK, "peer"),
    ),
    Role.OPERATOR: (
        _publish(Kind.COMMAND, "site"),
        _publish(Kind.TRACE, "program"),  # the page, of what its readers were shown
        _publish(Kind.CLOCK, peer=RECORDS),
        _read(Kind.REPLY, "site"),
        _read(Kind.DEVICE_STATUS, "site"),
        _read(Kind.DEVICE_HEALTH, "site"),
        _read(Kind.REJECTION, "site"),
        _read(Kind.REFILE, "site"),
        _read(Kind.WORKER_STATUS),
        _read(Kind.RECORDS_STATUS),
        _read(Kind.CLOCK, "peer"),
    ),
    Role.ENGINEER: (
        _read(Kind.TRACE),
        _read(Kind.DEVICE_STATUS),
        _read(Kind.DEVICE_HEALTH),
        _read(Kind.WORKER_STATUS),
        _read(Kind.WORKER_HEALTH),
        _read(Kind.RECORDS_STATUS),
    ),
    Role.METRICS: (
        _read(Kind.TRACE),
        _read(Kind.DEVICE_STATUS),
        _read(Kind.DEVICE_HEALTH),
        _read(Kind.WORKER_STATUS),
        _read(Kind.WORKER_HEALTH),
        _read(Kind.RECORDS_STATUS),
    ),
}

#: The broker's own counters: Mosquitto's topics, not below our root. They name no person.
BROKER_COUNTERS: Final = "$SYS/broker/#"
READS_BROKER_COUNTERS: Final = frozenset({Role.ENGINEER, Role.METRICS})


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
