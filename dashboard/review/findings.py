"""What a person may say of a case, its order of work, and how an AI result translates into it; pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from wire_protocol.case_messages import Finding
from wire_protocol.json_messages import ACUTE_UNCERTAIN, CANNOT_SAY, Urgency


class Fab(StrEnum):
    """Subtypes of the French-American-British classification."""

    M0 = "M0"
    M1 = "M1"
    M2 = "M2"
    M3 = "M3"
    M4 = "M4"
    M5 = "M5"
    M6 = "M6"
    M7 = "M7"
    L1 = "L1"
    L2 = "L2"
    L3 = "L3"


_MYELOID: Final = frozenset(fab for fab in Fab if fab.value.startswith("M"))
#: Subtypes that a finding can have; M3 is APL, which is a finding of its own.
FAB_OF: Final[dict[Finding, frozenset[Fab]]] = {
    Finding.ALL: frozenset({Fab.L1, Fab.L2, Fab.L3}),
    Finding.AML: _MYELOID - {Fab.M3},
    Finding.APL: frozenset({Fab.M3}),
}

FINDING_WORDS: Final[dict[Finding, str]] = {
    Finding.ALL: "ALL",
    Finding.AML: "AML",
    Finding.APL: "APL suspected: emergency",
    Finding.ACUTE_UNCERTAIN: "acute leukemia, lineage uncertain",
    Finding.CLL: "CLL",
    Finding.CML: "CML",
    Finding.OTHER_ABNORMAL: "other abnormal",
    Finding.NO_LEUKEMIA_PATTERN: "no leukemia pattern; does not exclude leukemia",
    Finding.NOT_ASSESSABLE: "not assessable",
}

#: The order of work that a person's finding gives a case; 0 is an emergency.
FINDING_RANK: Final[dict[Finding, int]] = {
    Finding.APL: 0,
    Finding.ALL: 1,
    Finding.AML: 1,
    Finding.ACUTE_UNCERTAIN: 1,
    Finding.OTHER_ABNORMAL: 2,
    Finding.CLL: 3,
    Finding.CML: 3,
    Finding.NO_LEUKEMIA_PATTERN: 4,
    Finding.NOT_ASSESSABLE: 5,
}

FINDING_URGENCY: Final[dict[Finding, Urgency]] = {
    Finding.APL: Urgency.SUSPECTED_ACUTE,
    Finding.ALL: Urgency.SUSPECTED_ACUTE,
    Finding.AML: Urgency.SUSPECTED_ACUTE,
    Finding.ACUTE_UNCERTAIN: Urgency.SUSPECTED_ACUTE,
    Finding.OTHER_ABNORMAL: Urgency.CANNOT_SAY,
    Finding.CLL: Urgency.SUSPECTED_CHRONIC,
    Finding.CML: Urgency.SUSPECTED_CHRONIC,
    Finding.NO_LEUKEMIA_PATTERN: Urgency.NO_LEUKEMIA_PATTERN,
    Finding.NOT_ASSESSABLE: Urgency.RETAKE,
}

#: Class keys of bundles that say the same as a finding. Early, Pre and Pro are labels of B-ALL.
_BY_CLASS: Final[dict[str, Finding]] = {
    "all": Finding.ALL,
    "aml": Finding.AML,
    "apl": Finding.APL,
    "cll": Finding.CLL,
    "cml": Finding.CML,
    "early": Finding.ALL,
    "pre": Finding.ALL,
    "pro": Finding.ALL,
    ACUTE_UNCERTAIN: Finding.ACUTE_UNCERTAIN,
}


def finding_of(result: str, urgency: str) -> Finding | None:
    """What an AI result says in a person's words; None where it says nothing to agree with."""
    if result == CANNOT_SAY or urgency in (Urgency.CANNOT_SAY, Urgency.RETAKE):
        return None
    if urgency == Urgency.NO_LEUKEMIA_PATTERN:
        return Finding.NO_LEUKEMIA_PATTERN
    known = _BY_CLASS.get(result)
    if known is not None:
        return known
    return Finding.ACUTE_UNCERTAIN if urgency == Urgency.SUSPECTED_ACUTE else Finding.OTHER_ABNORMAL
