"""The patient's copy of a signed result, in plain words; pure, and there is none before a person has signed.

It says what the person who signed found, never what the model said alone; that it is research; whom
to ask what. It raises no alarm: how soon somebody acts is for the doctor, who has the report. Short
sentences and short words: a test holds it to the eighth grade.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from dashboard.exchange.facts import ReportFacts, ReportSignature
from wire_protocol.case_messages import Finding
from wire_protocol.words import RESEARCH_USE_ONLY

_SEEN: Final = "In these pictures, the reader saw cells like those of"
_ILLNESS: Final = "It is an illness of the white blood cells."
#: What each finding is called for somebody who never heard of it.
FOUND_WORDS: Final[dict[Finding, str]] = {
    Finding.ALL: f"{_SEEN} ALL. That is short for acute lymphoblastic leukemia. {_ILLNESS}",
    Finding.AML: f"{_SEEN} AML. That is short for acute myeloid leukemia. {_ILLNESS}",
    Finding.APL: f"{_SEEN} APL. That is short for acute promyelocytic leukemia. {_ILLNESS}",
    Finding.ACUTE_UNCERTAIN: (
        f"{_SEEN} an acute leukemia. {_ILLNESS} The pictures do not show which kind it is."
    ),
    Finding.CLL: f"{_SEEN} CLL. That is short for chronic lymphocytic leukemia. {_ILLNESS}",
    Finding.CML: f"{_SEEN} CML. That is short for chronic myeloid leukemia. {_ILLNESS}",
    Finding.OTHER_ABNORMAL: (
        "In these pictures, the reader saw cells that do not look as they most often do. "
        "The reader did not name one kind of leukemia."
    ),
    Finding.NO_LEUKEMIA_PATTERN: (
        "In these pictures, the reader saw no pattern of leukemia. "
        "Pictures of a few cells cannot rule it out."
    ),
    Finding.NOT_ASSESSABLE: (
        "The pictures were not good enough to see. They say nothing about your blood."
    ),
}
_WITHDRAWN: Final = (
    "The lab has taken back the result that it gave before. "
    "Please do not rely on it, and throw old copies away."
)
WHAT_IT_IS: Final = (
    "A drop of your blood was spread on a glass slide. A microscope took pictures of the cells. "
    "A computer program looked at the pictures, and so did a person. That person signed the result."
)
WHAT_IT_MEANS: Final = (
    "This result is part of a research study. It can be wrong. It is not a diagnosis. "
    "Only your doctor can say what it means for you. "
    "Please do not start, stop or change a treatment because of this page."
)
QUESTIONS: Final = (
    "What does this result mean for me?",
    "Which other tests do I need?",
    "What will happen next, and when?",
    "Whom can I call when I have questions or feel unwell?",
)


class NotSignedError(Exception):
    """No person has signed the case: there is nothing for a patient to read."""


@dataclass(frozen=True, slots=True)
class PatientCopy:
    """What a patient reads, on paper and on a phone."""

    title: str
    research: str
    #: Headings and what stands below them.
    parts: tuple[tuple[str, str], ...]
    questions: tuple[str, ...]
    signed: str
    #: Which copy this is, and what makes it old.
    foot: str

    @property
    def text(self) -> str:
        """All of it, as one reads it."""
        said = [words for _, words in self.parts]
        return "\n".join(
            [self.title, self.research, *said, *self.questions, self.signed, self.foot]
        )


def patient_copy(facts: ReportFacts, contact: str = "") -> PatientCopy:
    """The copy of the case's last signature; raises NotSignedError."""
    signed = facts.signature
    if signed is None:
        raise NotSignedError(
            f"case {facts.key.text}: nobody has signed it; a patient's copy needs a person's signature"
        )
    parts = [("What this is", WHAT_IT_IS), ("What the reader found", _found(signed))]
    if signed.finding is None:
        parts = [("The result was taken back", _WITHDRAWN)]
    elif len(facts.signatures) > 1:
        changed = "The lab has changed its result. Please throw older copies away."
        parts.insert(0, ("This copy is new", changed))
    if facts.new_fields and signed.finding is not None:
        more = "More pictures came after that. They are not part of this result."
        parts.append(("More pictures", more))
    parts.append(("What it means", WHAT_IT_MEANS))
    return PatientCopy(
        title="Your blood smear: a copy for you",
        research=RESEARCH_USE_ONLY,
        parts=tuple(parts),
        questions=QUESTIONS,
        signed=_signed_words(signed)
        + (f" You can reach the lab here: {contact}." if contact else ""),
        foot=_foot(facts),
    )


def _found(signed: ReportSignature) -> str:
    return "" if signed.finding is None else FOUND_WORDS[signed.finding]


def _signed_words(signed: ReportSignature) -> str:
    deed = "Taken back" if signed.finding is None else "Signed"
    return f"{deed} by {signed.by} (the reader's name in the lab) on {_day(signed.at)}."


def _foot(facts: ReportFacts) -> str:
    return (
        f"Case {facts.key.case_id}, copy of signature {len(facts.signatures)}, "
        f"made on {_day(facts.made_at)}. The lab may change its result later. "
        "This page will not change by itself: ask your doctor if it is the newest."
    )


def _day(at: str) -> str:
    when = datetime.fromisoformat(at).astimezone(UTC)
    return f"{when.day} {when:%B %Y}"
