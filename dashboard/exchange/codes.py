"""The codes that a report may carry and the states that it may be in; what is not in these tables is not written."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

from wire_protocol.case_messages import Finding
from wire_protocol.json_messages import DiagnosisStatus

LOINC: Final = "http://loinc.org"
SNOMED: Final = "http://snomed.info/sct"
UCUM: Final = "http://unitsofmeasure.org"
OBSERVATION_VALUE: Final = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue"
OBSERVATION_CATEGORY: Final = "http://terminology.hl7.org/CodeSystem/observation-category"
SECTION: Final = "http://terminology.hl7.org/CodeSystem/v2-0074"
ABSENT: Final = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
AGENT: Final = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
DCM: Final = "http://dicom.nema.org/resources/ontology/DCM"
URI: Final = "urn:ietf:rfc:3986"
VL_MICROSCOPIC: Final = "urn:oid:1.2.840.10008.5.1.4.1.1.77.1.2"

SMEAR_FINDING: Final = "5909-7"
REVIEW: Final = "14869-2"
#: SNOMED CT of what a person or the model may find; a finding without one is told in words alone.
SNOMED_OF: Final[dict[Finding, str]] = {
    Finding.ALL: "91857003",
    Finding.AML: "91861009",
    Finding.CLL: "92814006",
    Finding.CML: "92818009",
}

#: Every code of each system; SNOMED's own words for its codes are left to whoever reads them.
CODES: Final[dict[str, dict[str, str]]] = {
    LOINC: {
        SMEAR_FINDING: "Blood smear finding [Identifier] in Blood by Light microscopy",
        REVIEW: "Pathologist review of Blood tests",
    },
    SNOMED: dict.fromkeys(SNOMED_OF.values(), ""),
    UCUM: {"1": "", "{cells}": ""},
    OBSERVATION_VALUE: {"AIAST": "Artificial Intelligence asserted"},
    OBSERVATION_CATEGORY: {"laboratory": "Laboratory"},
    SECTION: {"HM": "Hematology"},
    ABSENT: {"unknown": "Unknown"},
    AGENT: {"assembler": "Assembler", "author": "Author", "verifier": "Verifier"},
    DCM: {"GM": "General Microscopy"},
    URI: {VL_MICROSCOPIC: "VL Microscopic Image Storage"},
}
#: An ImagingStudy must have a subject; whose smear it is stays with the laboratory.
MASKED_SUBJECT: Final[dict[str, Any]] = {
    "extension": [
        {
            "url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason",
            "valueCode": "masked",
        }
    ],
    "display": "Not told: whose smear it is stays with the laboratory",
}


class FhirVersion(StrEnum):
    """The two that hospitals read."""

    R5 = "r5"
    R4B = "r4b"


#: A report that nobody signed is partial, whatever the model says.
REPORT_STATUS: Final[dict[DiagnosisStatus, str]] = {
    DiagnosisStatus.PREVIEW: "partial",
    DiagnosisStatus.DRAFT: "partial",
    DiagnosisStatus.FINAL: "final",
    DiagnosisStatus.AMENDED: "amended",
    DiagnosisStatus.ENTERED_IN_ERROR: "entered-in-error",
}
OBSERVATION_STATUS: Final[dict[DiagnosisStatus, str]] = {
    **REPORT_STATUS,
    DiagnosisStatus.PREVIEW: "preliminary",
    DiagnosisStatus.DRAFT: "preliminary",
}

_REPORT = frozenset(
    {
        "registered",
        "partial",
        "preliminary",
        "final",
        "amended",
        "corrected",
        "appended",
        "cancelled",
        "entered-in-error",
        "unknown",
    }
)
_OBSERVATION = _REPORT - {"partial", "appended"}
_DEVICE = frozenset({"active", "inactive", "entered-in-error"})
_DOCUMENT = frozenset({"current", "superseded", "entered-in-error"})
_STUDY = frozenset({"registered", "available", "cancelled", "entered-in-error", "unknown"})
#: The required value sets of `status`, by version and resource; fhir.resources lets any word pass.
STATUSES: Final[dict[FhirVersion, dict[str, frozenset[str]]]] = {
    FhirVersion.R5: {
        "DiagnosticReport": _REPORT | {"modified"},
        "Observation": _OBSERVATION,
        "Device": _DEVICE,
        "DocumentReference": _DOCUMENT,
        "ImagingStudy": _STUDY,
    },
    FhirVersion.R4B: {
        "DiagnosticReport": _REPORT,
        "Observation": _OBSERVATION,
        "Device": _DEVICE | {"unknown"},
        "DocumentReference": _DOCUMENT,
        "ImagingStudy": _STUDY,
    },
}


def coding(system: str, code: str) -> dict[str, Any]:
    """A code of the tables as FHIR writes it; KeyError for any other."""
    display = CODES[system][code]
    return {"system": system, "code": code} | ({"display": display} if display else {})
