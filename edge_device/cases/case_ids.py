"""Which texts may be the id of a case; what looks like a date or a person's number or name is refused, unquoted.

An id is a slide's or an order's number and names nobody. A machine cannot know every name, so this
errs on the side of refusing, in three steps; no message here repeats the text, it may be a name:

1. the form on the wire: 4 to 16 capitals, digits and dashes, a digit among them;
2. always refused: a whole date (with dashes, with a month's name, or 8 digits that make one of
   1900-2099), and a number of the form of a Danish, Swedish, Norwegian, Finnish, US, Italian or
   Spanish person's;
3. refused unless the lab's own pattern says what its ids look like: 9 or more digits in a row (as
   national, insurance and telephone numbers have) and 4 or more letters in a row (as names have;
   SLIDE, CASE and a few words of a laboratory may stand).

What still passes: initials ("JS-61"), names of up to three letters ("LI-2"), six digits that are a
date ("030461"), and numbers that the lab itself drew from a name. Hence `cases.pattern`.
"""

from __future__ import annotations

import re
from typing import Final

from edge_device.cases.settings import CaseSettings
from wire_protocol.ids import CASE_PATTERN
from wire_protocol.manifest import UNFILED

_FORM = re.compile(CASE_PATTERN)
#: Letters that may stand together although they are more than three: words of a laboratory.
LAB_WORDS: Final = frozenset(
    [
        "CASE",
        "SLIDE",
        "SMEAR",
        "FIELD",
        "ORDER",
        "BLOOD",
        "MARROW",
        "TEST",
        "DEMO",
        "CONTROL",
        "TRAIN",
        "STUDY",
        "WARD",
        "HEMA",
        "HAEM",
    ]
)
_MONTHS: Final = [
    "JAN",
    "FEB",
    "MAR",
    "APR",
    "MAY",
    "JUN",
    "JUL",
    "AUG",
    "SEP",
    "OCT",
    "NOV",
    "DEC",
    "MAI",
    "OKT",
    "DEZ",
]
_MONTH_NAME = re.compile(rf"(^|[^A-Z])({'|'.join(_MONTHS)})([^A-Z]|$)")
_DASHED = re.compile(r"(?<![0-9])([0-9]{1,4})-([0-9]{1,2})-([0-9]{1,4})(?![0-9])")
_EIGHT = re.compile(r"(?<![0-9])[0-9]{8}(?![0-9])")
_MONTH, _DAY = "(0[1-9]|1[0-2])", "(0[1-9]|[12][0-9]|3[01])"
_SIX_OF_A_DATE: Final = f"({_DAY}{_MONTH}[0-9]{{2}}|[0-9]{{2}}{_MONTH}{_DAY})"
_PERSON_NUMBERS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rf"{_SIX_OF_A_DATE}-?[0-9]{{4,5}}",  # Denmark, Sweden, Norway
        rf"{_SIX_OF_A_DATE}[-A][0-9]{{3}}[0-9A-Y]",  # Finland
        r"[0-9]{3}-[0-9]{2}-[0-9]{4}",  # USA
        r"[A-Z]{6}[0-9]{2}[A-Z][0-9]{2}[A-Z][0-9]{3}[A-Z]",  # Italy
        r"[0-9]{8}-?[A-Z]|[XYZ]-?[0-9]{7}-?[A-Z]",  # Spain
    )
)
_LONG_NUMBER = re.compile(r"[0-9]{9}")
_LETTERS = re.compile(r"[A-Z]{4,}")


class CaseIdError(ValueError):
    """The text is not taken as a case id; the message says why and does not repeat it."""


def check_case_id(text: str, settings: CaseSettings | None = None) -> str:
    """The id without spaces around it; raises CaseIdError."""
    settings = settings or CaseSettings()
    case_id = text.strip()
    if case_id == UNFILED:
        raise CaseIdError(f"{UNFILED!r} is no case; close the open case instead")
    if not _FORM.fullmatch(case_id):
        raise CaseIdError(
            "a case id has 4 to 16 capitals, digits and dashes, with at least one digit, "
            "and begins with a capital or digit"
        )
    if _has_date(case_id):
        raise CaseIdError("this looks like a date; a case id is a slide's number and names nobody")
    if any(form.fullmatch(case_id) for form in _PERSON_NUMBERS):
        raise CaseIdError("this looks like a person's number; a case id names nobody")
    if settings.pattern is not None:
        if not re.fullmatch(settings.pattern, case_id):
            raise CaseIdError(f"the case ids of this lab match {settings.pattern} (cases.pattern)")
        return case_id
    if _LONG_NUMBER.search(case_id):
        raise CaseIdError(
            "9 or more digits in a row may be a person's number; "
            "a lab whose slides carry such numbers says so in cases.pattern"
        )
    if any(word not in LAB_WORDS for word in _LETTERS.findall(case_id)):
        raise CaseIdError(
            "4 or more letters in a row may be a name; "
            "a lab whose slides carry such words says so in cases.pattern"
        )
    return case_id


def case_of_folder(folder: str, settings: CaseSettings | None = None) -> str | None:
    """The case that a folder below camera.folder names: its last part that is a valid id."""
    for part in reversed(folder.replace("\\", "/").split("/")):
        try:
            return check_case_id(part, settings)
        except CaseIdError:
            continue
    return None


def _has_date(case_id: str) -> bool:
    if any(_is_date(*found.groups()) for found in _overlapping(_DASHED, case_id)):
        return True
    if any(_eight_are_a_date(found[0]) for found in _EIGHT.finditer(case_id)):
        return True
    # With a month's name: a day and a year beside it, as in 3-APR-1961 or 03APR61.
    return bool(_MONTH_NAME.search(case_id)) and len(re.findall(r"[0-9]+", case_id)) >= 2


def _overlapping(pattern: re.Pattern[str], text: str) -> list[re.Match[str]]:
    found = (pattern.match(text, start) for start in range(len(text)))
    return [match for match in found if match is not None]


def _is_date(first: str, second: str, third: str) -> bool:
    """Year-month-day, day-month-year or month-day-year, the year with two or four digits."""
    a, b, c = int(first), int(second), int(third)
    if len(first) == 4:
        return len(third) <= 2 and _is_year(a) and _is_day(b, c)
    if len(third) == 4:
        return len(first) <= 2 and _is_year(c) and (_is_day(b, a) or _is_day(a, b))
    return (len(third) == 2 and len(first) <= 2 and (_is_day(b, a) or _is_day(a, b))) or (
        len(first) == 2 and len(third) <= 2 and _is_day(b, c)
    )


def _eight_are_a_date(digits: str) -> bool:
    front, back = int(digits[:4]), int(digits[4:])
    return (_is_year(front) and _is_day(int(digits[4:6]), int(digits[6:]))) or (
        _is_year(back)
        and (
            _is_day(int(digits[2:4]), int(digits[:2])) or _is_day(int(digits[:2]), int(digits[2:4]))
        )
    )


def _is_year(year: int) -> bool:
    return 1900 <= year <= 2099


def _is_day(month: int, day: int) -> bool:
    return 1 <= month <= 12 and 1 <= day <= 31
