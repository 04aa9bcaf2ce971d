"""A decision as the flat JSON message of the hematologist topic; pure, and it invents nothing.

A field the worker does not know (white cells, latency) stays null. A technical failure becomes an
outcome `rejected`; everything else, cannot_say included, is a result. Of a preview the digest, size and
scale are the preview's own, and its status says what it is.
"""

from __future__ import annotations

from dataclasses import dataclass

from cloud_worker.diagnosis import Decision
from cloud_worker.finding import Finding
from cloud_worker.models.bundle_folder import Bundle
from cloud_worker.models.card import Meaning
from cloud_worker.wording import message_text
from wire_protocol.json_messages import (
    MAX_BOXES,
    URGENCY_RANK,
    Box,
    Diagnosis,
    DiagnosisStatus,
    Urgency,
)
from wire_protocol.manifest import Manifest
from wire_protocol.messages import Outcome, Preview


@dataclass(frozen=True, slots=True)
class Origin:
    """Who sent the image and who answers."""

    site: str
    device: str
    worker: str
    attempt: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """What the decoded image itself says; the manifest's word for its size may be wrong."""

    width_px: int
    height_px: int
    white_cell_boxes: tuple[Box, ...] | None = None
    """All of them, most suspicious first; None where they were not counted."""


def picture_of(finding: Finding) -> Picture | None:
    """The image's size and boxes as a message tells them; None where it was not decoded."""
    seen = finding.seen
    if seen is None:
        return None
    return Picture(seen.width_px, seen.height_px, finding.white_cell_boxes)


def diagnosis_message(
    decision: Decision,
    manifest: Manifest,
    bundle: Bundle,
    *,
    engine_name: str,
    origin: Origin,
    picture: Picture | None = None,
    ood_percentile: float | None = None,
    latency_ms: float | None = None,
    preview: Preview | None = None,
) -> Diagnosis:
    """The message; `p_<key>` follows the bundle's classes and is null where none may be shown."""
    card = bundle.card
    boxes = None if picture is None else picture.white_cell_boxes
    white_cells = None if boxes is None else len(boxes)
    shown = decision.probabilities or (None,) * len(card.classes)
    probabilities = {f"p_{c.key}": p for c, p in zip(card.classes, shown, strict=True)}
    text = message_text(
        decision,
        card.classes,
        case_id=manifest.case_id,
        white_cells=white_cells,
        synthetic=card.training_data.kind == "synthetic",
        gate_override=manifest.gate_override,
        override_reason=manifest.override_reason,
        is_preview=preview is not None,
    )
    facts = {
        "text": text,
        "urgency": decision.urgency,
        "urgency_rank": URGENCY_RANK[decision.urgency],
        "result": decision.result,
        "reason": decision.reason or "",
        "status": DiagnosisStatus.DRAFT if preview is None else DiagnosisStatus.PREVIEW,
        "case_id": manifest.case_id,
        "image_id": manifest.image_id,
        "image_sha256": manifest.sha256 if preview is None else preview.sha256,
        "white_cells": white_cells,
        "white_cell_boxes": None if boxes is None else boxes[:MAX_BOXES],
        "um_per_px": manifest.um_per_px if preview is None else preview.um_per_px,
        "width_px": None if picture is None else picture.width_px,
        "height_px": None if picture is None else picture.height_px,
        "p_acute": decision.p_acute,
        **probabilities,
        "ood_percentile": None if ood_percentile is None else round(ood_percentile, 1),
        "acute_classes": tuple(c.key for c in card.classes if c.meaning is Meaning.ACUTE),
        "chronic_classes": tuple(c.key for c in card.classes if c.meaning is Meaning.CHRONIC),
        "t_acute": card.thresholds.t_acute,
        "t_chronic": card.thresholds.t_chronic,
        "abstention": card.thresholds.abstention,
        "model": f"{bundle.name}/{engine_name}",
        "training_data": card.training_data_label,
        "captured_at": manifest.captured_at,
        "latency_ms": latency_ms,
        "gate_override": manifest.gate_override,
        "override_reason": manifest.override_reason,
        "site": origin.site,
        "device": origin.device,
        "outbox_id": manifest.outbox_id,
        "seq": manifest.seq,
        "outcome": Outcome.REJECTED if decision.urgency is Urgency.RETAKE else Outcome.DIAGNOSED,
        "attempt": origin.attempt,
        "worker": origin.worker,
    }
    return Diagnosis.model_validate(facts)
