"""Which browsers wish to be notified; an address that is no known push service's is refused."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from sqlalchemy import delete, insert, select

from dashboard.accounts.tables import AccountRow
from dashboard.engine import open_engine
from dashboard.push.tables import SubscriptionRow
from service_runtime.boot import wall_time

MOST_PER_ACCOUNT = 10
_P256DH_BYTES, _AUTH_BYTES = 65, 16


class SubscriptionRefusedError(ValueError):
    """What a browser sent is no subscription, in words."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A browser of an account."""

    account: str
    site: str | None
    endpoint: str
    p256dh: str
    auth: str


class Subscriptions:
    """The table, in the records database."""

    def __init__(self, database_url: str, services: Sequence[str]) -> None:
        self._engine = open_engine(database_url)
        self._services = tuple(services)

    def close(self) -> None:
        """Closes every connection."""
        self._engine.dispose()

    def add(self, account: str, endpoint: str, p256dh: str, auth: str) -> None:
        """Keeps it, in place of an older one of the same browser; raises SubscriptionRefusedError."""
        check_endpoint(endpoint, self._services)
        _check_key("p256dh", p256dh, _P256DH_BYTES)
        _check_key("auth", auth, _AUTH_BYTES)
        with self._engine.begin() as connection:
            connection.execute(
                delete(SubscriptionRow).where(SubscriptionRow.endpoint_hash == _digest(endpoint))
            )
            held = connection.execute(
                select(SubscriptionRow.endpoint_hash)
                .where(SubscriptionRow.account == account)
                .order_by(SubscriptionRow.created_at.desc())
            ).scalars()
            for oldest in list(held)[MOST_PER_ACCOUNT - 1 :]:
                connection.execute(
                    delete(SubscriptionRow).where(SubscriptionRow.endpoint_hash == oldest)
                )
            connection.execute(
                insert(SubscriptionRow).values(
                    endpoint_hash=_digest(endpoint),
                    account=account,
                    endpoint=endpoint,
                    p256dh=p256dh,
                    auth=auth,
                    created_at=wall_time(),
                )
            )

    def remove(self, endpoint: str, account: str | None = None) -> None:
        """Forgets a browser; with `account`, only one of its own."""
        wanted = delete(SubscriptionRow).where(SubscriptionRow.endpoint_hash == _digest(endpoint))
        if account is not None:
            wanted = wanted.where(SubscriptionRow.account == account)
        with self._engine.begin() as connection:
            connection.execute(wanted)

    def of_site(self, site: str) -> list[Subscription]:
        """Every browser of a reader of this site whose account has not ended."""
        query = (
            select(SubscriptionRow.__table__, AccountRow.site)
            .join(AccountRow, AccountRow.name == SubscriptionRow.account)
            .where(AccountRow.removed_at == "", AccountRow.role == "hematologist")
            .where((AccountRow.site == site) | AccountRow.site.is_(None))
        )
        with self._engine.begin() as connection:
            return [
                Subscription(row.account, row.site, row.endpoint, row.p256dh, row.auth)
                for row in connection.execute(query)
            ]


def check_endpoint(endpoint: str, services: Sequence[str]) -> None:
    """Only https to a known push service: this server must not be sent to other addresses."""
    if len(endpoint) > 2000:
        raise SubscriptionRefusedError("endpoint: at most 2000 characters")
    try:
        parts = urlsplit(endpoint)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError as error:
        raise SubscriptionRefusedError("endpoint: no address") from error
    if parts.scheme != "https" or parts.username or parts.password or port not in (None, 443):
        raise SubscriptionRefusedError("endpoint: https to a push service is needed")
    if not any(_fits(host, service.lower()) for service in services):
        raise SubscriptionRefusedError(
            f"endpoint: {host[:80]} is no push service that is known here"
        )


def _fits(host: str, service: str) -> bool:
    return host.endswith(service[1:]) if service.startswith("*") else host == service


def _check_key(name: str, text: str, size: int) -> None:
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError as error:
        raise SubscriptionRefusedError(f"{name}: base64url is needed") from error
    if len(data) != size:
        raise SubscriptionRefusedError(f"{name}: {len(data)} bytes, {size} needed")


def _digest(endpoint: str) -> str:
    return hashlib.sha256(endpoint.encode()).hexdigest()
