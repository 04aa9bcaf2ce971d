"""Signed cases as known truths for fitting the weight of a field; it guesses no truth that nobody signed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from dashboard.cases.field_rows import CaseField
from dashboard.cases.weight import KnownCase
from dashboard.review.signed import SignedCase
from wire_protocol.case_messages import Finding

_CLASS = {
    Finding.ALL: "all",
    Finding.AML: "aml",
    Finding.APL: "aml",
    Finding.CLL: "cll",
    Finding.CML: "cml",
}


@dataclass(frozen=True, slots=True)
class KnownCases:
    """Of the bundle that most of the signed cases have."""

    bundle: str
    classes: tuple[str, ...]
    cases: tuple[KnownCase, ...]
    #: Signed by readers who had not seen the AI's answer.
    unseen: int


def known_cases(signed: Sequence[SignedCase]) -> KnownCases | None:
    """Those whose finding is a class of the bundle; None where there is none."""
    usable = [(case, _usable(case)) for case in signed]
    bundles = Counter(field.result.bundle for _, fields in usable for field in fields)
    if not bundles:
        return None
    bundle = bundles.most_common(1)[0][0]
    found, unseen = [], 0
    classes: tuple[str, ...] = ()
    for case, fields in usable:
        ours = [field for field in fields if field.result.bundle == bundle]
        signature = case.standing
        if not ours or signature is None or signature.placed.finding is None:
            continue
        told = [field.result.probabilities for field in ours if field.result.probabilities]
        classes = tuple(told[0])
        truth = _truth(signature.placed.finding, ours[0])
        if truth is not None:
            found.append(KnownCase(tuple(told), truth))
            unseen += not signature.placed.ai_seen
    return KnownCases(bundle, classes, tuple(found), unseen)


def _usable(case: SignedCase) -> list[CaseField]:
    return [
        field
        for field in case.signed_fields()
        if field.result.probabilities and field.result.limits is not None
    ]


def _truth(finding: Finding, field: CaseField) -> str | None:
    """The class key of a finding; None where the bundle has no such class."""
    classes, limits = field.result.probabilities or {}, field.result.limits
    if finding is Finding.NO_LEUKEMIA_PATTERN and limits is not None:
        none = [key for key in classes if key not in limits.acute and key not in limits.chronic]
        return none[0] if len(none) == 1 else None
    key = _CLASS.get(finding)
    return key if key in classes else None
