"""The tables of reviews, typed; rows only ever come, no row is changed or removed."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from dashboard.schema import Base

_RowId = BigInteger().with_variant(Integer(), "sqlite")


class ReviewEventRow(Base):
    """One event of a case's review. Two people who act at once cannot both have a `number`."""

    __tablename__ = "review_event"
    __table_args__ = (UniqueConstraint("smear_case_id", "number"),)

    id: Mapped[int] = mapped_column(_RowId, primary_key=True)
    smear_case_id: Mapped[int] = mapped_column(ForeignKey("smear_case.id"))
    number: Mapped[int]
    kind: Mapped[str] = mapped_column(String(16))
    by: Mapped[str] = mapped_column(String(32))
    at: Mapped[str] = mapped_column(String(35))
    #: The change of the feed that told of it.
    change_id: Mapped[int] = mapped_column(BigInteger, index=True)
    body: Mapped[str] = mapped_column(Text)


class ReadingRow(Base):
    """That an account opened a case, and since when it has known what the AI says of it."""

    __tablename__ = "reading"

    smear_case_id: Mapped[int] = mapped_column(ForeignKey("smear_case.id"), primary_key=True)
    account: Mapped[str] = mapped_column(String(32), primary_key=True)
    opened_at: Mapped[str] = mapped_column(String(35))
    #: "" while the AI's answer was kept back.
    ai_seen_at: Mapped[str] = mapped_column(String(35))
