"""The contract as an AsyncAPI 3.0 document, made from the types, topics and access rules; it writes no file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import TypeAdapter

from wire_protocol import case_messages as c
from wire_protocol import json_messages as j
from wire_protocol import messages as m
from wire_protocol.access import RULES, Access
from wire_protocol.codec import CRC_BYTES, KINDS, MAJOR, VERSION
from wire_protocol.manifest import Manifest
from wire_protocol.topics import DEFAULT_ROOT, PATHS, Kind

BINARY_TYPE: Final = f"application/vnd.hemowire.v{MAJOR}+msgpack"
JSON_TYPE: Final = "application/json"
JPEG_TYPE: Final = "image/jpeg"
_THUMBNAIL: Final = "Thumbnail"


@dataclass(frozen=True, slots=True)
class Channel:
    """What travels on the topics of one kind, and how."""

    messages: tuple[type, ...]
    qos: int
    note: str
    retained: bool = False


CHANNELS: Final[dict[Kind, Channel]] = {
    Kind.DEVICE_STATUS: Channel(
        (j.Status,), 1, "With an incarnation; the last will says offline and expires.", True
    ),
    Kind.DEVICE_HEALTH: Channel((j.Health,), 1, "Every 10 s and on change."),
    Kind.COMMAND: Channel((j.Command,), 1, "Expires after 10 s; a repeat gets the stored reply."),
    Kind.REPLY: Channel((j.Reply,), 1, "Every command is answered."),
    Kind.OFFER: Channel(
        (m.Offer,), 1, "Read as $share/workers/{root}/offer/+/+; expires with the wait for it."
    ),
    Kind.INGEST: Channel(
        (m.Chunk, m.Probe, m.DeviceRelease), 1, "To the worker that claimed, or alone can claim."
    ),
    Kind.TRANSFER: Channel(
        (
            m.Claim,
            m.Busy,
            m.Unknown,
            m.WorkerRelease,
            m.Stored,
            m.Mismatch,
            m.Refused,
            m.Progress,
        ),
        1,
        "Progress and Busy are QoS 0, all else QoS 1.",
    ),
    Kind.DIAGNOSIS: Channel((j.Diagnosis,), 1, "One field; an AI draft. Research use only."),
    Kind.CASE: Channel(
        (c.CaseDiagnosis,), 1, "Slide level, on every change of a case. Research use only."
    ),
    Kind.WORKLIST: Channel((c.Worklist,), 1, "Open cases by urgency.", True),
    Kind.THUMBNAIL: Channel((), 1, "JPEG bytes, before the diagnosis."),
    Kind.REJECTION: Channel((j.Rejection,), 1, "A capture that ends on the device."),
    Kind.REFILE: Channel(
        (j.Refile,), 1, "A field belongs to another case; said again until Refiled."
    ),
    Kind.INQUIRY: Channel((m.Inquiry,), 1, "Which of these images do the records know?"),
    Kind.RECORDED: Channel(
        (m.Recorded, m.InquiryAnswer, m.Refiled), 1, "After the commit, never before."
    ),
    Kind.REVIEW: Channel((c.Review,), 1, "After a person has signed, amended or withdrawn."),
    Kind.REPORT: Channel((c.Report,), 1, "A report's state, after a person has signed."),
    Kind.TRACE: Channel((j.TraceFragment,), 0, "One program's stamps of one image."),
    Kind.WORKER_STATUS: Channel((j.Status,), 1, "Will with expiry.", True),
    Kind.WORKER_HEALTH: Channel((j.WorkerHealth,), 0, "Its counters, every 10 s."),
    Kind.RECORDS_STATUS: Channel((j.Status,), 1, "Will with expiry; has the store_id.", True),
    Kind.CLOCK: Channel((m.ClockRequest, m.ClockReply), 0, "Four timestamps."),
}
#: Types that stand inside another packet.
_NESTED: Final = (Manifest.__name__, m.Preview.__name__, m.Recorded.__name__)
_MARK: Final = {kind: number for number, kind in KINDS.items()}


def render(root: str = DEFAULT_ROOT) -> dict[str, Any]:
    """The whole document."""
    types = sorted(
        {*KINDS.values(), *(t for c in CHANNELS.values() for t in c.messages)},
        key=lambda kind: kind.__name__,
    )
    schemas = _schemas([*types, Manifest, m.Preview])
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "hemowire",
            "version": f"{VERSION >> 4}.{VERSION & 15}",
            "description": (
                "Blood-smear images from the microscope to the classifier and to the hematologist, "
                "over MQTT 5. Research use only, not for diagnosis. docs/protocol.md has the rules."
            ),
        },
        "defaultContentType": JSON_TYPE,
        "channels": {kind.value: _channel(kind, root) for kind in Kind},
        "operations": _operations(),
        "components": {
            "messages": {t.__name__: _message(t, schemas) for t in types}
            | {
                _THUMBNAIL: {
                    "contentType": JPEG_TYPE,
                    "payload": {"type": "string", "format": "binary"},
                }
            },
            "schemas": schemas,
        },
    }


def render_text() -> str:
    """The document as it is committed."""
    return json.dumps(render(), indent=1, ensure_ascii=False) + "\n"


def _channel(kind: Kind, root: str) -> dict[str, Any]:
    channel = CHANNELS[kind]
    names = [t.__name__ for t in channel.messages] or [_THUMBNAIL]
    parameters = [part[1:-1] for part in PATHS[kind].split("/") if part.startswith("{")]
    described: dict[str, Any] = {
        "address": f"{root}/{PATHS[kind]}",
        "description": channel.note,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
    }
    if parameters:
        described["parameters"] = {
            name: {"description": "1 to 64 of A-Z, a-z, 0-9, _ and -"} for name in parameters
        }
    return described


def _operations() -> dict[str, Any]:
    operations: dict[str, Any] = {}
    for role, rules in RULES.items():
        for rule in rules:
            does = "send" if rule.access is Access.PUBLISH else "receive"
            channel = CHANNELS[rule.kind]
            operation: dict[str, Any] = {
                "action": does,
                "channel": {"$ref": f"#/channels/{rule.kind.value}"},
                "tags": [{"name": role.value}],
                "bindings": {"mqtt": {"qos": channel.qos, "retain": channel.retained}},
            }
            own = [*rule.pinned, *(f"{name}={value}" for name, value in rule.fixed)]
            if own:
                operation["description"] = f"Only with its own {', '.join(own)}."
            operations[f"{role.value}.{does}.{rule.kind.value}"] = operation
    return operations


def _message(kind: type, schemas: dict[str, Any]) -> dict[str, Any]:
    summary = (kind.__doc__ or "").strip().splitlines()[0]
    schema = schemas[kind.__name__]
    if kind not in _MARK:
        name = getattr(kind, "SCHEMA", "")
        head: dict[str, Any] = {
            "schema": {"const": name} if name else {"type": "string"},
            "version": {"const": j.JSON_VERSION},
        }
        payload = {
            "allOf": [
                {"type": "object", "properties": head, "required": ["schema", "version"]},
                {"$ref": f"#/components/schemas/{kind.__name__}"},
            ]
        }
        return {"contentType": JSON_TYPE, "summary": summary, "payload": payload}
    return {
        "contentType": BINARY_TYPE,
        "summary": summary,
        "x-packet": {
            "version": VERSION,
            "kind": _MARK[kind],
            "body": "msgpack array of the fields, in this order",
            "crc32_bytes_at_the_end": 0 if kind is m.Chunk else CRC_BYTES,
        },
        "payload": _as_array(schema),
    }


def _as_array(schema: dict[str, Any]) -> dict[str, Any]:
    """How msgpack carries a type: its fields' values in order, and so for the types within."""
    fields = schema["properties"]
    array = {
        "type": "array",
        "prefixItems": [{"title": name, **_untitled(s)} for name, s in fields.items()],
        "minItems": len(fields),
    }
    text = json.dumps(array)
    for name in _NESTED:
        text = text.replace(f'"#/components/schemas/{name}"', f'"#/components/schemas/{name}Array"')
    nested: dict[str, Any] = json.loads(text)
    return nested


def _untitled(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != "title"}


def _schemas(types: list[type]) -> dict[str, Any]:
    adapters: list[tuple[str, Literal["validation"], TypeAdapter[Any]]] = [
        (t.__name__, "validation", TypeAdapter(t)) for t in types
    ]
    tops, defs = TypeAdapter.json_schemas(adapters, ref_template="#/components/schemas/{model}")
    schemas: dict[str, Any] = dict(defs.get("$defs", {}))
    for (name, _mode), schema in tops.items():
        if "$ref" not in schema:
            schemas[str(name)] = schema
    for name in _NESTED:
        schemas[f"{name}Array"] = _as_array(schemas[name])
    return dict(sorted(schemas.items()))
