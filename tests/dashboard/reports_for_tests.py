"""Makes diagnosis and rejection messages for the tests; ids are derived from small numbers."""

from __future__ import annotations

import hashlib
from typing import Any

from wire_protocol.json_messages import Diagnosis, Reason, Rejection, Urgency
from wire_protocol.messages import Outcome

AT = "2026-11-21T09:14:03.120Z"
BUNDLE = "leukemia5-test@3f9c2a17"


def hex_id(kind: str, number: int) -> str:
    """32 hex characters that differ by kind and number."""
    return hashlib.md5(f"{kind}{number}".encode(), usedforsecurity=False).hexdigest()


def digest(number: int) -> str:
    """The sha256 of `content(number)`."""
    return hashlib.sha256(content(number)).hexdigest()


def content(number: int) -> bytes:
    """Bytes that stand for an image."""
    return f"image {number}".encode()


def diagnosis(number: int, **changes: Any) -> Diagnosis:
    """The diagnosis of image `number`: its outbox is 0 and its seq number + 1."""
    values: dict[str, Any] = {
        "text": "URGENT: acute leukemia suspected. Synthetic-trained. Research use only.",
        "urgency": Urgency.SUSPECTED_ACUTE,
        "urgency_rank": 1,
        "result": "aml",
        "case_id": "C7F3K2",
        "image_id": hex_id("image", number),
        "image_sha256": digest(number),
        "white_cells": 7,
        "p_acute": 0.999,
        "p_all": 0.001,
        "p_aml": 0.998,
        "model": f"{BUNDLE}/openvino-bf16",
        "training_data": "synthetic",
        "captured_at": AT,
        "latency_ms": 212.0,
        "site": "lab",
        "device": "scope-1",
        "outbox_id": hex_id("outbox", 0),
        "seq": number + 1,
        "attempt": "77",
        "worker": "w1",
    }
    return Diagnosis.model_validate(values | changes)


def refusal(number: int, **changes: Any) -> Diagnosis:
    """A worker's permanent refusal of image `number`."""
    values = {
        "text": "Cannot say: the file cannot be decoded. Capture again. Research use only.",
        "urgency": Urgency.RETAKE,
        "urgency_rank": 5,
        "result": "cannot_say",
        "reason": Reason.DECODE,
        "outcome": Outcome.REJECTED,
        "p_acute": None,
        "p_all": None,
        "p_aml": None,
    }
    return diagnosis(number, **(values | changes))


def rejection(number: int, **changes: Any) -> Rejection:
    """The gate's rejection of image `number`."""
    values: dict[str, Any] = {
        "text": "Out of focus: 4.1, at least 12 needed. Focus and capture again.",
        "site": "lab",
        "device": "scope-1",
        "image_id": hex_id("image", number),
        "outbox_id": hex_id("outbox", 0),
        "seq": number + 1,
        "image_sha256": digest(number),
        "reason": Reason.FOCUS,
        "captured_at": AT,
    }
    return Rejection.model_validate(values | changes)
