"""The tables of the records store, typed; it holds no rule, those are in `identity`.

`image` has one row per image and its one outcome; `diagnosis` every report about it (the one shown
and the alternatives, previews, refusals and rejections alike); `set_aside` what contradicts or
lacks its blob; `refile` every change of case (the present one stands in `image`); `outbox` and
`device` what the devices say of themselves, for reconcile. The tables of cases, reviews, accounts
and the audit book are in the rooms of those names (`tables` of each) and made with these.
Foreign keys are checked; times are RFC 3339 UTC text for display.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
    false,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

#: Raised when a column changes its meaning or comes to a table; `migration` brings an older store up
#: to it, a newer one is refused by name.
SCHEMA_VERSION = 3

#: SQLite fills an INTEGER PRIMARY KEY by itself, a BIGINT one it does not.
_RowId = BigInteger().with_variant(Integer(), "sqlite")


class Base(DeclarativeBase):
    """All tables of the store."""


class StoreRow(Base):
    """The one row that says which store this is; `store_id` changes after a restore."""

    __tablename__ = "store"

    one: Mapped[int] = mapped_column(Integer, primary_key=True)
    store_id: Mapped[str] = mapped_column(String(32))
    schema_version: Mapped[int]
    created_at: Mapped[str] = mapped_column(String(35))
    renewed_at: Mapped[str] = mapped_column(String(35))


class ImageRow(Base):
    """An image and its outcome. `shown_id` is the report that people see: the first that ended it."""

    __tablename__ = "image"
    __table_args__ = (
        UniqueConstraint("device", "image_id"),
        UniqueConstraint("outbox_id", "seq"),
        UniqueConstraint("image_id"),
    )

    id: Mapped[int] = mapped_column(_RowId, primary_key=True)
    site: Mapped[str] = mapped_column(String(64))
    device: Mapped[str] = mapped_column(String(64))
    image_id: Mapped[str] = mapped_column(String(32))
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    outbox_id: Mapped[str] = mapped_column(String(32))
    seq: Mapped[int] = mapped_column(BigInteger)
    outcome: Mapped[str] = mapped_column(String(16))
    has_blob: Mapped[bool] = mapped_column(Boolean)
    case_id: Mapped[str] = mapped_column(String(16), index=True)
    captured_at: Mapped[str] = mapped_column(String(64))
    recorded_at: Mapped[str] = mapped_column(String(35))
    shown_id: Mapped[int] = mapped_column(ForeignKey("diagnosis.id"))


class DiagnosisRow(Base):
    """One report, unique on (image_id, sha256 of the bytes, bundle, mode)."""

    __tablename__ = "diagnosis"
    __table_args__ = (
        UniqueConstraint("image_id", "sha256", "bundle", "mode"),
        Index("ix_diagnosis_recorded", "recorded_at"),
    )

    id: Mapped[int] = mapped_column(_RowId, primary_key=True)
    image_id: Mapped[str] = mapped_column(String(32))
    sha256: Mapped[str] = mapped_column(String(64))
    bundle: Mapped[str] = mapped_column(Text)
    mode: Mapped[str] = mapped_column(String(16))
    engine: Mapped[str] = mapped_column(Text)
    result: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(String(64))
    urgency: Mapped[str] = mapped_column(String(32))
    urgency_rank: Mapped[int]
    text: Mapped[str] = mapped_column(Text)
    #: The device's gate would have rejected the image; the operator's reason where there was one.
    gate_override: Mapped[bool] = mapped_column(Boolean, server_default=false())
    override_reason: Mapped[str] = mapped_column(String(32), server_default="")
    probabilities: Mapped[dict[str, float | None]] = mapped_column(JSON)
    training_data: Mapped[str] = mapped_column(Text)
    worker: Mapped[str] = mapped_column(String(64))
    attempt: Mapped[str] = mapped_column(Text)
    operator: Mapped[str] = mapped_column(Text)
    recorded_at: Mapped[str] = mapped_column(String(35))
    body: Mapped[str] = mapped_column(Text)


class SetAsideRow(Base):
    """A report that was not recorded: it contradicts an image row, or its blob is missing."""

    __tablename__ = "set_aside"
    __table_args__ = (
        UniqueConstraint("verdict", "device", "image_id", "sha256", "outbox_id", "seq"),
    )

    id: Mapped[int] = mapped_column(_RowId, primary_key=True)
    verdict: Mapped[str] = mapped_column(String(32))
    site: Mapped[str] = mapped_column(String(64))
    device: Mapped[str] = mapped_column(String(64))
    image_id: Mapped[str] = mapped_column(String(32))
    sha256: Mapped[str] = mapped_column(String(64))
    outbox_id: Mapped[str] = mapped_column(String(32))
    seq: Mapped[int] = mapped_column(BigInteger)
    times: Mapped[int]
    first_at: Mapped[str] = mapped_column(String(35))
    last_at: Mapped[str] = mapped_column(String(35))
    body: Mapped[str] = mapped_column(Text)


class RefileRow(Base):
    """An image was filed under another case: who, when, from where and to where. Rows only come."""

    __tablename__ = "refile"
    __table_args__ = (UniqueConstraint("refile_id"),)

    id: Mapped[int] = mapped_column(_RowId, primary_key=True)
    refile_id: Mapped[str] = mapped_column(String(32))
    site: Mapped[str] = mapped_column(String(64))
    device: Mapped[str] = mapped_column(String(64))
    image_id: Mapped[str] = mapped_column(String(32), index=True)
    outbox_id: Mapped[str] = mapped_column(String(32))
    number: Mapped[int]
    from_case: Mapped[str] = mapped_column(String(16))
    to_case: Mapped[str] = mapped_column(String(16))
    operator: Mapped[str] = mapped_column(String(64))
    refiled_at: Mapped[str] = mapped_column(String(64))
    received_at: Mapped[str] = mapped_column(String(35))


class OutboxRow(Base):
    """The last that a device said of an outbox; `highest_next_seq` never goes back."""

    __tablename__ = "outbox"

    outbox_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    site: Mapped[str] = mapped_column(String(64))
    device: Mapped[str] = mapped_column(String(64))
    next_seq: Mapped[int] = mapped_column(BigInteger)
    highest_next_seq: Mapped[int] = mapped_column(BigInteger)
    oldest_unrecorded_seq: Mapped[int | None] = mapped_column(BigInteger)
    counts: Mapped[dict[str, int]] = mapped_column(JSON)
    reported_at: Mapped[str] = mapped_column(String(35))


class DeviceRow(Base):
    """Whether a device was there when it was last heard of."""

    __tablename__ = "device"

    site: Mapped[str] = mapped_column(String(64), primary_key=True)
    device: Mapped[str] = mapped_column(String(64), primary_key=True)
    online: Mapped[bool] = mapped_column(Boolean)
    reason: Mapped[str] = mapped_column(Text)
    changed_at: Mapped[str] = mapped_column(String(35))
