"""Files case C7F3K2 with real pictures, answers it, and reads its reports back."""

from __future__ import annotations

import copy
import hashlib
import re
from typing import Any

import cv2
import numpy as np

from dashboard.blobs import BlobArchive
from dashboard.engine import open_engine
from dashboard.exchange.codes import FhirVersion
from dashboard.exchange.facts import ReportFacts
from dashboard.exchange.fhir import fhir_bundle
from dashboard.exchange.fhir_documents import Enclosed
from dashboard.exchange.pdf import case_pdf
from dashboard.exchange.read_facts import find_key, read_facts
from dashboard.exchange.report_pictures import ReportMap, small_jpeg
from dashboard.page.models import FigureView, ModelView
from dashboard.reports import report_of_diagnosis
from dashboard.review.machine import Opinion
from dashboard.store import Filed, RecordsStore
from tests.dashboard.reports_for_tests import AT, diagnosis
from tests.dashboard.review.desk_for_tests import ANNA, CLASSES, Lab
from wire_protocol.archive_layout import blob_key
from wire_protocol.case_messages import Finding

BOTH = (FhirVersion.R5, FhirVersion.R4B)
CARD = ModelView(
    name="leukemia5-test@3f9c2a17/openvino-bf16",
    is_known=True,
    architecture="densenet121",
    training_data="synthetic",
    limits_of_use=("Drawn cells only.",),
    figures=(FigureView(name="slide sensitivity", words="0.97 (0.94 to 0.99)"),),
)


def file(lab: Lab, *numbers: int, data: bytes = b"", **changes: Any) -> list[str]:
    """Records real pictures as fields of case C7F3K2; their digests."""
    store, digests, given = RecordsStore(lab.url, AT), [], data
    for number in numbers:
        pixels = np.random.default_rng(number).integers(0, 255, (60, 80, 3), np.uint8)
        data = given or cv2.imencode(".jpg", pixels)[1].tobytes()
        digests.append(hashlib.sha256(data).hexdigest())
        path = lab.folder / "archive" / blob_key(digests[-1])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        told = CLASSES | {"image_sha256": digests[-1]} | changes
        store.commit(
            [Filed(report_of_diagnosis(diagnosis(number, **told), "lab", "scope-1"), True)], AT
        )
    store.close()
    return digests


def answer(lab: Lab, finding: Finding | None, *, by: Any = ANNA, withdraw: bool = False) -> None:
    desk = lab.desk()
    found = desk.case("lab.C7F3K2", by)
    version = found.summary.version
    if withdraw:
        desk.enter_in_error("lab.C7F3K2", "Mrs Smith", by=by, expected_version=version)
    else:
        deed = desk.amend if found.review.signatures else desk.sign
        opinion = Opinion(finding, comment="Mrs Smith")
        deed("lab.C7F3K2", opinion, by=by, expected_version=version)
    lab.wait(11)
    desk.settle()
    desk.close()


def facts_of(lab: Lab) -> ReportFacts:
    archive, engine = BlobArchive(str(lab.folder / "archive")), open_engine(lab.url)
    with engine.begin() as connection:
        found = read_facts(connection, find_key(connection, "C7F3K2"), archive, AT)
    engine.dispose()
    archive.close()
    return found


def whole_bundle(facts: ReportFacts, version: FhirVersion) -> dict[str, Any]:
    """With everything that can be enclosed; the map is only a picture."""
    jpeg = small_jpeg(facts.pictures[0].data or b"")
    assert jpeg is not None
    drawn = ReportMap(facts.pictures[0].image_id, "AML", jpeg)
    return fhir_bundle(facts, CARD, version, Enclosed(drawn, case_pdf(facts, CARD, drawn)))


def resources(bundle: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    found = [entry["resource"] for entry in bundle["entry"]]
    return [one for one in found if one["resourceType"] == kind]


def spoil(bundle: dict[str, Any], kind: str, **changes: Any) -> dict[str, Any]:
    spoilt = copy.deepcopy(bundle)
    resources(spoilt, kind)[0].update(changes)
    return spoilt


def pdf_words(data: bytes) -> str:
    """The words of a page in the order they were written."""
    found = re.findall(rb"\(((?:\\.|[^\\()])*)\) Tj", data)
    plain = [re.sub(rb"\\([()\\])", rb"\1", one) for one in found]
    return " ".join(one.decode("cp1252") for one in plain)
