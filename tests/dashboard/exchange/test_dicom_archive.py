"""Pictures in a DICOM archive by a real association, read back: Orthanc where it is installed, pynetdicom's always."""

from __future__ import annotations

import hashlib
import io
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.encaps import generate_frames
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, VLMicroscopicImageStorage
from pynetdicom import AE, evt

from dashboard.audit.book import read_book, verify
from dashboard.engine import open_engine
from dashboard.exchange.dicom import field_dicom
from dashboard.exchange.dicom_archive import parse_archive
from hemowire.cli import main
from tests.dashboard.exchange.orthanc import orthanc
from tests.dashboard.exchange.report_cases import answer, facts_of, file
from tests.dashboard.review.desk_for_tests import KEY, Lab


def send(config: str, to: str) -> int:
    command = ["export", "--case", "C7F3K2", "--format", "dicom", "--to", to]
    return main([*command, "--config", config])


def file_both_kinds(lab: Lab) -> list[str]:
    """A JPEG, which travels byte by byte, and a PNG, which travels as pixels."""
    pixels = np.random.default_rng(9).integers(0, 255, (44, 62, 3), np.uint8)
    return file(lab, 1) + file(lab, 2, data=cv2.imencode(".png", pixels)[1].tobytes())


def check_read_back(lab: Lab, found: Sequence[Dataset], digests: list[str]) -> None:
    """Header and pixels are what was sent, and the JPEG's bytes are the archived ones."""
    facts = facts_of(lab)
    sent = [dcmread(io.BytesIO(field_dicom(facts, one))) for one in facts.pictures]
    by_uid = {str(one.SOPInstanceUID): one for one in found}
    assert set(by_uid) == {str(one.SOPInstanceUID) for one in sent}
    for mine in sent:
        theirs = by_uid[str(mine.SOPInstanceUID)]
        assert [str(one) for one in theirs if one.tag != 0x7FE00010] == [
            str(one) for one in mine if one.tag != 0x7FE00010
        ]
        assert np.array_equal(theirs.pixel_array, mine.pixel_array)
        assert theirs.PatientName == ""
    (jpeg,) = [one for one in found if one.file_meta.TransferSyntaxUID == JPEGBaseline8Bit]
    (frame,) = generate_frames(jpeg.PixelData, number_of_frames=1)
    size = len(next(one.data for one in facts.pictures if one.sha256 == digests[0]) or b"")
    assert hashlib.sha256(frame[:size]).hexdigest() == digests[0]


@pytest.mark.timeout(180)
def test_orthanc_holds_what_was_sent_once_and_gives_it_back_unchanged(
    lab: Lab, config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digests = file_both_kinds(lab)
    answer(lab, None)
    with orthanc(tmp_path) as archive:
        to = f"dicom://ORTHANC@127.0.0.1:{archive.dicom_port}"
        assert send(config, to) == 0
        assert f"{to} has 2 images of case lab.C7F3K2. Final" in capsys.readouterr().out
        assert send(config, to) == 0  # twice is once
        found = [
            dcmread(io.BytesIO(archive.read(f"/instances/{one}/file")))
            for one in archive.ask("/instances")
        ]
        check_read_back(lab, found, digests)
        (study,) = archive.ask("/studies?expand")
        assert study["PatientMainDicomTags"]["PatientID"] == "lab.C7F3K2"
        assert len(archive.ask("/series")) == 1
        (shown, _) = archive.ask("/instances")
        png = archive.read(f"/instances/{shown}/preview")  # it can decode them, too
        assert cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR) is not None


class Archive:
    """pynetdicom's storage service over TCP, which keeps what comes or answers with a status."""

    def __init__(self, *, syntaxes: list[str], title: str = "", answers: list[int]) -> None:
        self.kept: dict[str, bytes] = {}
        self._answers = answers
        ae = AE(ae_title=title or "ARCHIVE")
        ae.require_called_aet = bool(title)
        ae.add_supported_context(VLMicroscopicImageStorage, syntaxes)
        server: Any = ae.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, self._keep)]
        )
        self._server = server
        self.url = f"dicom://ARCHIVE@127.0.0.1:{self._server.server_address[1]}"

    def _keep(self, event: Any) -> int:
        status = self._answers.pop(0) if self._answers else 0
        if status == 0:
            data = event.encoded_dataset()
            self.kept[str(event.request.AffectedSOPInstanceUID)] = data
        return status

    def read(self) -> Sequence[Dataset]:
        return [dcmread(io.BytesIO(data)) for data in self.kept.values()]

    def close(self) -> None:
        self._server.shutdown()


@pytest.fixture
def archives() -> Iterator[Any]:
    made: list[Archive] = []

    def make(
        syntaxes: list[str] | None = None, title: str = "", answers: list[int] | None = None
    ) -> Archive:
        both = [str(JPEGBaseline8Bit), str(ExplicitVRLittleEndian)]
        made.append(Archive(syntaxes=syntaxes or both, title=title, answers=answers or []))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_another_archive_gets_the_same_images_and_the_book_says_where_they_went(
    lab: Lab, config: str, archives: Any
) -> None:
    digests = file_both_kinds(lab)
    archive = archives()
    assert send(config, archive.url) == 0
    assert send(config, archive.url) == 0
    check_read_back(lab, archive.read(), digests)
    assert all(one.has_dicom for one in facts_of(lab).pictures)
    engine = open_engine(lab.url, read_only=True)
    with engine.begin() as connection:
        book = [one.entry for one in read_book(connection) if one.entry.action == "export"]
    engine.dispose()
    assert [archive.url in one.detail for one in book] == [True, True]
    assert verify(lab.url, KEY)[1] is None


def test_an_archive_that_refuses_is_told_in_words_and_so_is_what_it_has(
    lab: Lab, config: str, archives: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    file_both_kinds(lab)
    assert send(config, archives(answers=[0, 0xA700]).url) == 2
    error = capsys.readouterr().err
    assert "it is out of room (status A700). 1 of 2 images are there" in error
    assert [one.has_dicom for one in facts_of(lab).pictures] == [True, False]
    assert send(config, archives(syntaxes=[str(ExplicitVRLittleEndian)]).url) == 2
    assert "does not take this kind of image" in capsys.readouterr().err
    assert send(config, archives(title="SOMEBODY").url) == 2
    assert "it rejects us: called ae title not recognised" in capsys.readouterr().err


def test_no_archive_at_all_is_told_in_time(
    lab: Lab, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file(lab, 1)
    with socket.socket() as nobody:  # bound, and listening to nothing
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        assert send(config, f"dicom://ARCHIVE@127.0.0.1:{port}") == 2
    assert "Connection refused" in capsys.readouterr().err


@pytest.mark.parametrize(
    "url", ["dicom://127.0.0.1:4242", "dicom://A@127.0.0.1", "dicom://A B@h:1", "dicom://A@h:1/x",
            "dicom://ABCDEFGHIJKLMNOPQ@h:1", "dicom://A:secret@h:1", "dicom://A@h:99999"],
)  # fmt: skip
def test_an_address_that_cannot_be_an_archive_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="dicom"):
        parse_archive(url)
