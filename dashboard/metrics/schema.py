"""Every measurement, its tags and its typed fields, as one literal table; a point that is not in it is a bug.

Names are a promise to dashboards (docs/latency.md): add fields, never rename or retype one, since
InfluxDB fixes a field's type with its first point. VictoriaMetrics calls a field
`<measurement>_<field>`, as in `hemowire_stage_duration_ms`. Tags have few values; ids of images,
attempts and processes are fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from wire_protocol.machine_io import OutboxState


class FieldType(StrEnum):
    """How a field is written: 1.5, 3i, true, "text"."""

    FLOAT = "float"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    STRING = "string"


FLOAT, INTEGER, BOOLEAN, STRING = FieldType


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measurement; a field name that ends in * stands for names that programs make up."""

    name: str
    meaning: str
    tags: tuple[str, ...]
    fields: dict[str, FieldType]

    def type_of(self, field: str) -> FieldType:
        """The type of a field; raises KeyError for one that is not in the table."""
        found = self.fields.get(field)
        if found is not None:
            return found
        for name, kind in self.fields.items():
            if name.endswith("*") and field.startswith(name[:-1]) and len(field) >= len(name):
                return kind
        raise KeyError(f"{self.name}.{field}: not in the schema")


STAGE: Final = Measurement(
    "hemowire_stage",
    "one stage of one image: how long it took, give or take the error of the clocks",
    ("site", "device", "worker", "bundle", "stage"),
    {
        "duration_ms": FLOAT,
        "error_ms": FLOAT,
        "start": STRING,
        "image_id": STRING,
        "attempt": STRING,
    },
)

#: The whole ways that are measured, as start and end.
WAYS: Final = tuple(
    (start, end)
    for start in ("scheduled", "captured")
    for end in ("published", "recorded", "shown")
)

IMAGE: Final = Measurement(
    "hemowire_image",
    "one image from end to end, each way with the error of the clocks",
    ("site", "device", "worker", "bundle"),
    {
        **{f"{start}_to_{end}_ms": FLOAT for start, end in WAYS},
        **{f"{start}_to_{end}_error_ms": FLOAT for start, end in WAYS},
        "size_bytes": INTEGER,
        "stages": INTEGER,
        "image_id": STRING,
        "attempt": STRING,
        "captured_unix_ns": INTEGER,
        "clock_synced": BOOLEAN,
        "is_complete": BOOLEAN,
    },
)

DEVICE: Final = Measurement(
    "hemowire_device",
    "a microscope's account of itself, every 10 s and on change",
    ("site", "device"),
    {
        "next_seq": INTEGER,
        "oldest_unrecorded_seq": INTEGER,
        **{f"images_{state.value}": INTEGER for state in OutboxState},
        "queue_bytes": INTEGER,
        "disk_free_bytes": INTEGER,
        "uptime_s": FLOAT,
        "oldest_waiting_s": FLOAT,
        "damaged": INTEGER,
        "memory_bytes": INTEGER,
        "memory_available_bytes": INTEGER,
        "cpu_temperature_c": FLOAT,
        "link_bytes_per_s": FLOAT,
        "clock_error_ms": FLOAT,
        "clock_synced": BOOLEAN,
        "is_halted": BOOLEAN,
        "has_alarm": BOOLEAN,
        "halted": STRING,
        "alarm": STRING,
        "software": STRING,
        "boot_id": STRING,
        "score_*": FLOAT,
    },
)

PROGRAM: Final = Measurement(
    "hemowire_program",
    "whether a program is there, on each change and repeated with the broker's counters",
    ("program", "site", "device", "worker"),
    {
        "online": INTEGER,
        "engine_images_per_s": FLOAT,
        "reason": STRING,
        "id": STRING,
        "incarnation": STRING,
        "bundle": STRING,
        "engine": STRING,
    },
)

WORKER: Final = Measurement(
    "hemowire_worker",
    "a worker's counters since it started; they begin at 0 with each new id",
    ("worker", "bundle", "engine"),
    {
        "uptime_s": FLOAT,
        "memory_bytes": INTEGER,
        "in_hand": INTEGER,
        "id": STRING,
        "count_*": INTEGER,
    },
)

BROKER: Final = Measurement(
    "hemowire_broker",
    "Mosquitto's own counters ($SYS), every 10 s; since the broker started unless said otherwise",
    (),
    {
        "uptime_s": INTEGER,
        "clients_connected": INTEGER,
        "clients_disconnected": INTEGER,
        "clients_total": INTEGER,
        "messages_received": INTEGER,
        "messages_sent": INTEGER,
        "publishes_received": INTEGER,
        "publishes_sent": INTEGER,
        "publishes_dropped": INTEGER,
        "publish_bytes_received": INTEGER,
        "publish_bytes_sent": INTEGER,
        "bytes_received": INTEGER,
        "bytes_sent": INTEGER,
        "stored_messages": INTEGER,
        "stored_bytes": INTEGER,
        "retained_messages": INTEGER,
        "subscriptions": INTEGER,
        "shared_subscriptions": INTEGER,
        "heap_bytes": INTEGER,
        "heap_maximum_bytes": INTEGER,
        "version": STRING,
    },
)

METRICS: Final = Measurement(
    "hemowire_metrics",
    "what became of the points of this program itself, since it started",
    (),
    {
        "points_made": INTEGER,
        "points_written": INTEGER,
        "points_waiting": INTEGER,
        "points_dropped": INTEGER,
        "points_refused": INTEGER,
        "blocks_damaged": INTEGER,
        "write_errors": INTEGER,
        "spool_bytes": INTEGER,
        "spool_errors": INTEGER,
        "messages_refused": INTEGER,
        "messages_dropped": INTEGER,
        "fragments_late": INTEGER,
        "traces_complete": INTEGER,
        "traces_incomplete": INTEGER,
        "tag_values_folded": INTEGER,
    },
)

MEASUREMENTS: Final = (STAGE, IMAGE, DEVICE, PROGRAM, WORKER, BROKER, METRICS)
