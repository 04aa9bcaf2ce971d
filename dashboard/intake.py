"""Reads a message from the broker into work for the store; it refuses what is malformed or disagrees with its topic."""

from __future__ import annotations

from dashboard.device_facts import DevicePresence
from dashboard.reports import report_of_diagnosis, report_of_rejection
from dashboard.store import Asked, Filed, Work
from wire_protocol.codec import PeerError, decode
from wire_protocol.json_messages import (
    Diagnosis,
    Health,
    Presence,
    Refile,
    Rejection,
    parse_json,
)
from wire_protocol.messages import ClockRequest, Inquiry
from wire_protocol.presence import PresenceBook
from wire_protocol.topics import RECORDS, Kind, Topics

#: What the records store subscribes to.
KINDS = (
    Kind.DIAGNOSIS,
    Kind.REJECTION,
    Kind.REFILE,
    Kind.INQUIRY,
    Kind.DEVICE_HEALTH,
    Kind.DEVICE_STATUS,
)


class Intake:
    """Parses messages; it remembers which life of each device is the present one."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._presence = PresenceBook()

    def disconnected(self) -> None:
        """The connection is gone: retained statuses come again with the next one."""
        self._presence.forget()

    def read(self, topic: str, payload: bytes) -> Work | ClockRequest | None:
        """The work in a message, None where there is none; raises PeerError."""
        parsed = self._topics.parse(topic)
        if parsed is None:
            raise PeerError("not one of our topics")
        site, device = parsed.levels.get("site", ""), parsed.levels.get("device", "")
        match parsed.kind:
            case Kind.DIAGNOSIS:
                diagnosis = parse_json(Diagnosis, payload)
                return Filed(report_of_diagnosis(diagnosis, site, device), blob_seen=False)
            case Kind.REJECTION:
                rejection = parse_json(Rejection, payload)
                return Filed(report_of_rejection(rejection, site, device), blob_seen=False)
            case Kind.REFILE:
                refile = parse_json(Refile, payload)
                if (refile.site, refile.device) != (site, device):
                    raise PeerError(
                        f"refile says {refile.site}/{refile.device}, its topic {site}/{device}"
                    )
                return refile
            case Kind.INQUIRY:
                message = decode(payload)
                if not isinstance(message, Inquiry):
                    raise PeerError(f"{type(message).__name__} on an inquiry topic")
                return Asked(device, message)
            case Kind.CLOCK if parsed.levels["peer"] == RECORDS:
                message = decode(payload)
                if not isinstance(message, ClockRequest):
                    raise PeerError(f"{type(message).__name__} on the clock topic")
                return message
            case Kind.DEVICE_HEALTH:
                health = parse_json(Health, payload)
                if (health.site, health.device) != (site, device):
                    raise PeerError(
                        f"health says {health.site}/{health.device}, its topic {site}/{device}"
                    )
                return health
            case Kind.DEVICE_STATUS:
                status = self._presence.hear(parsed, payload)
                if status is None:
                    return None
                is_online = status.state is Presence.ONLINE
                return DevicePresence(site, device, is_online, status.reason)
            case _:
                raise PeerError(f"{parsed.kind.value} is not for the records store")
