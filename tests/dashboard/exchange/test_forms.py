"""One case as a page and as a table, and what no form may hold."""

from __future__ import annotations

import csv
import io
import re

from dashboard.exchange.codes import FhirVersion
from dashboard.exchange.fhir import fhir_bundle, fhir_json
from dashboard.exchange.pdf import case_pdf
from dashboard.exchange.table import case_csv
from dashboard.reports import report_of_diagnosis
from dashboard.store import Filed, RecordsStore
from tests.dashboard.exchange.report_cases import (
    BOTH,
    CARD,
    answer,
    facts_of,
    file,
    pdf_words,
    resources,
)
from tests.dashboard.reports_for_tests import AT, digest, refusal
from tests.dashboard.review.desk_for_tests import BERT, Lab
from wire_protocol.archive_layout import blob_key
from wire_protocol.case_messages import Finding
from wire_protocol.words import RESEARCH_USE_ONLY

FORBIDDEN = re.compile(r"healthy|diagnosed|\bpositive\b|\bnegative\b|100 %", re.IGNORECASE)


def test_no_form_holds_a_comment_or_a_word_that_must_not_be_shown(lab: Lab) -> None:
    file(lab, 1)
    for finding in (None, Finding.NO_LEUKEMIA_PATTERN):
        answer(lab, finding)
        facts = facts_of(lab)
        forms = [case_csv(facts), pdf_words(case_pdf(facts, CARD))]
        forms += [fhir_json(facts, CARD, version) for version in BOTH]
        for form in forms:
            assert "Smith" not in form
            assert not FORBIDDEN.search(form)
            assert RESEARCH_USE_ONLY in form


def test_fields_that_came_after_the_signature_change_nothing_that_was_signed(lab: Lab) -> None:
    file(lab, 1)
    answer(lab, None)
    file(lab, 2, p_all=0.998, p_aml=0.001)
    facts = facts_of(lab)
    assert (facts.fields, facts.new_fields, facts.probabilities) == (1, 1, None)
    bundle = fhir_bundle(facts, CARD, FhirVersion.R5)
    assert len(resources(bundle, "DocumentReference")) == 2
    assert [len(one["derivedFrom"]) for one in resources(bundle, "Observation")] == [1, 1]
    assert "1 of its fields came after the signature" in fhir_json(facts, CARD, FhirVersion.R5)
    assert "came after the signature" in pdf_words(case_pdf(facts, CARD))


def test_a_page_of_pdf_says_who_signed_what_and_shows_the_pictures(lab: Lab) -> None:
    digests = file(lab, 1, 2, 3)
    draft = case_pdf(facts_of(lab), CARD)
    assert "PRELIMINARY: an AI draft that nobody has signed." in pdf_words(draft)
    assert "Nobody has signed this" in pdf_words(draft)
    answer(lab, Finding.AML)
    data = case_pdf(facts_of(lab), CARD)
    words = pdf_words(data)
    assert "Signed result: AML" in words
    assert "Final: signed by anna at 2023-11-14T22:13:30" in words
    assert ">99 %" in words
    assert "Drawn cells only." in words
    assert all(digest[:24] in words for digest in digests)
    assert data.count(b"/Subtype /Image") == 3
    assert len(re.findall(rb"/Type /Page\b", data)) == 1
    assert data == case_pdf(facts_of(lab), CARD)


def test_a_picture_that_is_gone_is_said_to_be(lab: Lab) -> None:
    (sha256,) = file(lab, 1)
    (lab.folder / "archive" / blob_key(sha256)).unlink()
    facts = facts_of(lab)
    assert "archive does not hold this picture" in pdf_words(case_pdf(facts, CARD))
    assert "does not hold" in fhir_json(facts, CARD, FhirVersion.R4B)


def test_a_table_has_a_line_for_each_signature_and_the_last_counts(lab: Lab) -> None:
    file(lab, 1)
    (draft,) = csv.DictReader(io.StringIO(case_csv(facts_of(lab))))
    assert (draft["state"], draft["finding"]) == ("partial", "")
    assert "nobody has signed" in draft["words"]
    answer(lab, None)
    answer(lab, Finding.CLL, by=BERT)
    first, last = csv.DictReader(io.StringIO(case_csv(facts_of(lab))))
    assert (first["state"], first["finding"], first["signed_by"]) == ("final", "aml", "anna")
    assert (last["state"], last["finding"], last["snomed_ct"]) == ("amended", "cll", "92814006")
    assert float(last["p_aml"]) > 0.9
    assert "Superseded" in first["words"]


def test_a_case_of_which_only_a_preview_has_come_is_partial_and_says_so(lab: Lab) -> None:
    lab.file(7, status="preview", image_sha256=digest(907))
    facts = facts_of(lab)
    assert (facts.status, facts.fields, facts.pictures) == ("preview", 0, ())
    assert "Only a small preview has come" in pdf_words(case_pdf(facts, CARD))
    assert "PREVIEW" in facts.ai_text
    for version in BOTH:
        assert '"status": "partial"' in fhir_json(facts, CARD, version)


def test_a_case_of_refused_pictures_alone_says_that_it_cannot_be_said(lab: Lab) -> None:
    store = RecordsStore(lab.url, AT)
    store.commit([Filed(report_of_diagnosis(refusal(1), "lab", "scope-1"), True)], AT)
    store.close()
    facts = facts_of(lab)
    assert facts.ai_words == "cannot say (decode)"
    assert facts.probabilities is None
    words = pdf_words(case_pdf(facts, CARD))
    assert "None: the model cannot say." in words
    assert "No picture: the archive does not hold this picture." in words
    for version in BOTH:
        assert "cannot say (decode)" in fhir_json(facts, CARD, version)
