"""A report's bundle as a FHIR transaction: PUT under ids that are the report's own, so that twice is once; pure.

A resource that an earlier state of the report had and this one has not is put there as entered in
error: a server keeps no finding of ours that no longer stands.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from dashboard.exchange.codes import ABSENT, MASKED_SUBJECT, FhirVersion, coding
from dashboard.exchange.fhir_checks import FhirRefusedError
from dashboard.exchange.fhir_parts import Resource
from wire_protocol.words import RESEARCH_USE_ONLY

_GONE_WORDS: Final = f"No longer part of its report. {RESEARCH_USE_ONLY}"


def names_of(bundle: Resource) -> list[str]:
    """Its resources as a server calls them: "Observation/id"."""
    return [_name(entry["resource"]) for entry in bundle["entry"]]


def as_transaction(
    bundle: Resource, version: FhirVersion, sent_before: Collection[str] = ()
) -> Resource:
    """The checked bundle for `POST [base]`; all of it is stored, or nothing."""
    there = set(names_of(bundle))
    gone = [_gone(name, version) for name in sorted(set(sent_before) - there)]
    entries = [*bundle["entry"], *(_entry(one) for one in gone if one is not None)]
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "meta": bundle["meta"],
        "timestamp": bundle["timestamp"],
        "entry": [
            entry | {"request": {"method": "PUT", "url": _name(entry["resource"])}}
            for entry in entries
        ],
    }


def _gone(name: str, version: FhirVersion) -> Resource | None:
    kind, _, resource_id = name.partition("/")
    gone: Resource = {"resourceType": kind, "id": resource_id, "status": "entered-in-error"}
    match kind:
        case "Observation":
            absent = {"coding": [coding(ABSENT, "unknown")], "text": _GONE_WORDS}
            return gone | {"code": {"text": "Withdrawn"}, "dataAbsentReason": absent}
        case "DocumentReference":
            return gone | {"content": [{"attachment": {"title": _GONE_WORDS}}]}
        case "ImagingStudy":
            return gone | {"subject": MASKED_SUBJECT, "description": _GONE_WORDS}
        case "Device" | "Provenance":
            return None  # what was said of a signature stays said
        case _:
            raise FhirRefusedError(f"{name}: no report of ours has had such a resource")


def _entry(resource: Resource) -> Resource:
    return {"fullUrl": f"urn:uuid:{resource['id']}", "resource": resource}


def _name(resource: dict[str, Any]) -> str:
    return f"{resource['resourceType']}/{resource['id']}"
