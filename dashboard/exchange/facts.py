"""What a report says of one case, and in which words; pure, and without comments: free text names patients."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from dashboard.cases.keys import CaseKey
from dashboard.review.findings import FINDING_WORDS, Fab, finding_of
from wire_protocol.case_messages import Finding
from wire_protocol.json_messages import ACUTE_UNCERTAIN, CANNOT_SAY, DiagnosisStatus, Urgency
from wire_protocol.words import class_word


@dataclass(frozen=True, slots=True)
class ReportSignature:
    """Who signed what, and when."""

    by: str
    #: RFC 3339.
    at: str
    status: DiagnosisStatus
    #: None where the report was withdrawn.
    finding: Finding | None
    fab: Fab | None
    confirms: bool
    ai_seen: bool
    number: int

    @property
    def words(self) -> str:
        """The result in a person's words."""
        if self.finding is None:
            return "withdrawn: entered in error"
        return FINDING_WORDS[self.finding] + (f" (FAB {self.fab.value})" if self.fab else "")


@dataclass(frozen=True, slots=True)
class ReportPicture:
    """A field of the case and its picture."""

    image_id: str
    sha256: str
    captured_at: str
    device: str
    result: str
    urgency: Urgency
    #: The archived bytes; None where they cannot be had, and then why.
    data: bytes | None
    missing: str = ""
    #: It came after the signature: whoever signed had not seen it.
    is_new: bool = False
    #: The model that answered, with its engine; the scale that it was given; the class to draw a map
    #: of, "" where it named none.
    model: str = ""
    um_per_px: float | None = None
    map_key: str = ""
    #: A DICOM image was made of it.
    has_dicom: bool = False


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """Everything that a report is made of."""

    key: CaseKey
    #: The same for all states of the case's report, as on the report topic.
    report_id: str
    status: DiagnosisStatus
    made_at: str
    first_captured_at: str
    #: As a diagnosis names it.
    model: str
    training_data: str
    #: What the AI said: of a signed case, as the person found it.
    ai_result: str
    ai_urgency: Urgency
    ai_reason: str
    #: The AI's sentence; "" where fields came after the signature and it is about them, too.
    ai_text: str
    #: None where they may not be heard, or are not those that the signature rests on.
    probabilities: dict[str, float] | None
    white_cells: int | None
    #: That the signature rests on; of a draft all.
    fields: int
    new_fields: int
    signatures: tuple[ReportSignature, ...]
    #: The field that stands for the case first.
    pictures: tuple[ReportPicture, ...]

    @property
    def signature(self) -> ReportSignature | None:
        """The one that counts: the last."""
        return self.signatures[-1] if self.signatures else None

    def number_of(self, image_id: str) -> int:
        """The field's place in the case, from 1."""
        return [one.image_id for one in self.pictures].index(image_id) + 1

    @property
    def is_signed(self) -> bool:
        """Whether a signed report stands."""
        return self.status in (DiagnosisStatus.FINAL, DiagnosisStatus.AMENDED)

    @property
    def ai_finding(self) -> Finding | None:
        """The AI's result in a person's words; None where it cannot say."""
        return finding_of(self.ai_result, self.ai_urgency.value)

    @property
    def ai_words(self) -> str:
        """The AI's result."""
        if self.ai_result == CANNOT_SAY:
            return f"cannot say ({self.ai_reason.replace('_', ' ') or 'no reason told'})"
        if self.ai_urgency is Urgency.NO_LEUKEMIA_PATTERN:
            return FINDING_WORDS[Finding.NO_LEUKEMIA_PATTERN]
        if self.ai_result == ACUTE_UNCERTAIN:
            return "acute leukemia suspected, lineage uncertain"
        kind = "acute" if self.ai_urgency is Urgency.SUSPECTED_ACUTE else "chronic"
        return f"{kind} leukemia suspected, most like {class_word(self.ai_result)}"

    @property
    def state_words(self) -> str:
        """What this report is worth, in one sentence."""
        signed = self.signature
        if signed is None:
            return "PRELIMINARY: an AI draft that nobody has signed."
        if signed.finding is None:
            return f"WITHDRAWN: entered in error by {signed.by} at {signed.at}."
        word = "Amended" if self.status is DiagnosisStatus.AMENDED else "Final"
        new = self.new_fields
        more = f" {new} of its fields came after the signature." if new else ""
        return f"{word}: signed by {signed.by} at {signed.at}.{more}"


def latin(text: str) -> str:
    """Text for fonts that know Western letters alone; others become "?"."""
    plain = unicodedata.normalize("NFKC", text)
    return plain.encode("latin-1", "replace").decode("latin-1")
