"""The UIDs of a case's DICOM images: 2.25 and a number that its report's id gives, the same in every export; pure."""

from __future__ import annotations

import hashlib

from dashboard.exchange.facts import ReportFacts


def study_uid(facts: ReportFacts) -> str:
    """The case."""
    return _uid(facts, "study")


def series_uid(facts: ReportFacts) -> str:
    """Its fields."""
    return _uid(facts, "series")


def sop_uid(facts: ReportFacts, image_id: str) -> str:
    """One field."""
    return _uid(facts, f"image {image_id}")


def _uid(facts: ReportFacts, name: str) -> str:
    digest = hashlib.sha256(f"{facts.report_id}:{name}".encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"
