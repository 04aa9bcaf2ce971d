"""What may be a case's id: nothing that is a date, a person's number or, as far as a machine can tell, a name."""

from __future__ import annotations

import datetime as dt
import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge_device.cases.case_ids import CaseIdError, case_of_folder, check_case_id
from edge_device.cases.settings import CaseSettings
from wire_protocol.ids import CASE_PATTERN

LAB = CaseSettings(pattern="^S[0-9]{6}$")


@pytest.mark.parametrize(
    "text",
    [
        "C7F3K2",
        "S260421",
        "HEM-2026-0042",
        "2026-0042",
        "SLIDE-001",
        "DEMO-1",
        "A-1-2-3",
        "S-12-34-56",
        "20261399",
        "12345670",
        "X-99-99-99",
    ],
)
def test_a_slide_s_number_is_taken(text: str) -> None:
    assert check_case_id(f" {text}\n") == text


@pytest.mark.parametrize(
    "text",
    [
        "1961-04-03",
        "03-04-1961",
        "4-13-1961",
        "04-03-61",
        "61-04-03",
        "S-1961-04-03",
        "19610403",
        "03041961",
        "S19610403",
        "3-APR-1961",
        "03APR61",
    ],
)
def test_a_date_is_refused_even_where_the_lab_s_pattern_would_take_it(text: str) -> None:
    for settings in (None, CaseSettings(pattern=".*")):
        with pytest.raises(CaseIdError, match="looks like a date"):
            check_case_id(text, settings)


@given(st.dates(dt.date(1900, 1, 1), dt.date(2099, 12, 31)), st.sampled_from(["", "S", "S-"]))
def test_no_date_of_two_centuries_passes_in_a_usual_form(day: dt.date, prefix: str) -> None:
    for form in ("%Y-%m-%d", "%d-%m-%Y", "%m-%d-%Y", "%d-%m-%y", "%Y%m%d", "%d%m%Y", "%m%d%Y"):
        with pytest.raises(CaseIdError):
            check_case_id(prefix + day.strftime(form))


@pytest.mark.parametrize(
    "text",
    [
        "123-45-6789",
        "030461-1234",
        "0304611234",
        "03046112345",
        "610403-1234",
        "030461A123B",
        "12345678Z",
        "X1234567L",
        "RSSMRA61D03H501X",
    ],
)
def test_a_person_s_number_is_refused_always(text: str) -> None:
    for settings in (None, CaseSettings(pattern=".*")):
        with pytest.raises(CaseIdError, match="person's number"):
            check_case_id(text, settings)


@pytest.mark.parametrize("text", ["7561234567897", "9434765919", "S123456789", "4006381333931"])
def test_a_long_number_needs_the_lab_s_word(text: str) -> None:
    with pytest.raises(CaseIdError, match="9 or more digits"):
        check_case_id(text)
    assert check_case_id(text, CaseSettings(pattern="S?[0-9]{9,13}")) == text


@pytest.mark.parametrize("text", ["MEIER-2", "MEIER2", "2-MEIER", "ANNA-61", "SLIDE-MEIER-1"])
def test_a_word_that_may_be_a_name_needs_the_lab_s_word(text: str) -> None:
    with pytest.raises(CaseIdError, match="4 or more letters"):
        check_case_id(text)
    with pytest.raises(CaseIdError, match="ids of this lab"):
        check_case_id(text, LAB)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A1",
        "MEIER",
        "Anna Meier",
        "c7f3k2",
        "C7F3K2/../..",
        "C7F3K2\x00",
        "-C7F3",
        "C7F3K2Ä",
        "A1234567890-BCDEF",
        "unfiled",
        "Unfiled",
    ],
)
def test_what_has_not_the_form_is_refused(text: str) -> None:
    with pytest.raises(CaseIdError):
        check_case_id(text)


def test_the_lab_s_pattern_is_for_the_whole_id() -> None:
    assert check_case_id("S204711", LAB) == "S204711"
    for text in ("S2047112", "XS204711", "C7F3K2"):
        with pytest.raises(CaseIdError, match=re.escape("^S[0-9]{6}$")):
            check_case_id(text, LAB)


def test_a_pattern_that_is_none_is_a_wrong_setting() -> None:
    with pytest.raises(ValidationError, match="not a regular expression"):
        CaseSettings(pattern="S[0-9")


@given(st.text(max_size=30) | st.from_regex(CASE_PATTERN, fullmatch=True))
def test_whatever_is_taken_fits_the_wire(text: str) -> None:
    with suppress(CaseIdError):
        assert re.fullmatch(CASE_PATTERN, check_case_id(text))


@given(st.from_regex(r"[A-Z0-9-]{4,20}|[A-Za-z ]{7,20}", fullmatch=True))
def test_no_refusal_repeats_the_text(text: str) -> None:
    try:
        check_case_id(text)
    except CaseIdError as error:
        assert text not in str(error)


@pytest.mark.parametrize(
    ("folder", "case_id"),
    [
        ("", None),
        ("C7F3K2", "C7F3K2"),
        ("2026/C7F3K2", "C7F3K2"),
        ("C7F3K2/objective-100", "C7F3K2"),
        ("C7F3K2/S-0002", "S-0002"),
        ("ward\\C7F3K2", "C7F3K2"),
        ("2026-11-21", None),
        ("Anna Meier", None),
        ("MEIER-2", None),
        ("C7F3K2/2026-11-21", "C7F3K2"),
        ("../..", None),
    ],
)
def test_a_folder_s_last_part_that_is_an_id_names_the_case(
    folder: str, case_id: str | None
) -> None:
    assert case_of_folder(folder) == case_id


def test_a_folder_s_case_keeps_to_the_lab_s_pattern() -> None:
    assert case_of_folder("S204711/C7F3K2", LAB) == "S204711"
