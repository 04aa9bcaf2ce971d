"""Names and links of a report's resources: the same in every state and every export of a case; pure."""

from __future__ import annotations

import uuid
from typing import Final

from dashboard.exchange.codes import OBSERVATION_VALUE, coding
from dashboard.exchange.facts import ReportFacts
from dashboard.exchange.fhir_parts import Resource, reference

LABEL: Final = {"security": [coding(OBSERVATION_VALUE, "AIAST")]}


class Names:
    """Of one report."""

    def __init__(self, facts: ReportFacts) -> None:
        self._report = uuid.UUID(facts.report_id)
        #: The fields that the result rests on.
        self.images = [
            self.link(f"image {one.image_id}") for one in facts.pictures if not one.is_new
        ]

    def resource(self, kind: str, name: str, *, label: bool) -> Resource:
        """Its beginning; `label`: it holds the model's words."""
        made: Resource = {"resourceType": kind, "id": self._id(name)}
        return made | ({"meta": LABEL} if label else {})

    def link(self, name: str) -> Resource:
        """A link to it."""
        return reference(self._id(name))

    def _id(self, name: str) -> str:
        return str(uuid.uuid5(self._report, name))
