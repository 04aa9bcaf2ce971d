"""Refuses a bundle that fhir.resources would let pass: unknown states and codes, links into nothing, patients; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from dashboard.exchange.codes import (
    CODES,
    MASKED_SUBJECT,
    STATUSES,
    FhirVersion,
)
from wire_protocol.words import RESEARCH_USE_ONLY

KINDS: Final = frozenset(
    {
        "DiagnosticReport",
        "Observation",
        "Device",
        "Provenance",
        "DocumentReference",
        "ImagingStudy",
    }
)
_NAMES_SOMEBODY: Final = frozenset({"subject", "patient", "encounter"})


class FhirRefusedError(Exception):
    """The bundle is not fit to leave; the message says where and why."""


def check_bundle(bundle: Mapping[str, Any], version: FhirVersion) -> None:
    """Raises FhirRefusedError at the first thing that is wrong."""
    if bundle.get("resourceType") != "Bundle" or bundle.get("type") != "collection":
        raise FhirRefusedError("a bundle of type collection is needed")
    entries = bundle.get("entry") or []
    urls = [entry["fullUrl"] for entry in entries]
    if len(set(urls)) != len(urls):
        raise FhirRefusedError("two resources have the same id")
    kinds = [entry["resource"].get("resourceType") for entry in entries]
    if kinds.count("DiagnosticReport") != 1:
        raise FhirRefusedError(
            f"one DiagnosticReport is needed, not {kinds.count('DiagnosticReport')}"
        )
    for entry in entries:
        resource = entry["resource"]
        where = f"{resource.get('resourceType')} {resource.get('id')}"
        if entry["fullUrl"] != f"urn:uuid:{resource.get('id')}":
            raise FhirRefusedError(f"{where}: its fullUrl is {entry['fullUrl']}")
        _check_resource(resource, where, version)
        _check_parts(resource, where, frozenset(urls))


def _check_resource(resource: Mapping[str, Any], where: str, version: FhirVersion) -> None:
    kind = resource.get("resourceType")
    if kind not in KINDS:
        raise FhirRefusedError(f"{where}: only {', '.join(sorted(KINDS))} belong into a report")
    allowed = STATUSES[version].get(kind)
    if allowed is not None and resource.get("status") not in allowed:
        raise FhirRefusedError(
            f"{where}: status {resource.get('status')!r} is none of FHIR {version.value.upper()}: "
            f"{', '.join(sorted(allowed))}"
        )
    if kind == "DiagnosticReport" and RESEARCH_USE_ONLY not in resource.get("conclusion", ""):
        raise FhirRefusedError(f"{where}: its conclusion does not say {RESEARCH_USE_ONLY!r}")
    if kind == "Observation":
        values = [name for name in resource if name.startswith("value")]
        if len(values) + ("dataAbsentReason" in resource) != 1:
            raise FhirRefusedError(f"{where}: one value or the reason why there is none is needed")
    is_of_model = kind == "Device" or "device" in resource
    labels = [one.get("code") for one in resource.get("meta", {}).get("security", [])]
    if is_of_model and "AIAST" not in labels:
        raise FhirRefusedError(f"{where}: what a model says needs the label AIAST")


def _check_parts(resource: Mapping[str, Any], where: str, urls: frozenset[str]) -> None:
    for path, part in _parts(resource, ""):
        named = _NAMES_SOMEBODY & part.keys()
        if path == "" and resource["resourceType"] == "ImagingStudy":
            # It must have a subject: the one that says that it is masked, and no other.
            named = frozenset(name for name in named if part[name] != MASKED_SUBJECT)
        if named:
            raise FhirRefusedError(f"{where}{path}: {sorted(named)[0]} names somebody")
        link = part.get("reference")
        if link is not None and link not in urls:
            raise FhirRefusedError(f"{where}{path}: {link} is not in the bundle")
        if "code" in part and isinstance(part["code"], str):
            system = part.get("system")
            if part["code"] not in CODES.get(str(system), {}):
                raise FhirRefusedError(
                    f"{where}{path}: code {part['code']!r} of {system} is not known"
                )


def _parts(value: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every object inside."""
    if isinstance(value, Mapping):
        yield path, value
        for name, part in value.items():
            yield from _parts(part, f"{path}.{name}")
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _parts(part, f"{path}[{index}]")
