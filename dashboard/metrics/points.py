"""What programs said, as points of the schema; pure."""

from __future__ import annotations

from collections.abc import Mapping

from dashboard.metrics import schema
from dashboard.metrics.lines import FieldValue, Point
from dashboard.metrics.places import Places, worker_name
from wire_protocol.joined_trace import JoinedTrace
from wire_protocol.json_messages import Health, Presence, Status, WorkerHealth
from wire_protocol.machine_io import OutboxState
from wire_protocol.trace import READING_STAGES

_READING = frozenset(stage.value for stage in READING_STAGES)
#: Programs may make up names of scores and counts, but not many.
MOST_OWN_NAMES = 32


def trace_points(trace: JoinedTrace, places: Places) -> list[Point]:
    """An image's stages and the image itself; they share a time stamp and differ in their tags."""
    tags = {
        "site": places.site(trace.device),
        "device": trace.device,
        "worker": worker_name(trace.worker),
        "bundle": places.bundle(trace.worker),
    }
    ids: dict[str, FieldValue] = {"image_id": trace.image_id, "attempt": trace.attempt}
    stages = [
        Point(
            schema.STAGE,
            {**tags, "stage": took.stage.value},
            {
                "duration_ms": took.duration_ms,
                "error_ms": took.error_ms,
                "start": took.start.value,
                **ids,
            },
        )
        for took in trace.stages
    ]
    ways: dict[str, FieldValue] = {}
    for took in trace.totals:
        way = f"{took.start.value}_to_{took.stage.value}"
        ways |= {f"{way}_ms": took.duration_ms, f"{way}_error_ms": took.error_ms}
    fields = {
        **ways,
        "size_bytes": trace.size_bytes,
        "stages": len(trace.stages),
        "captured_unix_ns": trace.captured_unix_ns,
        "clock_synced": trace.clock_synced,
        "is_complete": trace.is_complete,
        **ids,
    }
    return [*stages, Point(schema.IMAGE, tags, fields)]


def reading_points(trace: JoinedTrace, places: Places) -> list[Point]:
    """What people did with a result; nothing of an image that nobody opened."""
    return [point for point in trace_points(trace, places)[:-1] if point.tags["stage"] in _READING]


def device_point(health: Health) -> Point:
    """A microscope's account of itself."""
    fields: dict[str, FieldValue | None] = {
        f"images_{state.value}": health.counts.get(state.value, 0) for state in OutboxState
    }
    for name in (
        "next_seq",
        "oldest_unrecorded_seq",
        "queue_bytes",
        "disk_free_bytes",
        "uptime_s",
        "oldest_waiting_s",
        "damaged",
        "memory_bytes",
        "memory_available_bytes",
        "cpu_temperature_c",
        "link_bytes_per_s",
        "clock_synced",
        "halted",
        "alarm",
        "software",
        "boot_id",
    ):
        fields[name] = getattr(health, name)
    error_ns = health.clock_error_ns
    fields |= {
        "clock_error_ms": None if error_ns is None else error_ns / 1e6,
        "is_halted": bool(health.halted),
        "has_alarm": bool(health.alarm),
    }
    fields |= _own("score", health.last_scores)
    return Point(schema.DEVICE, {"site": health.site, "device": health.device}, fields)


def program_point(status: Status, places: Places) -> Point:
    """Whether a program is there."""
    tags: dict[str, str] = {"program": status.program}
    if status.program == "edge":
        tags |= {"site": places.site(status.id), "device": status.id}
    elif status.program == "worker":
        tags["worker"] = worker_name(status.id)
    return Point(
        schema.PROGRAM,
        tags,
        {
            "online": int(status.state is Presence.ONLINE),
            "engine_images_per_s": status.images_per_s,
            "reason": status.reason,
            "id": status.id,
            "incarnation": status.incarnation,
            "bundle": status.bundle or None,
            "engine": status.engine or None,
        },
    )


def worker_point(health: WorkerHealth) -> Point:
    """A worker's counters."""
    tags = {
        "worker": worker_name(health.worker),
        "bundle": health.bundle,
        "engine": health.engine,
    }
    fields: dict[str, FieldValue | None] = {
        "uptime_s": health.uptime_s,
        "memory_bytes": health.memory_bytes,
        "in_hand": health.in_hand,
        "id": health.worker,
    }
    return Point(schema.WORKER, tags, fields | _own("count", health.counts))


def broker_point(values: Mapping[str, FieldValue]) -> Point:
    """Mosquitto's counters."""
    return Point(schema.BROKER, {}, dict(values))


def _own(prefix: str, values: Mapping[str, float]) -> dict[str, FieldValue | None]:
    """Fields whose names a program made up: of harmless letters, and not many."""
    return {
        f"{prefix}_{name}": value
        for name, value in list(values.items())[:MOST_OWN_NAMES]
        if name.isascii() and name.replace("_", "a").isalnum() and len(name) <= 64
    }
