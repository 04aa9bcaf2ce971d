"""A case as a FHIR bundle, R5 or R4B; pure, and nothing leaves it that its own checks refuse.

DiagnosticReport: partial, final, amended or entered-in-error. Observations: what the model says
(5909-7) and, once signed, what the person says (14869-2), and the counted white cells. Whatever
holds the model's words carries the label AIAST; what a person alone said does not. What the model
said becomes final where the person who signs confirmed it, else it stays preliminary. No Patient,
no subject, no comment.
"""

from __future__ import annotations

import uuid
from typing import Any, Final

from dashboard.exchange.codes import (
    ABSENT,
    AGENT,
    LOINC,
    OBSERVATION_CATEGORY,
    OBSERVATION_STATUS,
    OBSERVATION_VALUE,
    REPORT_STATUS,
    REVIEW,
    SECTION,
    SMEAR_FINDING,
    UCUM,
    FhirVersion,
    coding,
)
from dashboard.exchange.facts import ReportFacts, ReportSignature
from dashboard.exchange.fhir_checks import check_bundle
from dashboard.exchange.fhir_parts import (
    IDS,
    Resource,
    concept,
    device,
    document,
    narrative,
    person,
    reference,
)
from dashboard.page.models import Models, ModelView
from wire_protocol.json_messages import DiagnosisStatus
from wire_protocol.words import RESEARCH_USE_ONLY, class_word

_LABEL: Final = {"security": [coding(OBSERVATION_VALUE, "AIAST")]}


def fhir_json(facts: ReportFacts, card: ModelView, version: FhirVersion) -> str:
    """The bundle as text, which fhir.resources has read and our own checks have passed; raises
    FhirRefusedError."""
    bundle = fhir_bundle(facts, card, version)
    check_bundle(bundle, version)
    text: str = _read_by_others(bundle, version).model_dump_json(indent=2)
    return text + "\n"


def checked_bundle(facts: ReportFacts, models: Models, version: FhirVersion) -> Resource:
    """The bundle, which fhir.resources has read and our own checks have passed; raises
    FhirRefusedError."""
    bundle = fhir_bundle(facts, models.card(facts.model), version)
    check_bundle(bundle, version)
    _read_by_others(bundle, version)
    return bundle


def fhir_bundle(facts: ReportFacts, card: ModelView, version: FhirVersion) -> Resource:
    """The bundle, not checked yet."""
    maker = _Maker(facts, card, version)
    resources = maker.resources()
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "meta": _LABEL,
        "identifier": {"system": f"{IDS}report", "value": facts.report_id},
        "timestamp": facts.made_at,
        "entry": [{"fullUrl": f"urn:uuid:{one['id']}", "resource": one} for one in resources],
    }


def _read_by_others(bundle: Resource, version: FhirVersion) -> Any:
    if version is FhirVersion.R5:
        from fhir.resources.bundle import Bundle
    else:
        from fhir.resources.R4B.bundle import Bundle  # type: ignore[assignment]
    return Bundle.model_validate(bundle)


class _Maker:
    """Makes the resources of one case; ids are the same in every export of it."""

    def __init__(self, facts: ReportFacts, card: ModelView, version: FhirVersion) -> None:
        self._facts = facts
        self._card = card
        self._is_r5 = version is FhirVersion.R5

    def resources(self) -> list[Resource]:
        """The report first."""
        facts = self._facts
        observations = [self._ai_finding()]
        signed = self._person_finding()
        if signed is not None:
            observations.insert(0, signed)
        if facts.white_cells is not None:
            observations.append(self._white_cells(facts.white_cells))
        documents = [
            self._resource("DocumentReference", f"image {picture.image_id}", label=False)
            | document(picture)
            for picture in facts.pictures
        ]
        return [
            self._report([one["id"] for one in observations]),
            *observations,
            self._resource("Device", "model", label=True)
            | device(facts, self._card, is_r5=self._is_r5),
            self._provenance_of_model(),
            *(self._provenance(signature) for signature in facts.signatures),
            *documents,
        ]

    def _report(self, observations: list[str]) -> Resource:
        facts = self._facts
        conclusion = self._conclusion()
        report = self._resource("DiagnosticReport", "report", label=True) | {
            "text": narrative(conclusion),
            "identifier": [
                {"system": f"{IDS}report", "value": facts.report_id},
                {"system": f"{IDS}case", "value": facts.key.text},
            ],
            "status": REPORT_STATUS[facts.status],
            "category": [{"coding": [coding(SECTION, "HM")]}],
            "code": {"coding": [coding(LOINC, SMEAR_FINDING)], "text": "Blood smear"},
            "effectiveDateTime": facts.first_captured_at,
            "issued": facts.signature.at if facts.signature else facts.made_at,
            "result": [reference(one) for one in observations],
            "conclusion": conclusion,
        }
        if facts.signature is not None:
            report["resultsInterpreter"] = [person(facts.signature.by)]
            if facts.is_signed and facts.signature.finding is not None:
                report["conclusionCode"] = [concept(facts.signature.finding)]
        if self._is_r5 and facts.pictures:  # R4B's media are resources of a kind of their own
            report["media"] = [
                {"link": self._link(f"image {one.image_id}")} for one in facts.pictures
            ]
        return report

    def _conclusion(self) -> str:
        facts = self._facts
        said = f"The AI said: {facts.ai_words}."
        signed = facts.signature
        if signed is not None and signed.finding is not None:
            said = f"Signed result: {signed.words}. {said}"
        synthetic = " The model is synthetic-trained." if facts.training_data == "synthetic" else ""
        return f"{facts.state_words} {said}{synthetic} {RESEARCH_USE_ONLY}"

    def _ai_finding(self) -> Resource:
        facts = self._facts
        observation = self._resource("Observation", "ai", label=True) | {
            "status": self._ai_status(),
            "category": [{"coding": [coding(OBSERVATION_CATEGORY, "laboratory")]}],
            "code": {"coding": [coding(LOINC, SMEAR_FINDING)], "text": "Finding of the model"},
            "effectiveDateTime": facts.first_captured_at,
            "device": self._link("model"),
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
        if self._images():
            observation["derivedFrom"] = self._images()
        if facts.probabilities:
            observation["component"] = [
                {
                    "code": {"text": f"Calibrated probability, {class_word(key)}"},
                    "valueQuantity": {"value": p, "system": UCUM, "code": "1"},
                }
                for key, p in facts.probabilities.items()
            ]
        return observation

    def _ai_status(self) -> str:
        """Final only where a person confirmed it."""
        facts = self._facts
        signed = facts.signature
        if facts.status is DiagnosisStatus.ENTERED_IN_ERROR:
            return OBSERVATION_STATUS[facts.status]
        if signed is not None and signed.confirms:
            return "final"
        return "preliminary"

    def _person_finding(self) -> Resource | None:
        """What the last person who named a finding said; withdrawn ones stay to be read."""
        facts = self._facts
        last = next((one for one in facts.signatures[::-1] if one.finding is not None), None)
        if last is None or last.finding is None:
            return None
        seen = "had" if last.ai_seen else "had not"
        observation = self._resource("Observation", "review", label=False) | {
            "status": OBSERVATION_STATUS[facts.status],
            "category": [{"coding": [coding(OBSERVATION_CATEGORY, "laboratory")]}],
            "code": {"coding": [coding(LOINC, REVIEW)], "text": "Finding of the person who signed"},
            "effectiveDateTime": facts.first_captured_at,
            "issued": last.at,
            "performer": [person(last.by)],
            "valueCodeableConcept": concept(last.finding, last.words),
            "note": [{"text": f"The reader {seen} seen the AI's answer. {RESEARCH_USE_ONLY}"}],
        }
        if self._images():
            observation["derivedFrom"] = self._images()
        return observation

    def _white_cells(self, count: int) -> Resource:
        return self._resource("Observation", "white cells", label=True) | {
            "status": self._ai_status(),
            "category": [{"coding": [coding(OBSERVATION_CATEGORY, "laboratory")]}],
            "code": {"text": f"White cells segmented in {self._facts.fields} fields"},
            "effectiveDateTime": self._facts.first_captured_at,
            "valueQuantity": {"value": count, "system": UCUM, "code": "{cells}"},
            "device": self._link("model"),
        }

    def _provenance_of_model(self) -> Resource:
        cells = ["white cells"] if self._facts.white_cells is not None else []
        provenance = self._resource("Provenance", "provenance of model", label=True) | {
            "target": [self._link(name) for name in ("ai", *cells)],
            "recorded": self._facts.made_at,
            "agent": [
                {"type": {"coding": [coding(AGENT, "assembler")]}, "who": self._link("model")}
            ],
        }
        if self._images():
            provenance["entity"] = [{"role": "source", "what": one} for one in self._images()]
        return provenance

    def _provenance(self, signature: ReportSignature) -> Resource:
        """Every signature, those that no longer stand among them."""
        part = "verifier" if signature.confirms else "author"
        names = ["report", "review"] if self._person_finding() is not None else ["report"]
        return self._resource("Provenance", f"signature {signature.number}", label=False) | {
            "target": [self._link(name) for name in names],
            "recorded": signature.at,
            "activity": {"text": f"{signature.status.value}: {signature.words}"},
            "agent": [{"type": {"coding": [coding(AGENT, part)]}, "who": person(signature.by)}],
        }

    def _images(self) -> list[Resource]:
        """The fields that the result rests on."""
        return [
            self._link(f"image {one.image_id}") for one in self._facts.pictures if not one.is_new
        ]

    def _resource(self, kind: str, name: str, *, label: bool) -> Resource:
        made: Resource = {"resourceType": kind, "id": self._id(name)}
        return made | ({"meta": _LABEL} if label else {})

    def _link(self, name: str) -> Resource:
        return reference(self._id(name))

    def _id(self, name: str) -> str:
        return str(uuid.uuid5(uuid.UUID(self._facts.report_id), name))
