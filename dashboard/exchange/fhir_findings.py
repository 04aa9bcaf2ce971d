"""The Observations of a report: what the model says, what the person says, the counted white cells; pure."""

from __future__ import annotations

from dashboard.exchange.codes import (
    ABSENT,
    LOINC,
    OBSERVATION_CATEGORY,
    OBSERVATION_STATUS,
    REVIEW,
    SMEAR_FINDING,
    UCUM,
    coding,
)
from dashboard.exchange.facts import ReportFacts
from dashboard.exchange.fhir_names import Names
from dashboard.exchange.fhir_parts import Resource, concept, person
from wire_protocol.json_messages import DiagnosisStatus
from wire_protocol.words import RESEARCH_USE_ONLY, class_word


def ai_finding(facts: ReportFacts, names: Names) -> Resource:
    """What the model says (5909-7), with its calibrated probabilities."""
    observation = names.resource("Observation", "ai", label=True) | {
        "status": _ai_status(facts),
        "category": [{"coding": [coding(OBSERVATION_CATEGORY, "laboratory")]}],
        "code": {"coding": [coding(LOINC, SMEAR_FINDING)], "text": "Finding of the model"},
        "effectiveDateTime": facts.first_captured_at,
        "device": names.link("model"),
        "note": [{"text": f"{facts.ai_text or facts.ai_words} {RESEARCH_USE_ONLY}"}],
    }
    finding = facts.ai_finding
    if finding is not None:
        observation["valueCodeableConcept"] = concept(finding, facts.ai_words)
    else:
        observation["dataAbsentReason"] = {
            "coding": [coding(ABSENT, "unknown")],
            "text": facts.ai_words,
        }
    if names.images:
        observation["derivedFrom"] = names.images
    if facts.probabilities:
        observation["component"] = [
            {
                "code": {"text": f"Calibrated probability, {class_word(key)}"},
                "valueQuantity": {"value": p, "system": UCUM, "code": "1"},
            }
            for key, p in facts.probabilities.items()
        ]
    return observation


def _ai_status(facts: ReportFacts) -> str:
    """Final only where a person confirmed it."""
    signed = facts.signature
    if facts.status is DiagnosisStatus.ENTERED_IN_ERROR:
        return OBSERVATION_STATUS[facts.status]
    if signed is not None and signed.confirms:
        return "final"
    return "preliminary"


def person_finding(facts: ReportFacts, names: Names) -> Resource | None:
    """What the last person who named a finding said (14869-2); withdrawn ones stay to be read."""
    last = next((one for one in facts.signatures[::-1] if one.finding is not None), None)
    if last is None or last.finding is None:
        return None
    seen = "had" if last.ai_seen else "had not"
    observation = names.resource("Observation", "review", label=False) | {
        "status": OBSERVATION_STATUS[facts.status],
        "category": [{"coding": [coding(OBSERVATION_CATEGORY, "laboratory")]}],
        "code": {"coding": [coding(LOINC, REVIEW)], "text": "Finding of the person who signed"},
        "effectiveDateTime": facts.first_captured_at,
        "issued": last.at,
        "performer": [person(last.by)],
        "valueCodeableConcept": concept(last.finding, last.words),
        "note": [{"text": f"The reader {seen} seen the AI's answer. {RESEARCH_USE_ONLY}"}],
    }
    if names.images:
        observation["derivedFrom"] = names.images
    return observation


def white_cells(facts: ReportFacts, names: Names) -> Resource | None:
    """How many were counted; None where nobody counted, or not those signed."""
    if facts.white_cells is None:
        return None
    return names.resource("Observation", "white cells", label=True) | {
        "status": _ai_status(facts),
        "category": [{"coding": [coding(OBSERVATION_CATEGORY, "laboratory")]}],
        "code": {"text": f"White cells segmented in {facts.fields} fields"},
        "effectiveDateTime": facts.first_captured_at,
        "valueQuantity": {"value": facts.white_cells, "system": UCUM, "code": "{cells}"},
        "device": names.link("model"),
    }
