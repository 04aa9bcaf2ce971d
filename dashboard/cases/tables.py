"""The tables of cases and of the change feed, typed; they hold no rule.

`smear_case` has one row per case (or unfiled field): what the AI says of it, written by the records
store, and what a person said, written by the desk; `change` is the feed that pages catch up by.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from dashboard.schema import Base

_RowId = BigInteger().with_variant(Integer(), "sqlite")


class CaseRow(Base):
    """A case, its AI result and the state of its review."""

    __tablename__ = "smear_case"
    __table_args__ = (
        UniqueConstraint("site", "case_id", "image_id"),
        Index("ix_smear_case_worklist", "is_open", "rank", "first_recorded_at", "id"),
        Index("ix_smear_case_held", "held_due_ms"),
    )

    id: Mapped[int] = mapped_column(_RowId, primary_key=True)
    site: Mapped[str] = mapped_column(String(64))
    case_id: Mapped[str] = mapped_column(String(16))
    #: Of an unfiled field only, else "".
    image_id: Mapped[str] = mapped_column(String(32))

    # What the AI says: the records store writes these.
    device: Mapped[str] = mapped_column(String(64))
    fields: Mapped[int]
    retakes: Mapped[int]
    #: Fields of which only a small preview has come so far; they do not count where others do.
    previews: Mapped[int] = mapped_column(Integer, default=0)
    summed: Mapped[int]
    acute_fields: Mapped[int]
    white_cells: Mapped[int | None]
    result: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(String(64))
    urgency: Mapped[str] = mapped_column(String(32))
    urgency_rank: Mapped[int]
    text: Mapped[str] = mapped_column(Text)
    probabilities: Mapped[dict[str, float] | None] = mapped_column(JSON(none_as_null=True))
    running: Mapped[dict[str, float] | None] = mapped_column(JSON(none_as_null=True))
    p_acute: Mapped[float | None] = mapped_column(Float)
    leading_image_id: Mapped[str] = mapped_column(String(32))
    leading_sha256: Mapped[str] = mapped_column(String(64))
    bundle: Mapped[str] = mapped_column(Text)
    training_data: Mapped[str] = mapped_column(Text)
    first_captured_at: Mapped[str] = mapped_column(String(64))
    first_recorded_at: Mapped[str] = mapped_column(String(35))
    last_recorded_at: Mapped[str] = mapped_column(String(35))

    # What a person said: the desk writes these.
    review_number: Mapped[int] = mapped_column(Integer, default=0)
    review_version: Mapped[int] = mapped_column(Integer, default=0)
    review_status: Mapped[str] = mapped_column(String(16), default="draft")
    finding: Mapped[str] = mapped_column(String(32), default="")
    signed_by: Mapped[str] = mapped_column(String(32), default="")
    signed_at: Mapped[str] = mapped_column(String(35), default="")
    #: Fields and retakes that the signature saw.
    signed_fields: Mapped[int] = mapped_column(Integer, default=0)
    held_by: Mapped[str] = mapped_column(String(32), default="")
    held_due_ms: Mapped[int | None] = mapped_column(BigInteger)
    referred_to: Mapped[str | None] = mapped_column(String(32))
    #: "", "asked", "done" or "refused".
    retake: Mapped[str] = mapped_column(String(16), default="")
    #: When anybody opened it first; "" while it is unread.
    opened_at: Mapped[str] = mapped_column(String(35), default="")

    # Both keep these: whether work is left, and in which order.
    is_open: Mapped[bool] = mapped_column(Boolean)
    rank: Mapped[int]


class PreviewRow(Base):
    """A field of which only a preview has come: it goes when the image is recorded."""

    __tablename__ = "preview_field"

    image_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    site: Mapped[str] = mapped_column(String(64))
    device: Mapped[str] = mapped_column(String(64))
    case_id: Mapped[str] = mapped_column(String(16), index=True)
    outbox_id: Mapped[str] = mapped_column(String(32))
    seq: Mapped[int] = mapped_column(BigInteger)
    captured_at: Mapped[str] = mapped_column(String(64))
    recorded_at: Mapped[str] = mapped_column(String(35))
    diagnosis_id: Mapped[int] = mapped_column(ForeignKey("diagnosis.id"))


class FeedRow(Base):
    """The one row that counts the changes, so that their ids have no gaps on any database."""

    __tablename__ = "feed"

    one: Mapped[int] = mapped_column(Integer, primary_key=True)
    last_id: Mapped[int] = mapped_column(BigInteger)
    #: Changes up to here were told on the broker.
    told_id: Mapped[int] = mapped_column(BigInteger)


class ChangeRow(Base):
    """Something about a case is different since this transaction."""

    __tablename__ = "change"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(16))
    site: Mapped[str] = mapped_column(String(64))
    case_key: Mapped[str] = mapped_column(String(128))
    at: Mapped[str] = mapped_column(String(35))
