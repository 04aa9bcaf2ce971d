"""The tables and byte-by-byte examples of docs/protocol.md, made from the types and settings; it writes no file."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter
from pydantic_core import PydanticUndefined

from wire_protocol import messages as m
from wire_protocol.asyncapi import CHANNELS
from wire_protocol.codec import KINDS, encode
from wire_protocol.machine_settings import ReceiverSettings, SenderSettings
from wire_protocol.manifest import ContentType, Manifest
from wire_protocol.topics import PATHS, Kind

_BLOCK: Final = re.compile(r"(<!-- made: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
#: A whole image of 11 bytes, for the examples.
SAMPLE: Final = b"hello cells"
SAMPLE_ATTEMPT: Final = 0x0123456789ABCDEF


def examples() -> dict[str, m.Message]:
    """One message of each sort that a device sends or reads most."""
    manifest = Manifest(
        image_id="00112233445566778899aabbccddeeff",
        outbox_id="0f1e2d3c4b5a69788796a5b4c3d2e1f0",
        seq=7,
        sha256="5b5a5f2ea0ffdbad2fd0d21bd1ddfbd9b5d10d1ac3c2d9ef6a8a37aa0d03da3c",
        size_bytes=200_000,
        content_type=ContentType.JPEG,
        width_px=1920,
        height_px=1080,
        um_per_px=0.25,
        case_id="C7F3K2",
        captured_at="2026-11-21T09:14:03.120Z",
        clock_synced=True,
        captured_ns=123_456_789_000,
        boot_id="ffeeddccbbaa99887766554433221100",
    )
    return {
        "Offer": m.Offer(attempt=SAMPLE_ATTEMPT, manifest=manifest),
        "Claim": m.Claim(
            attempt=SAMPLE_ATTEMPT, worker="w1", lease_s=10.0, limit=200_000, max_chunk=98_304
        ),
        "Chunk": m.Chunk(SAMPLE_ATTEMPT, 0, zlib.crc32(SAMPLE), SAMPLE),
        "Probe": m.Probe(SAMPLE_ATTEMPT, 65_536),
        "Progress": m.Progress(SAMPLE_ATTEMPT, 3, 65_536, ((4096, 8192),), 200_000),
        "Stored": m.Stored(
            attempt=SAMPLE_ATTEMPT, image_id=manifest.image_id, sha256=manifest.sha256
        ),
    }


def blocks() -> dict[str, str]:
    """Each made block of the page, by name."""
    return {
        "kinds": _kinds(),
        "fields": "\n".join(_fields(kind) for kind in [*KINDS.values(), Manifest, m.Preview]),
        "topics": _topics(),
        "examples": "\n".join(_example(name, msg) for name, msg in examples().items()),
        "device_numbers": _settings(SenderSettings),
        "worker_numbers": _settings(ReceiverSettings),
    }


def refresh(page: str) -> str:
    """The page with its made blocks as they should be; raises KeyError for a block unknown here."""
    made = blocks()
    return _BLOCK.sub(lambda found: f"{found[1]}{made[found[2]]}\n{found[3]}", page)


def _kinds() -> str:
    where = {t: f"`{PATHS[kind]}`" for kind, channel in CHANNELS.items() for t in channel.messages}
    lines = ["| kind | message | topic below the root | meaning |", "|---|---|---|---|"]
    for number, kind in KINDS.items():
        lines.append(f"| 0x{number:02x} | {kind.__name__} | {where[kind]} | {_first_line(kind)} |")
    return "\n".join(lines)


def _fields(kind: type) -> str:
    schema: dict[str, Any] = TypeAdapter(kind).json_schema()
    defs: dict[str, Any] = schema.get("$defs", {})
    lines = [
        f"**{kind.__name__}**",
        "",
        "| # | field | msgpack type | limits |",
        "|---|---|---|---|",
    ]
    for number, (name, field) in enumerate(schema["properties"].items()):
        sort, limits = _describe(field, defs)
        lines.append(f"| {number} | {name} | {sort} | {limits} |")
    return "\n".join([*lines, ""])


def _describe(field: Mapping[str, Any], defs: Mapping[str, Any]) -> tuple[str, str]:
    if "anyOf" in field:
        sort, limits = _describe(field["anyOf"][0], defs)
        return f"{sort} or nil", limits
    if "$ref" in field or "allOf" in field:
        ref = field.get("$ref") or field["allOf"][0]["$ref"]
        name = ref.rsplit("/", 1)[-1]
        words = defs.get(name, {}).get("enum")
        if words:
            return "str", ", ".join(f"`{word}`" for word in words)
        return f"array ({name})", "the fields below, in order"
    sort = {
        "integer": "uint",
        "number": "float or int",
        "boolean": "bool",
        "array": "array",
        "string": "bin" if field.get("format") == "binary" else "str",
    }[field["type"]]
    return sort, _limits(field, defs)


def _limits(field: Mapping[str, Any], defs: Mapping[str, Any]) -> str:
    said = []
    for key, words in (
        ("minimum", ">= {}"),
        ("exclusiveMinimum", "> {}"),
        ("maximum", "<= {}"),
        ("minLength", "at least {} long"),
        ("maxLength", "at most {} long"),
        ("minItems", "at least {}"),
        ("maxItems", "at most {}"),
        ("pattern", "`{}`"),
    ):
        if key in field:
            said.append(words.format(field[key]).replace("|", "\\|"))
    items = field.get("items")
    if items and "prefixItems" in items:
        said.append("pairs [start, end)")
    elif items:
        said.append(f"each {' '.join(part for part in _describe(items, defs) if part)}")
    return ", ".join(said)


def _topics() -> str:
    lines = ["| topic below the root | payload | QoS | notes |", "|---|---|---|---|"]
    for kind in Kind:
        channel = CHANNELS[kind]
        names = ", ".join(t.__name__ for t in channel.messages) or "JPEG"
        note = f"retained. {channel.note}" if channel.retained else channel.note
        lines.append(f"| `{PATHS[kind]}` | {names} | {channel.qos} | {note} |")
    return "\n".join(lines)


def _example(name: str, message: m.Message) -> str:
    packet = encode(message)
    rows = [packet[at : at + 16].hex(" ") for at in range(0, len(packet), 16)]
    return "\n".join([f"{name}, {len(packet)} bytes:", "", "```hex", *rows, "```", ""])


def _settings(kind: type[BaseModel]) -> str:
    lines = ["| name | default | what |", "|---|---|---|"]
    for name, field in kind.model_fields.items():
        assert field.default is not PydanticUndefined
        lines.append(f"| {name} | {field.default} | {field.description or ''} |")
    return "\n".join(lines)


def _first_line(kind: type) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]
