"""The parts of a FHIR report that link to nothing: people, findings, the model; pure."""

from __future__ import annotations

import html
from typing import Any, Final

from dashboard.exchange.codes import SNOMED, SNOMED_OF, coding
from dashboard.exchange.facts import ReportFacts
from dashboard.page.models import ModelView
from dashboard.review.findings import FINDING_WORDS
from wire_protocol.case_messages import Finding
from wire_protocol.words import RESEARCH_USE_ONLY

Resource = dict[str, Any]
IDS: Final = "urn:hemowire:"


def device(facts: ReportFacts, card: ModelView, *, is_r5: bool) -> Resource:
    """The model with what its card says."""
    name, _, version = facts.model.partition("@")
    called = {"type": "user-friendly-name"} | (
        {"value": name, "display": True} if is_r5 else {"name": name}
    )
    notes = [f"Trained on {facts.training_data or 'unknown'} images."]
    notes += [f"Limit of use: {limit}" for limit in card.limits_of_use]
    notes += [f"{figure.name}: {figure.words}" for figure in card.figures]
    return {
        "identifier": [{"system": f"{IDS}model", "value": facts.model}],
        "status": "active",
        ("name" if is_r5 else "deviceName"): [called],
        "version": [{"value": version or facts.model}],
        "note": [{"text": text} for text in (*notes, RESEARCH_USE_ONLY)],
    }


def reference(resource_id: str) -> Resource:
    """A link to another resource of the bundle."""
    return {"reference": f"urn:uuid:{resource_id}"}


def person(account: str) -> Resource:
    """Who signs is an account of the laboratory's page, no resource of its own."""
    return {
        "type": "Practitioner",
        "identifier": {"system": f"{IDS}account", "value": account},
        "display": account,
    }


def concept(finding: Finding, words: str = "") -> Resource:
    """A finding in words, with its code where the tables have one."""
    said: Resource = {"text": words or FINDING_WORDS[finding]}
    code = SNOMED_OF.get(finding)
    return said | ({"coding": [coding(SNOMED, code)]} if code else {})


def narrative(text: str) -> Resource:
    """What a person reads where no program does."""
    div = f'<div xmlns="http://www.w3.org/1999/xhtml"><p>{html.escape(text, quote=False)}</p></div>'
    return {"status": "generated", "div": div}
