"""A case's pictures as DICOM: the archived bytes, no name, and what somebody else's checker says."""

from __future__ import annotations

import hashlib
import io
import subprocess
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import generate_frames
from pydicom.uid import VLMicroscopicImageStorage

from dashboard.exchange.dicom import NoDicomError, field_dicom
from hemowire.cli import main
from tests.dashboard.exchange.outside_tools import find_tool
from tests.dashboard.exchange.report_cases import answer, facts_of, file
from tests.dashboard.review.desk_for_tests import Lab
from wire_protocol.archive_layout import blob_key


def test_a_jpeg_goes_into_dicom_byte_by_byte_and_names_nobody(lab: Lab) -> None:
    (sha256,) = file(lab, 1)
    answer(lab, None)
    facts = facts_of(lab)
    image = dcmread(io.BytesIO(field_dicom(facts, facts.pictures[0])))
    (frame,) = generate_frames(image.PixelData, number_of_frames=1)
    size = len(facts.pictures[0].data or b"")
    assert hashlib.sha256(frame[:size]).hexdigest() == sha256
    assert image.SOPClassUID == VLMicroscopicImageStorage
    assert (image.Rows, image.Columns, image.PatientName) == (60, 80, "")
    assert "Research use only" in image.ImageComments
    again = dcmread(io.BytesIO(field_dicom(facts, facts.pictures[0])))
    assert again.SOPInstanceUID == image.SOPInstanceUID


@pytest.mark.parametrize("kind", ["plain.png", "progressive.jpg", "lossy.webp"])
def test_what_is_no_baseline_jpeg_goes_in_as_plain_pixels(lab: Lab, kind: str) -> None:
    file(lab, 1)
    facts = facts_of(lab)
    pixels = np.random.default_rng(5).integers(0, 255, (31, 41, 3), np.uint8)
    options = {
        "progressive.jpg": [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
        "lossy.webp": [cv2.IMWRITE_WEBP_QUALITY, 80],
    }.get(kind, [])
    data = cv2.imencode(Path(kind).suffix, pixels, options)[1].tobytes()
    image = dcmread(io.BytesIO(field_dicom(facts, replace(facts.pictures[0], data=data))))
    shown = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    assert image.PhotometricInterpretation == "RGB"
    assert image.LossyImageCompression == ("00" if kind == "plain.png" else "01")
    assert np.array_equal(image.pixel_array, shown[:, :, ::-1])


def test_a_picture_that_cannot_be_decoded_is_refused(lab: Lab) -> None:
    file(lab, 1)
    facts = facts_of(lab)
    with pytest.raises(NoDicomError, match="cannot be decoded"):
        field_dicom(facts, replace(facts.pictures[0], data=b"\xff\xd8 no picture"))


def test_the_command_writes_a_file_for_each_picture_that_there_is(
    lab: Lab, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    digests = file(lab, 1, 2, 3)
    (lab.folder / "archive" / blob_key(digests[1])).unlink()
    out = lab.folder / "images"
    command = ["export", "--case", "C7F3K2", "--format", "dicom", "--config", config]
    assert main([*command, "--out", str(out)]) == 0
    assert "does not hold this picture" in capsys.readouterr().out
    assert len(list(out.glob("*.dcm"))) == 2


def test_dciodvfy_finds_no_error_and_finds_a_missing_part(lab: Lab) -> None:
    checker = find_tool("dciodvfy")
    if checker is None:
        pytest.skip("needs dciodvfy: python -m tests.dashboard.exchange.outside_tools, or apt-get")
    file(lab, 1)
    facts = facts_of(lab)
    path = lab.folder / "field.dcm"

    def errors() -> list[str]:
        done = subprocess.run(
            [checker.program, str(path)],
            capture_output=True,
            check=False,
            text=True,
            env=checker.whole_environ,
        )
        said = (done.stdout + done.stderr).splitlines()
        assert "VLMicroscopicImage" in said
        return [line for line in said if line.startswith("Error")]

    path.write_bytes(field_dicom(facts, facts.pictures[0]))
    assert errors() == []
    broken = dcmread(path)
    del broken.AcquisitionContextSequence
    broken.save_as(path)
    assert errors()
