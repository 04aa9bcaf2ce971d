"""The table of browsers that wish to be notified, typed; it holds no rule."""

from __future__ import annotations

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from dashboard.accounts.tables import AccountRow
from dashboard.schema import Base


class SubscriptionRow(Base):
    """A browser of an account: where its push service takes messages, and the keys to seal them."""

    __tablename__ = "push_subscription"

    #: sha256 of the endpoint: an address may be long, and it is a secret.
    endpoint_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    account: Mapped[str] = mapped_column(ForeignKey(AccountRow.name), index=True)
    endpoint: Mapped[str] = mapped_column(Text)
    p256dh: Mapped[str] = mapped_column(String(128))
    auth: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[str] = mapped_column(String(35))
