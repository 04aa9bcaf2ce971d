"""Turns a diagnosis or rejection message, with the topic it came on, into a report to store; refuses what disagrees.

Pure: it reads no clock and no database.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

from dashboard.identity import Identity, Mode, ReportKey
from wire_protocol.codec import PeerError
from wire_protocol.json_messages import (
    CANNOT_SAY,
    URGENCY_RANK,
    Diagnosis,
    DiagnosisStatus,
    Rejection,
    Urgency,
)
from wire_protocol.messages import Outcome

#: What a database column for `seq` can hold.
MAX_SEQ = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Report:
    """One message about one image, ready to store."""

    identity: Identity
    site: str
    device: str
    mode: Mode
    #: None for a preview: it ends nothing.
    outcome: Outcome | None
    bundle: str
    engine: str
    result: str
    reason: str
    urgency: str
    urgency_rank: int
    text: str
    gate_override: bool
    override_reason: str
    case_id: str
    captured_at: str
    probabilities: dict[str, float | None]
    training_data: str
    worker: str
    attempt: str
    operator: str
    #: The whole message as ASCII JSON, so that nothing of it is lost.
    body: str

    @property
    def key(self) -> ReportKey:
        """What makes two reports the same one."""
        return ReportKey(self.identity.image_id, self.identity.sha256, self.bundle, self.mode)


def split_model(model: str) -> tuple[str, str]:
    """("leukemia5-densenet121@3f9c2a17", "openvino-bf16") of the message's `model`."""
    bundle, _, engine = model.rpartition("/")
    return (bundle, engine) if bundle else (model, "")


def report_of_diagnosis(message: Diagnosis, site: str, device: str) -> Report:
    """The report in a worker's message; raises PeerError where it disagrees with its topic."""
    _check_topic(message.site, message.device, site, device)
    _check_seq(message.seq)
    if message.level != "field":
        raise PeerError(f"diagnosis: level {message.level!r} comes from the records store only")
    probabilities = message.probabilities()
    probabilities.pop("acute", None)
    for name, value in probabilities.items():
        _check_probability(name, value)
    if message.status is DiagnosisStatus.PREVIEW:  # whatever it says of an outcome: it ends nothing
        mode, outcome = Mode.PREVIEW, None
    elif message.outcome is Outcome.REJECTED:
        mode, outcome = Mode.REFUSAL, Outcome.REJECTED
    elif message.status is DiagnosisStatus.DRAFT:
        mode, outcome = Mode.FULL, Outcome.DIAGNOSED
    else:
        raise PeerError(f"diagnosis: status {message.status.value!r} needs a person's signature")
    bundle, engine = split_model(message.model)
    return Report(
        identity=Identity(message.image_id, message.image_sha256, message.outbox_id, message.seq),
        site=site,
        device=device,
        mode=mode,
        outcome=outcome,
        bundle=bundle,
        engine=engine,
        result=message.result,
        reason=str(message.reason),
        urgency=message.urgency.value,
        urgency_rank=URGENCY_RANK[message.urgency],
        text=message.text,
        gate_override=message.gate_override,
        override_reason=str(message.override_reason),
        case_id=message.case_id,
        captured_at=message.captured_at,
        probabilities=probabilities,
        training_data=message.training_data,
        worker=message.worker,
        attempt=message.attempt,
        operator="",
        body=json.dumps(message.model_dump(mode="json")),
    )


def report_of_rejection(message: Rejection, site: str, device: str) -> Report:
    """The report in a device's message; raises PeerError where it disagrees with its topic."""
    _check_topic(message.site, message.device, site, device)
    _check_seq(message.seq)
    dropped = message.outcome is Outcome.DROPPED
    if dropped and not message.operator:
        raise PeerError("rejection: a dropped image needs the name of the operator")
    return Report(
        identity=Identity(message.image_id, message.image_sha256, message.outbox_id, message.seq),
        site=site,
        device=device,
        mode=Mode.DROP if dropped else Mode.REJECTION,
        outcome=Outcome.DROPPED if dropped else Outcome.REJECTED,
        bundle="",
        engine="",
        result=CANNOT_SAY,
        reason=message.reason.value,
        urgency=Urgency.RETAKE.value,
        urgency_rank=URGENCY_RANK[Urgency.RETAKE],
        text=message.text,
        gate_override=False,
        override_reason="",
        case_id=message.case_id,
        captured_at=message.captured_at,
        probabilities={},
        training_data="",
        worker="",
        attempt="",
        operator=message.operator,
        body=json.dumps(message.model_dump(mode="json")),
    )


def _check_topic(site: str, device: str, topic_site: str, topic_device: str) -> None:
    if (site, device) != (topic_site, topic_device):
        raise PeerError(f"payload says {site}/{device}, its topic says {topic_site}/{topic_device}")


def _check_seq(seq: int) -> None:
    if seq > MAX_SEQ:
        raise PeerError(f"seq {seq}: at most {MAX_SEQ}")


def _check_probability(name: str, value: object) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PeerError(f"diagnosis.p_{name}: a number or null needed")
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise PeerError(f"diagnosis.p_{name}: 0 to 1 needed")
