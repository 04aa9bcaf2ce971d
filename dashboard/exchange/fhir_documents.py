"""The pictures of a report: a DocumentReference each, the class map, the page of PDF, the ImagingStudy; pure.

A picture as it was captured stays in the archive, named by its digest; what is enclosed is made small.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Final

from dashboard.exchange.codes import DCM, MASKED_SUBJECT, URI, VL_MICROSCOPIC, coding
from dashboard.exchange.dicom_names import series_uid, sop_uid, study_uid
from dashboard.exchange.facts import ReportFacts, ReportPicture
from dashboard.exchange.fhir_names import Names
from dashboard.exchange.fhir_parts import IDS, Resource
from dashboard.exchange.report_pictures import ReportMap, small_jpeg
from wire_protocol.words import RESEARCH_USE_ONLY

_DICOM_UID: Final = "urn:dicom:uid"


@dataclass(frozen=True, slots=True)
class Enclosed:
    """What is made for a report and travels inside it."""

    #: The class map, or why there is none.
    drawn: ReportMap | str = ""
    #: The report as a page to read.
    pdf: bytes | None = None


def document(picture: ReportPicture, names: Names, enclosed: Enclosed) -> Resource:
    """A field's picture, which itself stays in the archive; of the field that has a map a small
    copy is enclosed."""
    attachment: Resource = {"title": f"Field {picture.image_id}", "creation": picture.captured_at}
    content = [{"attachment": attachment}]
    if picture.data is not None:
        # FHIR's hash is SHA-1 by definition; the record's sha256 is an identifier.
        sha1 = hashlib.sha1(picture.data, usedforsecurity=False).digest()
        attachment |= {
            "contentType": _content_type(picture.data),
            "size": len(picture.data),
            "hash": base64.b64encode(sha1).decode(),
        }
        attachment["title"] += ", as archived"
        drawn = enclosed.drawn
        small = None
        if isinstance(drawn, ReportMap) and drawn.image_id == picture.image_id:
            small = small_jpeg(picture.data)
        if small is not None:
            content.append({"attachment": _jpeg(small, f"Field {picture.image_id}, made small")})
    else:
        attachment["title"] += f" ({picture.missing})"
    return names.resource("DocumentReference", f"image {picture.image_id}", label=False) | {
        "identifier": [
            {"system": f"{IDS}image", "value": picture.image_id},
            {"system": f"{IDS}sha256", "value": picture.sha256},
        ],
        "status": "current",
        "date": picture.captured_at,
        "description": f"Microscope field, as captured by {picture.device}",
        "content": content,
    }


def map_document(facts: ReportFacts, names: Names, enclosed: Enclosed) -> Resource | None:
    """The field with what speaks for the model's class; None where there is no map."""
    drawn = enclosed.drawn
    if not isinstance(drawn, ReportMap):
        return None
    title = f"Class map of field {drawn.image_id} for {drawn.class_words}"
    return names.resource("DocumentReference", "map", label=True) | {
        "identifier": [{"system": f"{IDS}map", "value": drawn.image_id}],
        "status": "current",
        "date": facts.made_at,
        "author": [names.link("model")],
        "description": f"{title}, made by the model. {RESEARCH_USE_ONLY}",
        "content": [{"attachment": _jpeg(drawn.jpeg, title)}],
    }


def presented_form(facts: ReportFacts, pdf: bytes) -> Resource:
    """The report as a page to read."""
    return {
        "contentType": "application/pdf",
        "title": f"Case {facts.key.text}. {RESEARCH_USE_ONLY}",
        "creation": facts.made_at,
        "data": base64.b64encode(pdf).decode(),
    }


def imaging_study(facts: ReportFacts, names: Names, *, is_r5: bool) -> Resource | None:
    """The DICOM images that were made of the case's fields; None where none were."""
    made = [one for one in facts.pictures if one.has_dicom]
    if not made:
        return None
    modality = coding(DCM, "GM")
    modality = {"coding": [modality]} if is_r5 else modality
    instances = [
        {
            "uid": sop_uid(facts, one.image_id),
            "sopClass": coding(URI, VL_MICROSCOPIC),
            "number": facts.number_of(one.image_id),
            "title": f"Field {one.image_id}",
        }
        for one in made
    ]
    return names.resource("ImagingStudy", "imaging study", label=False) | {
        "identifier": [{"system": _DICOM_UID, "value": f"urn:oid:{study_uid(facts)}"}],
        "status": "available",
        "subject": MASKED_SUBJECT,
        "modality": [modality],
        "started": facts.first_captured_at,
        "numberOfSeries": 1,
        "numberOfInstances": len(instances),
        "description": f"Fields of case {facts.key.text}. {RESEARCH_USE_ONLY}",
        "series": [
            {
                "uid": series_uid(facts),
                "number": 1,
                "modality": modality,
                "numberOfInstances": len(instances),
                "instance": instances,
            }
        ],
    }


def _jpeg(data: bytes, title: str) -> Resource:
    return {
        "contentType": "image/jpeg",
        "title": title,
        "data": base64.b64encode(data).decode(),
    }


def _content_type(data: bytes) -> str:
    for start, kind in (
        (b"\xff\xd8", "jpeg"),
        (b"\x89PNG", "png"),
        (b"II", "tiff"),
        (b"MM", "tiff"),
    ):
        if data.startswith(start):
            return f"image/{kind}"
    return "image/webp" if data[8:12] == b"WEBP" else "application/octet-stream"
