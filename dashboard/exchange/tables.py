"""The tables of what left this house: reports at FHIR servers, pictures as DICOM, patients' links; no rule here."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, ForeignKey, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from dashboard.cases.tables import CaseRow
from dashboard.schema import Base


class DicomImageRow(Base):
    """A DICOM image that was made of a field; its UIDs follow from the case's report."""

    __tablename__ = "dicom_image"

    image_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    #: "file", or the archive that took it last, as it was called.
    place: Mapped[str] = mapped_column(String(400))
    made_at: Mapped[str] = mapped_column(String(35))


class FhirServerRow(Base):
    """A server that reports go to."""

    __tablename__ = "fhir_server"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    url: Mapped[str] = mapped_column(String(400), unique=True)
    #: Signatures up to this change of the feed are in `fhir_delivery`; None: none goes by itself.
    followed_change_id: Mapped[int | None] = mapped_column(BigInteger)


class FhirDeliveryRow(Base):
    """A case's report at a server: which signature it is to hold and which it holds."""

    __tablename__ = "fhir_delivery"

    server_id: Mapped[int] = mapped_column(ForeignKey(FhirServerRow.id), primary_key=True)
    smear_case_id: Mapped[int] = mapped_column(ForeignKey(CaseRow.id), primary_key=True)
    #: Number of the signature's event; 0: a draft.
    wanted: Mapped[int]
    #: None: nothing has arrived yet, as far as is known.
    sent: Mapped[int | None]
    sent_at: Mapped[str] = mapped_column(String(35), default="")
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    next_try_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    #: Somebody is sending it until then.
    leased_until_ms: Mapped[int] = mapped_column(BigInteger, default=0)
    #: Not tried again before the next signature, or before a person sends it.
    given_up: Mapped[bool] = mapped_column(Boolean, default=False)
    #: What went wrong last, in words.
    problem: Mapped[str] = mapped_column(Text, default="")
    #: The resources that the server may hold, as "Observation/id".
    resources: Mapped[list[Any]] = mapped_column(JSON, default=list)


class PatientLinkRow(Base):
    """A link to a patient's copy, by the sha256 of its token."""

    __tablename__ = "patient_link"

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    smear_case_id: Mapped[int] = mapped_column(ForeignKey(CaseRow.id))
    #: The signature that it was made for; after another one it opens nothing.
    number: Mapped[int]
    ends_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    used_ms: Mapped[int | None] = mapped_column(BigInteger)
