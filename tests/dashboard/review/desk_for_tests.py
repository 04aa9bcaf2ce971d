"""A desk over a real database file with a clock that tests move, and the fields that stand in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dashboard.accounts.roles import Actor, Role
from dashboard.cases.settings import CaseSettings
from dashboard.reports import report_of_diagnosis
from dashboard.review.desk import Desk
from dashboard.review.settings import ReviewSettings
from dashboard.store import Filed, RecordsStore
from tests.dashboard.reports_for_tests import AT, content, diagnosis, digest
from wire_protocol.archive_layout import blob_key

KEY = b"k" * 32
ANNA = Actor("anna", Role.HEMATOLOGIST, address="192.0.2.7")
BERT = Actor("bert", Role.HEMATOLOGIST, address="192.0.2.8")
BLIND = Actor("carl", Role.HEMATOLOGIST, reads_before_ai=True)
OPERATOR = Actor("olga", Role.LAB_OPERATOR)
ENGINEER = Actor("emil", Role.ENGINEER)
CASE = "lab.C7F3K2"


@dataclass(slots=True)
class Lab:
    """A records store, an archive and a desk, and what time it is."""

    folder: Path
    url: str
    now_ms: int = 1_700_000_000_000
    cases: CaseSettings = field(default_factory=CaseSettings)
    review: ReviewSettings = field(default_factory=ReviewSettings)

    def file(self, *numbers: int, **changes: Any) -> None:
        """Records the fields with these numbers, in one transaction, with their pictures."""
        store = RecordsStore(self.url, AT, self.cases)
        batch = []
        for number in numbers:
            path = self.folder / "archive" / blob_key(digest(number))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content(number))
            told = CLASSES | changes
            batch.append(
                Filed(report_of_diagnosis(diagnosis(number, **told), "lab", "scope-1"), True)
            )
        store.commit(batch, AT)
        store.close()

    def desk(self) -> Desk:
        """A desk of its own connections, as each program has."""
        return Desk.open(
            self.url,
            str(self.folder / "archive"),
            audit_key=KEY,
            review=self.review,
            cases=self.cases,
            now_ms=lambda: self.now_ms,
        )

    def wait(self, seconds: float) -> None:
        """Lets time pass."""
        self.now_ms += round(seconds * 1000)


#: What a bundle tells of its classes, and enough cells for a case to be judged.
CLASSES: dict[str, Any] = {
    "acute_classes": ("all", "aml"),
    "chronic_classes": ("cll", "cml"),
    "t_acute": 0.4,
    "t_chronic": 0.5,
    "abstention": 0.5,
    "white_cells": 60,
    "p_cll": 0.0004,
    "p_cml": 0.0003,
    "p_healthy": 0.0003,
}
