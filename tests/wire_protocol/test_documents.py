"""docs/protocol.md and docs/asyncapi.json say what the code does; `hemowire asyncapi --write docs` mends them."""

from __future__ import annotations

import json
import re
import zlib
from pathlib import Path
from typing import Any

import pytest

from wire_protocol.access import RULES
from wire_protocol.asyncapi import CHANNELS, render, render_text
from wire_protocol.codec import KINDS, MAX_PACKET_BYTES, decode, encode
from wire_protocol.json_messages import MAX_JSON_BYTES
from wire_protocol.reference import examples, refresh
from wire_protocol.topics import Kind

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "protocol.md").read_text(encoding="utf-8")


def test_the_page_is_up_to_date() -> None:
    assert refresh(PAGE) == PAGE, "stale: run `hemowire asyncapi --write docs`"


def test_the_asyncapi_document_is_up_to_date() -> None:
    committed = (DOCS / "asyncapi.json").read_text(encoding="utf-8")
    assert committed == render_text(), "stale: run `hemowire asyncapi --write docs`"


def test_the_packets_on_the_page_are_the_messages_they_say() -> None:
    shown = re.findall(r"^(\w+), \d+ bytes:\n\n```hex\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)
    decoded = {name: decode(bytes.fromhex(text)) for name, text in shown}
    assert decoded == examples()


def test_the_chunk_that_is_taken_apart_is_that_chunk() -> None:
    table = PAGE.split("taken apart:")[1].split("More packets")[0]
    bytes_shown = bytes.fromhex("".join(re.findall(r"^\| `([0-9a-f ]+)` \|", table, re.MULTILINE)))
    assert bytes_shown == encode(examples()["Chunk"])


def test_the_numbers_in_the_prose_are_those_of_the_code() -> None:
    assert f"{MAX_PACKET_BYTES:,} bytes" in PAGE
    assert f"{MAX_JSON_BYTES:,} bytes" in PAGE
    assert f"0x{zlib.crc32(b'123456789'):08X}" in PAGE


def references(node: Any) -> list[str]:
    """Every $ref below `node`."""
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [ref for value in node.values() for ref in references(value)]
    if isinstance(node, list):
        return [ref for value in node for ref in references(value)]
    return []


def test_every_reference_in_the_asyncapi_document_leads_somewhere() -> None:
    document = render()
    for reference in references(document):
        node: Any = document
        for part in reference.removeprefix("#/").split("/"):
            assert part in node, f"{reference} leads nowhere"
            node = node[part]


def test_the_asyncapi_document_has_what_version_3_requires() -> None:
    document = render()
    assert document["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= set(document["info"])
    for channel in document["channels"].values():
        names = set(re.findall(r"{(\w+)}", channel["address"]))
        assert names == set(channel.get("parameters", {}))
        assert channel["messages"]
    for operation in document["operations"].values():
        assert operation["action"] in ("send", "receive")
    assert json.loads(render_text()) == document


def test_every_topic_message_and_rule_is_in_the_document() -> None:
    document = render()
    assert set(document["channels"]) == {kind.value for kind in Kind} == {k.value for k in CHANNELS}
    for number, kind in KINDS.items():
        assert document["components"]["messages"][kind.__name__]["x-packet"]["kind"] == number
    assert len(document["operations"]) == sum(len(rules) for rules in RULES.values())


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.__name__)
def test_the_fields_of_a_packet_stand_in_the_order_they_are_packed(kind: type) -> None:
    payload = render()["components"]["messages"][kind.__name__]["payload"]
    named = [field["title"] for field in payload["prefixItems"]]
    own = getattr(kind, "model_fields", None) or getattr(kind, "__dataclass_fields__", {})
    assert named == list(own)
