"""The tables of accounts, sessions, one-time links and failed sign-ins, typed; secrets are kept as hashes only."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, ForeignKey, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from dashboard.schema import Base

_RowId = BigInteger().with_variant(Integer(), "sqlite")


class AccountRow(Base):
    """Somebody who may sign in. A removed account keeps its row: what it did still has a name."""

    __tablename__ = "account"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    role: Mapped[str] = mapped_column(String(16))
    #: None: every site.
    site: Mapped[str | None] = mapped_column(String(64))
    #: argon2id with its parameters; "" for an account that signs in by links only.
    password_hash: Mapped[str] = mapped_column(Text)
    reads_before_ai: Mapped[bool] = mapped_column(Boolean)
    created_at: Mapped[str] = mapped_column(String(35))
    #: The account ends by itself then; None: it does not.
    ends_ms: Mapped[int | None] = mapped_column(BigInteger)
    removed_at: Mapped[str] = mapped_column(String(35), default="")


class SessionRow(Base):
    """A signed-in browser, by the sha256 of its token."""

    __tablename__ = "session"

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    account: Mapped[str] = mapped_column(ForeignKey("account.name"), index=True)
    csrf: Mapped[str] = mapped_column(String(64))
    address: Mapped[str] = mapped_column(String(64))
    created_ms: Mapped[int] = mapped_column(BigInteger)
    ends_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    used_ms: Mapped[int] = mapped_column(BigInteger)


class LinkRow(Base):
    """A link that lets in once, by the sha256 of its token."""

    __tablename__ = "sign_in_link"

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    account: Mapped[str] = mapped_column(ForeignKey("account.name"))
    ends_ms: Mapped[int] = mapped_column(BigInteger)
    used_ms: Mapped[int | None] = mapped_column(BigInteger)


class FailureRow(Base):
    """A sign-in that failed, counted against an account and an address."""

    __tablename__ = "sign_in_failure"

    id: Mapped[int] = mapped_column(_RowId, primary_key=True)
    #: "account:" and a hash of what was typed as a name, or "address:192.0.2.7".
    subject: Mapped[str] = mapped_column(String(80), index=True)
    at_ms: Mapped[int] = mapped_column(BigInteger, index=True)


_ = Integer
