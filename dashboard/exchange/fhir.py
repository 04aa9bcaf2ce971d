"""A case as a FHIR bundle, R5 or R4B; pure, and nothing leaves it that its own checks refuse.

DiagnosticReport: partial, final, amended or entered-in-error. Observations: what the model says
(5909-7) and, once signed, what the person says (14869-2), and the counted white cells. Whatever
holds the model's words carries the label AIAST; what a person alone said does not. What the model
said becomes final where the person who signs confirmed it, else it stays preliminary. No Patient,
no comment; an ImagingStudy, which must have a subject, says that it is masked.
"""

from __future__ import annotations

from typing import Any

from dashboard.exchange.codes import (
    AGENT,
    LOINC,
    REPORT_STATUS,
    SECTION,
    SMEAR_FINDING,
    FhirVersion,
    coding,
)
from dashboard.exchange.facts import ReportFacts, ReportSignature
from dashboard.exchange.fhir_checks import check_bundle
from dashboard.exchange.fhir_documents import (
    Enclosed,
    document,
    imaging_study,
    map_document,
    presented_form,
)
from dashboard.exchange.fhir_findings import ai_finding, person_finding, white_cells
from dashboard.exchange.fhir_names import LABEL, Names
from dashboard.exchange.fhir_parts import (
    IDS,
    Resource,
    concept,
    device,
    narrative,
    person,
    reference,
)
from dashboard.page.models import ModelView
from wire_protocol.words import RESEARCH_USE_ONLY


def checked_bundle(
    facts: ReportFacts, card: ModelView, version: FhirVersion, enclosed: Enclosed | None = None
) -> Resource:
    """The bundle, which fhir.resources has read and our own checks have passed; raises
    FhirRefusedError."""
    bundle = fhir_bundle(facts, card, version, enclosed)
    check_bundle(bundle, version)
    _read_by_others(bundle, version)
    return bundle


def fhir_json(
    facts: ReportFacts, card: ModelView, version: FhirVersion, enclosed: Enclosed | None = None
) -> str:
    """The checked bundle as text; raises FhirRefusedError."""
    bundle = fhir_bundle(facts, card, version, enclosed)
    check_bundle(bundle, version)
    text: str = _read_by_others(bundle, version).model_dump_json(indent=2)
    return text + "\n"


def fhir_bundle(
    facts: ReportFacts, card: ModelView, version: FhirVersion, enclosed: Enclosed | None = None
) -> Resource:
    """The bundle, not checked yet."""
    maker = _Maker(facts, card, version, enclosed or Enclosed())
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "meta": LABEL,
        "identifier": {"system": f"{IDS}report", "value": facts.report_id},
        "timestamp": facts.made_at,
        "entry": [
            {"fullUrl": f"urn:uuid:{one['id']}", "resource": one} for one in maker.resources()
        ],
    }


def _read_by_others(bundle: Resource, version: FhirVersion) -> Any:
    if version is FhirVersion.R5:
        from fhir.resources.bundle import Bundle
    else:
        from fhir.resources.R4B.bundle import Bundle  # type: ignore[assignment]
    return Bundle.model_validate(bundle)


class _Maker:
    """Makes the resources of one case."""

    def __init__(
        self, facts: ReportFacts, card: ModelView, version: FhirVersion, enclosed: Enclosed
    ) -> None:
        self._facts = facts
        self._card = card
        self._is_r5 = version is FhirVersion.R5
        self._enclosed = enclosed
        self._names = Names(facts)
        self._signed = person_finding(facts, self._names)
        self._cells = white_cells(facts, self._names)
        self._map = map_document(facts, self._names, enclosed)
        self._study = imaging_study(facts, self._names, is_r5=self._is_r5)

    def resources(self) -> list[Resource]:
        """The report first."""
        facts, names = self._facts, self._names
        observations = [
            one for one in (self._signed, ai_finding(facts, names), self._cells) if one is not None
        ]
        pictures = [document(one, names, self._enclosed) for one in facts.pictures]
        return [
            self._report([one["id"] for one in observations]),
            *observations,
            names.resource("Device", "model", label=True)
            | device(facts, self._card, is_r5=self._is_r5),
            self._provenance_of_model(),
            *(self._provenance(signature) for signature in facts.signatures),
            *pictures,
            *(one for one in (self._map, self._study) if one is not None),
        ]

    def _report(self, observations: list[str]) -> Resource:
        facts = self._facts
        conclusion = self._conclusion()
        report = self._names.resource("DiagnosticReport", "report", label=True) | {
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
        if self._study is not None:
            links = [reference(self._study["id"])]
            report["study" if self._is_r5 else "imagingStudy"] = links
        if self._is_r5 and facts.pictures:  # R4B's media are resources of a kind of their own
            linked = [self._names.link(f"image {one.image_id}") for one in facts.pictures]
            if self._map is not None:
                linked.append(reference(self._map["id"]))
            report["media"] = [{"link": link} for link in linked]
        if self._enclosed.pdf is not None:
            report["presentedForm"] = [presented_form(facts, self._enclosed.pdf)]
        return report

    def _conclusion(self) -> str:
        facts = self._facts
        said = f"The AI said: {facts.ai_words}."
        signed = facts.signature
        if signed is not None and signed.finding is not None:
            said = f"Signed result: {signed.words}. {said}"
        synthetic = " The model is synthetic-trained." if facts.training_data == "synthetic" else ""
        return f"{facts.state_words} {said}{synthetic} {RESEARCH_USE_ONLY}"

    def _provenance_of_model(self) -> Resource:
        names = self._names
        made = [names.link("ai")]
        made += [reference(one["id"]) for one in (self._cells, self._map) if one is not None]
        provenance = names.resource("Provenance", "provenance of model", label=True) | {
            "target": made,
            "recorded": self._facts.made_at,
            "agent": [
                {"type": {"coding": [coding(AGENT, "assembler")]}, "who": names.link("model")}
            ],
        }
        if names.images:
            provenance["entity"] = [{"role": "source", "what": one} for one in names.images]
        return provenance

    def _provenance(self, signature: ReportSignature) -> Resource:
        """Every signature, those that no longer stand among them."""
        part = "verifier" if signature.confirms else "author"
        targets = ["report", "review"] if self._signed is not None else ["report"]
        name = f"signature {signature.number}"
        return self._names.resource("Provenance", name, label=False) | {
            "target": [self._names.link(target) for target in targets],
            "recorded": signature.at,
            "activity": {"text": f"{signature.status.value}: {signature.words}"},
            "agent": [{"type": {"coding": [coding(AGENT, part)]}, "who": person(signature.by)}],
        }
