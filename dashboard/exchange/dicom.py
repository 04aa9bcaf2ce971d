"""A field's picture as a DICOM VL Microscopic Image; pure. It names no patient and carries no result."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Final

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, VLMicroscopicImageStorage

from dashboard.exchange.dicom_names import series_uid, sop_uid, study_uid
from dashboard.exchange.facts import ReportFacts, ReportPicture
from dashboard.exchange.report_pictures import Pixels, decode
from wire_protocol.words import RESEARCH_USE_ONLY

_BASELINE: Final = 0xC0


class NoDicomError(Exception):
    """There is no picture to make an image of; the message says why."""


def field_dicom(facts: ReportFacts, picture: ReportPicture) -> bytes:
    """The file. A baseline JPEG goes in as it is, byte by byte; what else there is as plain RGB."""
    if picture.data is None:
        raise NoDicomError(f"field {picture.image_id}: {picture.missing}")
    image = _described(facts, picture)
    is_jpeg = picture.data.startswith(b"\xff\xd8")
    pixels = _pixels(picture)
    image.Rows, image.Columns = pixels.shape[:2]
    image.SamplesPerPixel, image.PlanarConfiguration = 3, 0
    image.BitsAllocated = image.BitsStored = 8
    image.HighBit, image.PixelRepresentation = 7, 0
    is_lossy = is_jpeg or (picture.data[8:12] == b"WEBP" and b"VP8L" not in picture.data[:64])
    image.LossyImageCompression = "01" if is_lossy else "00"
    if is_jpeg:
        image.LossyImageCompressionMethod = "ISO_10918_1"
    if is_lossy:
        image.LossyImageCompressionRatio = f"{pixels.size / len(picture.data):.4g}"
    if is_jpeg and _is_baseline(picture.data):
        image.PhotometricInterpretation = "YBR_FULL_422"
        image.PixelData = encapsulate([picture.data])
        image["PixelData"].VR = "OB"
        syntax = JPEGBaseline8Bit
    else:
        image.PhotometricInterpretation = "RGB"
        data = pixels.tobytes()
        image.PixelData = data + b"\0" * (len(data) % 2)
        image["PixelData"].VR = "OB"
        syntax = ExplicitVRLittleEndian
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = syntax
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    out = io.BytesIO()
    image.save_as(out, enforce_file_format=True)
    return out.getvalue()


def _described(facts: ReportFacts, picture: ReportPicture) -> Dataset:
    at = datetime.fromisoformat(picture.captured_at).astimezone(UTC)
    image = Dataset()
    image.SpecificCharacterSet = "ISO_IR 192"
    image.SOPClassUID = VLMicroscopicImageStorage
    image.SOPInstanceUID = sop_uid(facts, picture.image_id)
    image.StudyInstanceUID, image.SeriesInstanceUID = study_uid(facts), series_uid(facts)
    # Whose it is stays with the laboratory: the case id alone is told.
    image.PatientName, image.PatientBirthDate, image.PatientSex = "", "", ""
    image.PatientID = facts.key.text[:64]
    image.StudyDate = image.ContentDate = image.AcquisitionDate = at.strftime("%Y%m%d")
    image.StudyTime = image.ContentTime = image.AcquisitionTime = at.strftime("%H%M%S.%f")
    image.TimezoneOffsetFromUTC = "+0000"
    image.StudyID = facts.key.case_id[:16]
    image.AccessionNumber, image.ReferringPhysicianName, image.Laterality = "", "", ""
    image.Modality, image.SeriesNumber, image.InstanceNumber = (
        "GM",
        1,
        facts.number_of(picture.image_id),
    )
    image.Manufacturer, image.StationName = "", picture.device[:16]
    image.PatientOrientation = None
    image.ImageType = ["ORIGINAL", "PRIMARY"]
    image.ImageComments = f"{RESEARCH_USE_ONLY} Archived bytes: sha256 {picture.sha256}"
    image.BurnedInAnnotation = "NO"
    image.AcquisitionContextSequence = []
    return image


def _pixels(picture: ReportPicture) -> Pixels:
    pixels = decode(picture.data or b"")
    if pixels is None:
        raise NoDicomError(f"field {picture.image_id}: the picture cannot be decoded")
    return np.ascontiguousarray(pixels[:, :, ::-1], dtype=np.uint8)


def _is_baseline(data: bytes) -> bool:
    """Whether it is a baseline JPEG in colour: no other kind has this transfer syntax."""
    at = 2
    while at + 10 < len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return marker == _BASELINE and data[at + 9] == 3
        at += 2 + length
    return False
