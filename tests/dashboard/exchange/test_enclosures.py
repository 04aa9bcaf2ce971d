"""The class map, the pictures and the ImagingStudy of a report, with a packaged bundle on a simulated smear."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydicom import dcmread

from cloud_worker.models.bundle import load_bundle
from dashboard.exchange.codes import FhirVersion
from dashboard.exchange.fhir import fhir_bundle
from dashboard.exchange.fhir_checks import FhirRefusedError, check_bundle
from hemowire.cli import main
from tests.dashboard.exchange.report_cases import (
    BOTH,
    CARD,
    answer,
    facts_of,
    file,
    pdf_words,
    resources,
    spoil,
)
from tests.dashboard.page.smears import UM_PER_PX, smear
from tests.dashboard.review.desk_for_tests import Lab


def export(config: str, form: str, out: Path) -> bytes:
    command = ["export", "--case", "C7F3K2", "--format", form, "--out", str(out)]
    assert main([*command, "--config", config]) == 0
    return out.read_bytes() if out.is_file() else b""


def attachment(document: dict[str, Any], number: int) -> np.ndarray[Any, Any]:
    data = base64.b64decode(document["content"][number]["attachment"]["data"])
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return pixels


@pytest.mark.timeout(180)
def test_the_class_map_and_its_field_are_in_the_page_and_in_the_bundle(
    lab: Lab, config: str
) -> None:
    shown = smear("aml")
    model = f"{load_bundle('synthetic5-densenet121').name}/openvino-bf16"
    file(lab, 1, data=shown.jpeg, model=model, um_per_px=UM_PER_PX)
    answer(lab, None)
    page = export(config, "pdf", lab.folder / "case.pdf")
    assert "orange: what made the model say AML" in pdf_words(page)
    assert "densenet121" in pdf_words(page)
    assert page.count(b"/Subtype /Image") == 2
    bundle = json.loads(export(config, "fhir", lab.folder / "case.json"))
    field, drawn = resources(bundle, "DocumentReference")
    assert drawn["meta"]["security"][0]["code"] == "AIAST"
    assert "Class map" in drawn["description"]
    (report,) = resources(bundle, "DiagnosticReport")
    assert base64.b64decode(report["presentedForm"][0]["data"]).startswith(b"%PDF")
    assert len(report["media"]) == 2
    plain, over = attachment(field, 1), attachment(drawn, 0)
    assert plain.shape == over.shape
    # Blue, green, red: the map is orange, and most of it lies on white cells.
    more_red = over.astype(int)[..., 2] - over.astype(int)[..., 0]
    more_red -= plain.astype(int)[..., 2] - plain.astype(int)[..., 0]
    scale = plain.shape[1] / shown.width_px
    cells = np.zeros(plain.shape[:2], bool)
    for box in shown.boxes:
        x, y, wide, high = (round(one * scale) for one in box)
        cells[y : y + high, x : x + wide] = True
    strong = more_red > 60
    assert strong.any()
    blue, green, red = over[strong].mean(axis=0)
    assert red > green > blue
    assert red - blue > 60
    assert cells[strong].mean() > 3 * cells.mean()


def test_where_the_bundle_is_not_here_the_page_says_why_there_is_no_map(
    lab: Lab, config: str
) -> None:
    file(lab, 1)
    words = pdf_words(export(config, "pdf", lab.folder / "case.pdf"))
    assert "No class map: the bundle leukemia5-test@3f9c2a17 is not here." in words
    bundle = json.loads(export(config, "fhir-r4b", lab.folder / "case.json"))
    assert len(resources(bundle, "DocumentReference")) == 1


@pytest.mark.parametrize("version", BOTH)
def test_an_imaging_study_is_in_the_bundle_once_there_is_dicom_and_masks_its_subject(
    lab: Lab, config: str, version: FhirVersion
) -> None:
    file(lab, 1, 2)
    form = f"fhir-{version.value}"
    before = json.loads(export(config, form, lab.folder / "before.json"))
    assert resources(before, "ImagingStudy") == []
    export(config, "dicom", lab.folder / "images")
    bundle = json.loads(export(config, form, lab.folder / "after.json"))
    (study,) = resources(bundle, "ImagingStudy")
    images = [dcmread(path) for path in (lab.folder / "images").glob("*.dcm")]
    (series,) = study["series"]
    told = {(one["uid"], one["number"]) for one in series["instance"]}
    assert told == {(str(one.SOPInstanceUID), int(one.InstanceNumber)) for one in images}
    assert study["identifier"][0]["value"] == f"urn:oid:{images[0].StudyInstanceUID}"
    assert series["uid"] == images[0].SeriesInstanceUID
    assert study["subject"]["extension"][0]["valueCode"] == "masked"
    linked = resources(bundle, "DiagnosticReport")[0]
    (link,) = linked["study" if version is FhirVersion.R5 else "imagingStudy"]
    assert link["reference"] == f"urn:uuid:{study['id']}"


def test_an_imaging_study_that_names_somebody_is_refused(lab: Lab, config: str) -> None:
    file(lab, 1)
    export(config, "dicom", lab.folder / "images")
    bundle = fhir_bundle(facts_of(lab), CARD, FhirVersion.R5)
    check_bundle(bundle, FhirVersion.R5)
    for changes in ({"subject": {"display": "Mrs Smith"}}, {"encounter": {"display": "x"}}):
        with pytest.raises(FhirRefusedError, match="names somebody"):
            check_bundle(spoil(bundle, "ImagingStudy", **changes), FhirVersion.R5)
