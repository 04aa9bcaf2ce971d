"""Writes signed reviews as a data set: the archived pictures and a person's labels, in the form that training reads.

    OUT/images/<sha256>.jpg    the bytes as they were archived, checked against their digest
    OUT/index.csv              a row per field whose case's finding is a class; `hemowire train --data` reads it
    OUT/others.csv             fields of cases whose finding is no class of a network, and why
    OUT/reviews.json           each case's signatures: who, when, what, what the AI had said, whether it was seen

A case is one group, so that no split has it on both sides. Comments stay behind: they may name
people. The label is the case's: every field of it carries it, also one that shows no such cell.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dashboard.blobs import BlobArchive, BlobDamagedError
from dashboard.cases.field_rows import CaseField
from dashboard.review.agreement import agrees
from dashboard.review.machine import Signature
from dashboard.review.signed import SignedCase
from dashboard.review.store import time_of
from wire_protocol.case_messages import Finding
from wire_protocol.image_header import Encoding, read_header
from wire_protocol.image_parts import HeaderError
from wire_protocol.messages import Outcome
from wire_protocol.words import RESEARCH_USE_ONLY

#: The labels of the recipe synthetic5, whose five classes are the findings that networks have.
LABELS: Final[Mapping[Finding, str]] = {
    Finding.ALL: "ALL",
    Finding.AML: "AML",
    Finding.APL: "AML",
    Finding.CLL: "CLL",
    Finding.CML: "CML",
    Finding.NO_LEUKEMIA_PATTERN: "healthy",
}
_SUFFIX: Final = {Encoding.JPEG: ".jpg", Encoding.PNG: ".png", Encoding.WEBP: ".webp"}
_COLUMNS: Final = (
    "path", "label", "group", "source", "um_per_px", "sha256", "case", "finding", "fab", "status",
    "signed_by", "signed_at", "ai_result", "ai_seen", "agrees", "bundle",
)  # fmt: skip


class ExportError(Exception):
    """The data set cannot be written, in words."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, and what was left out and why."""

    cases: int
    images: int
    by_label: dict[str, int]
    left_out: dict[str, int]


def write_data_set(
    cases: Sequence[SignedCase],
    archive: BlobArchive,
    out: Path,
    labels: Mapping[Finding, str] = LABELS,
) -> Exported:
    """Writes the folder, which must be new or empty; raises ExportError, ArchiveAway."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ExportError(f"{out}: is there and not empty; name a new folder")
    images = out / "images"
    try:
        images.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError(f"{images}: {error.strerror}") from error
    rows: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    left_out: Counter[str] = Counter()
    told: list[dict[str, Any]] = []
    for case in cases:
        signature = case.standing
        told.append(_told(case))
        if signature is None or signature.placed.finding is None:
            left_out["withdrawn"] += 1
            continue
        finding = signature.placed.finding
        for field in case.signed_fields():
            path, why = _write_image(field, archive, images)
            if path is None:
                left_out[why] += 1
                continue
            row = _row(case, field, signature, path.relative_to(out))
            if finding in labels:
                rows.append({**row, "label": labels[finding]})
            else:
                others.append({**row, "label": ""})
                left_out[f"{finding.value} is no class"] += 1
    (out / "reviews.json").write_text(
        json.dumps({"note": RESEARCH_USE_ONLY, "cases": told}, indent=1), encoding="utf-8"
    )
    _write_csv(out / "others.csv", others)
    _write_csv(out / "index.csv", rows)  # last: where it is, everything is
    return Exported(
        cases=len({row["case"] for row in rows}),
        images=len(rows),
        by_label=dict(Counter(row["label"] for row in rows)),
        left_out=dict(left_out),
    )


def _write_image(field: CaseField, archive: BlobArchive, folder: Path) -> tuple[Path | None, str]:
    """The picture's file, or why there is none."""
    if not field.has_blob or field.outcome is not Outcome.DIAGNOSED:
        return None, "no picture that could be judged"
    try:
        data = archive.read(field.sha256)
        suffix = _SUFFIX[read_header(data).encoding]
    except FileNotFoundError:
        return None, "not in the archive"
    except BlobDamagedError:
        return None, "damaged in the archive"
    except HeaderError:
        return None, "not a whole picture"
    path = folder / f"{field.sha256}{suffix}"
    path.write_bytes(data)
    return path, ""


def _row(case: SignedCase, field: CaseField, signature: Signature, path: Path) -> dict[str, Any]:
    placed = signature.placed
    same = agrees(signature)
    return {
        "path": path.as_posix(),
        "group": case.key.text,
        "source": f"{field.site}/{field.device}",
        "um_per_px": field.body.get("um_per_px") or "",
        "sha256": field.sha256,
        "case": case.key.text,
        "finding": placed.finding.value if placed.finding is not None else "",
        "fab": placed.fab.value if placed.fab is not None else "",
        "status": signature.status.value,
        "signed_by": placed.by,
        "signed_at": time_of(signature.signed_at_ms),
        "ai_result": placed.ai.result,
        "ai_seen": placed.ai_seen,
        "agrees": "" if same is None else same,
        "bundle": placed.ai.bundle,
    }


def _told(case: SignedCase) -> dict[str, Any]:
    return {
        "case": case.key.text,
        "status": case.review.status.value,
        "image_ids": [field.result.image_id for field in case.fields],
        "signatures": [
            {
                "number": signature.number,
                "status": signature.status.value,
                "signed_at": time_of(signature.signed_at_ms),
                **signature.placed.model_dump(
                    mode="json", include={"by", "confirms", "finding", "fab", "ai", "ai_seen"}
                ),
            }
            for signature in case.review.signatures
        ],
    }


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
