"""Who is there, from retained statuses and wills; a late will of an earlier life never counts.

A program's `incarnation` is new per process. Its will may come seconds after its next life said
online: then it is about a life that everybody has forgotten.
"""

from __future__ import annotations

from wire_protocol.codec import PeerError
from wire_protocol.json_messages import Presence, Status, parse_json
from wire_protocol.topics import Kind, ParsedTopic

#: Whose status a topic carries, and the level that names it; the records store names itself.
_PROGRAMS = {
    Kind.DEVICE_STATUS: ("edge", "device"),
    Kind.WORKER_STATUS: ("worker", "worker"),
    Kind.RECORDS_STATUS: ("records", ""),
}
REMOVED = "status removed"


class WrongTopicError(PeerError):
    """A status of somebody else than its topic names."""


class PresenceBook:
    """The lives that are online now; one book per connection or per program, `forget` in between."""

    def __init__(self) -> None:
        self._online: dict[tuple[str, ...], Status] = {}

    def hear(self, topic: ParsedTopic, payload: bytes) -> Status | None:
        """The status that counts from now on; None where nothing is different.

        An empty payload removes the retained status: offline for who was online, else nothing.
        Raises PeerError, and WrongTopicError for a status that disagrees with its topic.
        """
        key = (topic.kind.value, *topic.levels.values())
        if not payload:
            gone = self._online.pop(key, None)
            change = {"state": Presence.OFFLINE, "reason": REMOVED}
            return None if gone is None else gone.model_copy(update=change)
        status = parse_json(Status, payload)
        program, level = _PROGRAMS[topic.kind]
        if status.program != program or (level and status.id != topic.levels[level]):
            raise WrongTopicError(f"status of {status.program} {status.id} on another one's topic")
        if status.state is Presence.ONLINE:
            self._online[key] = status
            return status
        known = self._online.get(key)
        if known is not None and known.incarnation != status.incarnation:
            return None
        self._online.pop(key, None)
        return status

    def forget(self) -> None:
        """The connection is gone: what is retained comes again with the next one."""
        self._online.clear()
