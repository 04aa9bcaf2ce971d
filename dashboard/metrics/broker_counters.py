"""Mosquitto's $SYS topics as fields; what it does not publish is left out, what is no number is refused."""

from __future__ import annotations

from typing import Final

from dashboard.metrics.lines import FieldValue

PREFIX: Final = "$SYS/broker/"
#: Below PREFIX; the same names in 2.0 and 2.1. Mosquitto publishes what has changed, retained.
FIELDS: Final[dict[str, str]] = {
    "uptime": "uptime_s",
    "clients/connected": "clients_connected",
    "clients/disconnected": "clients_disconnected",
    "clients/total": "clients_total",
    "messages/received": "messages_received",
    "messages/sent": "messages_sent",
    "publish/messages/received": "publishes_received",
    "publish/messages/sent": "publishes_sent",
    "publish/messages/dropped": "publishes_dropped",
    "publish/bytes/received": "publish_bytes_received",
    "publish/bytes/sent": "publish_bytes_sent",
    "bytes/received": "bytes_received",
    "bytes/sent": "bytes_sent",
    "store/messages/count": "stored_messages",
    "store/messages/bytes": "stored_bytes",
    "retained messages/count": "retained_messages",
    "subscriptions/count": "subscriptions",
    "shared_subscriptions/count": "shared_subscriptions",
    "heap/current": "heap_bytes",
    "heap/maximum": "heap_maximum_bytes",
    "version": "version",
}
TOPICS: Final = tuple(PREFIX + name for name in FIELDS)


class BrokerCounters:
    """The latest value of each counter."""

    def __init__(self) -> None:
        self.values: dict[str, FieldValue] = {}

    def hear(self, topic: str, payload: bytes) -> bool:
        """Takes a counter in; False for one that is not ours or is not a number."""
        field = FIELDS.get(topic.removeprefix(PREFIX))
        text = payload.decode("utf-8", errors="replace").strip()
        if field == "version":
            self.values[field] = text
            return True
        number = text.partition(" ")[0]  # "123 seconds"
        if field is None or not (number.isascii() and number.isdigit()):
            return False
        self.values[field] = int(number)
        return True

    def forget(self) -> None:
        """The connection ended: what comes next may be another broker's."""
        self.values.clear()
