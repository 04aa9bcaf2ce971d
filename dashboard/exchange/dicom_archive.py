"""Sends DICOM images to an archive by C-STORE (`dicom://AETITLE@host:port`), says what it answered; it retries nothing.

Nothing of it is encrypted, as on most hospitals' own networks: an image holds the case id and no name.
"""

from __future__ import annotations

import io
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, VLMicroscopicImageStorage

CALLING: Final = "HEMOWIRE"
_AE_TITLE: Final = re.compile(r"[A-Za-z0-9_.-]{1,16}")
#: The archive has it, though it complains (PS3.4 B.2.3): elements changed, or not as the class says.
_WARNINGS: Final = frozenset({0xB000, 0xB006, 0xB007})
_REFUSALS: Final = {
    0xA7: "it is out of room",
    0xA9: "the image does not fit its class",
    0xC0: "it cannot understand the image",
}


class ArchiveRefusedError(Exception):
    """The archive did not take the images, in words; `stored` says how many it has."""

    def __init__(self, message: str, stored: int = 0) -> None:
        super().__init__(message)
        self.stored = stored


@dataclass(frozen=True, slots=True)
class DicomArchive:
    """Where an archive is, and how it is called there."""

    title: str
    host: str
    port: int

    @property
    def url(self) -> str:
        """As it was given."""
        return f"dicom://{self.title}@{self.host}:{self.port}"


def parse_archive(text: str) -> DicomArchive:
    """`dicom://AETITLE@host:port`; raises ValueError."""
    try:
        parts = urlsplit(text)
        title, host, port = parts.username or "", parts.hostname or "", parts.port
    except ValueError as error:
        raise ValueError(f"{text[:80]!r} is no address: {error}") from error
    is_more = parts.path.strip("/") or parts.query or parts.fragment or parts.password
    if parts.scheme != "dicom" or not host or port is None or is_more:
        raise ValueError(f"{text[:80]!r}: dicom://AETITLE@host:port is needed")
    if not _AE_TITLE.fullmatch(title):
        raise ValueError(f"{text[:80]!r}: an AE title has 1 to 16 letters, digits, '.', '_' or '-'")
    return DicomArchive(title, host, port)


def store(images: Mapping[str, bytes], archive: DicomArchive, *, timeout_s: float) -> None:
    """Sends all of them in one association; an image that is there already is there once. Raises
    ArchiveRefusedError."""
    from pynetdicom import AE

    try:  # first the network alone: it says better what is wrong than an association that is none
        socket.create_connection((archive.host, archive.port), timeout_s).close()
    except OSError as error:
        raise ArchiveRefusedError(f"{archive.url}: {error.strerror or error}") from error
    caller = AE(ae_title=CALLING)
    caller.connection_timeout = caller.acse_timeout = timeout_s
    caller.dimse_timeout = caller.network_timeout = timeout_s
    for syntax in (JPEGBaseline8Bit, ExplicitVRLittleEndian):  # a context each: archives choose
        caller.add_requested_context(VLMicroscopicImageStorage, syntax)
    association = caller.associate(archive.host, archive.port, ae_title=archive.title)
    if not association.is_established:
        raise ArchiveRefusedError(f"{archive.url}: {_why_not(association)}")
    stored = 0
    try:
        for image_id, data in images.items():
            problem = _store_one(association, data)
            if problem:
                raise ArchiveRefusedError(f"{archive.url}: field {image_id}: {problem}", stored)
            stored += 1
    finally:
        if association.is_established:
            association.release()
        caller.shutdown()


def _store_one(association: Any, data: bytes) -> str:
    """Sends one; the problem, "" where the archive has it."""
    try:
        answer = association.send_c_store(dcmread(io.BytesIO(data)))
    except ValueError:  # pynetdicom's word for a context that the archive did not accept
        return "the archive does not take this kind of image (VL Microscopic, its transfer syntax)"
    except RuntimeError:
        return "the connection was lost before it was sent"
    if "Status" not in answer:
        return "no answer in time, or the connection was lost; it may be stored or not"
    status = int(answer.Status)
    if status == 0 or status in _WARNINGS:
        return ""
    said = _REFUSALS.get(status >> 8, "it was refused")
    comment = "".join(c for c in str(answer.get("ErrorComment", ""))[:80] if c.isprintable())
    return f"{said} (status {status:04X}{': ' + comment if comment else ''})"


def _why_not(association: Any) -> str:
    if association.is_rejected:
        answer = association.acceptor.primitive
        return f"it rejects us: {answer.reason_str.lower() if answer else 'no reason told'}"
    return "no association: nobody answers there, or it broke off"
