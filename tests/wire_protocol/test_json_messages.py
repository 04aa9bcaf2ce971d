"""JSON payloads: named, versioned, bounded, open for more fields, and never with what JSON cannot say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from wire_protocol.codec import OversizedError, PeerError, UnsupportedVersionError
from wire_protocol.json_messages import (
    JSON_MESSAGES,
    MAX_JSON_BYTES,
    URGENCY_RANK,
    Command,
    Diagnosis,
    JsonMessage,
    Refile,
    Reply,
    Status,
    Urgency,
    parse_json,
)

ID = "0123456789abcdef" * 2
SHA = ID * 2


def diagnosis(**more: Any) -> Diagnosis:
    fields: dict[str, Any] = {
        "text": "Cannot say: 3 white cells, at least 50 needed.",
        "urgency": Urgency.CANNOT_SAY,
        "urgency_rank": 2,
        "result": "cannot_say",
        "reason": "too_few_white_cells",
        "image_id": ID,
        "image_sha256": SHA,
        "model": "leukemia5@3f9c2a17/openvino-bf16",
        "training_data": "synthetic",
        "captured_at": "2026-11-21T09:14:03.120Z",
        "site": "lab-1",
        "device": "scope-1",
        "outbox_id": ID,
        "seq": 7,
        "worker": "w1",
    }
    return Diagnosis(**(fields | more))


def as_dict(message: JsonMessage) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(message.to_bytes())
    return fields


def test_a_diagnosis_comes_back_with_its_classes() -> None:
    sent = diagnosis(p_all=0.4, p_aml=0.6, p_acute=None)
    back = Diagnosis.from_bytes(sent.to_bytes())
    assert back == sent
    assert back.probabilities() == {"all": 0.4, "aml": 0.6}


BOXED = {"white_cells": 2, "width_px": 640, "height_px": 480}


def test_a_diagnosis_carries_the_boxes_of_white_cells_in_pixels_of_the_picture() -> None:
    boxes = ((600, 440, 40, 40), (0, 0, 1, 1))
    sent = diagnosis(**BOXED, white_cell_boxes=boxes, um_per_px=0.2)
    assert as_dict(sent)["white_cell_boxes"] == [[600, 440, 40, 40], [0, 0, 1, 1]]
    back = Diagnosis.from_bytes(sent.to_bytes())
    assert back == sent and back.white_cell_boxes == boxes
    uncounted = as_dict(diagnosis())
    assert uncounted["white_cell_boxes"] is None and uncounted["width_px"] is None


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"white_cell_boxes": [(601, 0, 40, 40)]}, "leaves 640 x 480"),
        ({"white_cell_boxes": [(0, 441, 40, 40)]}, "leaves 640 x 480"),
        ({"white_cell_boxes": [(-1, 0, 40, 40)]}, "greater than or equal to 0"),
        ({"white_cell_boxes": [(0, 0, 0, 40)]}, "greater than or equal to 1"),
        ({"white_cell_boxes": [(0, 0, 1)]}, "required"),
        ({"white_cell_boxes": [(0, 0, 1, 1)] * 3}, "3 white_cell_boxes of 2 white_cells"),
        ({"white_cell_boxes": [(0, 0, 1, 1)] * 65, "white_cells": 70}, "at most 64"),
        ({"white_cell_boxes": [(0, 0, 1, 1)], "width_px": None}, "without width_px"),
        ({"white_cell_boxes": [], "white_cells": None}, "of None white_cells"),
        ({"white_cells": -1}, "greater than or equal to 0"),
    ],
)
def test_boxes_that_no_picture_can_show_are_refused(changes: dict[str, Any], problem: str) -> None:
    fields = as_dict(diagnosis()) | BOXED | changes
    with pytest.raises(PeerError, match=problem):
        Diagnosis.from_bytes(json.dumps(fields).encode())


def test_schema_and_version_stand_first() -> None:
    assert list(as_dict(diagnosis()))[:2] == ["schema", "version"]


def test_fields_of_a_later_minor_version_are_kept() -> None:
    fields = as_dict(diagnosis()) | {"slide_age_days": 3, "tags": ["a", {"b": 1}]}
    back = Diagnosis.from_bytes(json.dumps(fields).encode())
    assert as_dict(back)["slide_age_days"] == 3
    assert as_dict(back)["tags"] == ["a", {"b": 1}]


def refile(**more: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "schema": "hemowire.refile",
        "version": 1,
        "site": "lab-1",
        "device": "scope-1",
        "refile_id": ID,
        "image_id": ID,
        "outbox_id": ID,
        "number": 1,
        "from_case": "unfiled",
        "to_case": "C7F3K2",
        "operator": "tech-04",
        "refiled_at": "2026-11-21T09:14:03.120Z",
    }
    return fields | more


def test_a_refile_comes_back_as_it_was() -> None:
    sent = Refile.from_bytes(json.dumps(refile()).encode())
    assert Refile.from_bytes(sent.to_bytes()) == sent


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("to_case", "Anna Meier"),
        ("from_case", ""),
        ("operator", "Dr. Anna Meier"),
        ("operator", ""),
        ("number", 0),
        ("refiled_at", "yesterday"),
        ("refile_id", "1"),
    ],
)
def test_a_refile_names_nobody_and_counts_from_one(field: str, value: object) -> None:
    with pytest.raises(PeerError, match=f"hemowire.refile.{field}"):
        Refile.from_bytes(json.dumps(refile(**{field: value})).encode())


def test_a_newer_major_version_is_refused_by_name() -> None:
    payload = json.dumps(as_dict(diagnosis()) | {"version": 2}).encode()
    with pytest.raises(
        UnsupportedVersionError, match=r"hemowire\.diagnosis .* version 2"
    ) as caught:
        parse_json(Diagnosis, payload)
    assert (caught.value.major, caught.value.supported) == (2, 1)


def test_another_schema_is_refused() -> None:
    with pytest.raises(PeerError, match=r"schema must be .hemowire\.status"):
        Status.from_bytes(diagnosis().to_bytes())


def test_an_oversized_payload_is_refused_unread() -> None:
    with pytest.raises(OversizedError) as caught:
        parse_json(Command, b" " * (MAX_JSON_BYTES + 1))
    assert caught.value.limit_bytes == MAX_JSON_BYTES


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_none_is_refused_wherever_it_stands(number: str) -> None:
    text = diagnosis().to_bytes().decode()
    for inside in (number, f"[{number}]", f'{{"a":{number}}}'):
        with pytest.raises(PeerError):
            Diagnosis.from_bytes(f'{text[:-1]},"p_x":{inside}}}'.encode())


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), [float("-inf")], {"a": float("nan")}]
)
def test_a_message_with_nan_cannot_be_made(value: Any) -> None:
    with pytest.raises(ValidationError):
        diagnosis(p_x=value)
    with pytest.raises(ValidationError):
        Reply(command_id=ID, name="status", ok=True, result={"value": value})


def test_half_a_character_is_refused() -> None:
    payload = diagnosis().to_bytes()[:-1] + b',"note":"\\ud800"}'
    with pytest.raises(PeerError):
        Diagnosis.from_bytes(payload)


@pytest.mark.parametrize("depth", [20, 5_000, 30_000])
def test_bottomless_nesting_is_refused(depth: int) -> None:
    payload = diagnosis().to_bytes()[:-1] + b',"x":' + b"[" * depth + b"]" * depth + b"}"
    with pytest.raises(PeerError):
        Diagnosis.from_bytes(payload)


@given(payload=st.binary(max_size=300))
def test_any_bytes_raise_nothing_but_a_peer_error(payload: bytes) -> None:
    for kind in JSON_MESSAGES:
        with pytest.raises(PeerError):
            parse_json(kind, payload)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(kind=st.sampled_from(JSON_MESSAGES), data=st.data())
def test_any_fields_raise_nothing_but_a_peer_error(
    kind: type[JsonMessage], data: st.DataObject
) -> None:
    names = [*kind.model_fields, "p_x", "extra"]
    fields = data.draw(st.dictionaries(st.sampled_from(names), JSON_VALUES))
    payload = json.dumps({"schema": kind.SCHEMA, "version": 1} | fields).encode()
    try:
        message = parse_json(kind, payload)
    except PeerError:
        return
    again = parse_json(kind, message.to_bytes())
    assert again == message
    assert b"NaN" not in message.to_bytes()


def test_every_urgency_has_its_rank() -> None:
    assert sorted(URGENCY_RANK) == sorted(Urgency)
    assert sorted(URGENCY_RANK.values()) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "text",
    ["", "today", "2026-11-21", "2026-11-21T09:14:03", "2026-11-21T09:14:03+01:00", "Jane Doe "],
)
def test_a_time_is_a_time_in_utc_and_nothing_else(text: str) -> None:
    with pytest.raises(ValidationError):
        diagnosis(captured_at=text)
