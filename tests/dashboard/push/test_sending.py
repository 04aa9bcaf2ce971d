"""A notification on its way: sealed for one browser, saying nothing of the case, to push services only."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import http_ece  # type: ignore[import-untyped]  # no stubs
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from dashboard.accounts.roles import Role, at_terminal
from dashboard.accounts.settings import AccountSettings
from dashboard.accounts.store import AccountStore
from dashboard.push.policy import Told, Why
from dashboard.push.sending import PushFailedError, PushGoneError, PushKey, message, send
from dashboard.push.settings import PushSettings
from dashboard.push.subscriptions import (
    MOST_PER_ACCOUNT,
    Subscription,
    SubscriptionRefusedError,
    Subscriptions,
    check_endpoint,
)

SERVICES = PushSettings().services
ENDPOINT = "https://fcm.googleapis.com/fcm/send/abc:def"
TOLD = Told("lab", Why.URGENT, ("lab.C7F3K2", "lab.H26-0413"))


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class Phone:
    """A browser's keys, and a push service that answers as told."""

    status: int = 201
    private: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    auth: bytes = field(default_factory=lambda: os.urandom(16))
    got: list[tuple[str, bytes, dict[str, str]]] = field(default_factory=list)

    @property
    def subscription(self) -> Subscription:
        point = self.private.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        return Subscription("kim", None, ENDPOINT, b64(point), b64(self.auth))

    def post(self, url: str, data: bytes, headers: dict[str, str], **_: Any) -> Any:
        """What the network would do."""
        self.got.append((url, data, {name.lower(): text for name, text in headers.items()}))

        class Answer:
            status_code = self.status
            text = reason = headers = ""

        return Answer()

    def opened(self) -> dict[str, Any]:
        """The message as the browser unseals it."""
        plain = http_ece.decrypt(
            self.got[0][1], private_key=self.private, auth_secret=self.auth, version="aes128gcm"
        )
        told: dict[str, Any] = json.loads(plain)
        return told


@pytest.fixture
def key(tmp_path: Path) -> PushKey:
    return PushKey.load(tmp_path / "push.key")


def test_a_browser_gets_an_opaque_id_a_reason_and_a_count(key: PushKey) -> None:
    phone = Phone()
    send(key, "mailto:a@example.org", phone.subscription, TOLD, post=phone.post)
    assert phone.opened() == {"id": key.opaque(TOLD.keys), "why": "urgent", "count": 2}
    url, sealed, headers = phone.got[0]
    assert url == ENDPOINT
    assert headers["urgency"] == "high"
    assert headers["authorization"].startswith("vapid ")
    for text in (b"C7F3K2", b"lab", b"urgent"):
        assert text not in sealed


def test_the_id_tells_nothing_without_the_key(key: PushKey, tmp_path: Path) -> None:
    other = PushKey.load(tmp_path / "other.key")
    assert key.opaque(TOLD.keys) != other.opaque(TOLD.keys)
    assert key.opaque(TOLD.keys) == key.opaque(tuple(reversed(TOLD.keys)))
    assert b"C7F3K2" not in message(key, TOLD)


def test_the_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "var" / "push.key"
    first = PushKey.load(path).public
    assert PushKey.load(path).public == first
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(("status", "error"), [(410, PushGoneError), (404, PushGoneError),
                                               (500, PushFailedError), (429, PushFailedError)])  # fmt: skip
def test_a_browser_that_is_gone_is_told_from_a_service_that_fails(
    key: PushKey, status: int, error: type[Exception]
) -> None:
    phone = Phone(status)
    with pytest.raises(error) as found:
        send(key, "mailto:a@example.org", phone.subscription, TOLD, post=phone.post)
    assert ENDPOINT not in str(found.value)


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://fcm.googleapis.com/x",
        "https://evil.example/fcm.googleapis.com",
        "https://127.0.0.1/",
        "https://fcm.googleapis.com:8443/x",
        "https://user@fcm.googleapis.com/x",
        "https://fcm.googleapis.com.evil.example/x",
        "https://evilpush.apple.com.evil/",
        "file:///etc/passwd",
        "https://[::1",
        "x" * 3000,
    ],
)
def test_this_server_is_not_sent_to_other_addresses(endpoint: str) -> None:
    with pytest.raises(SubscriptionRefusedError):
        check_endpoint(endpoint, SERVICES)


def test_browsers_of_a_site_are_those_of_its_readers(tmp_path: Path) -> None:
    url, me = f"sqlite:///{tmp_path / 'records.sqlite'}", at_terminal("0")
    accounts = AccountStore.open(url, AccountSettings(audit_key_file=tmp_path / "audit.key"))
    subscriptions = Subscriptions(url, SERVICES)
    try:
        for name, site in (("kim", "lab"), ("ida", "other"), ("all", None)):
            accounts.add(name, Role.HEMATOLOGIST, by=me, site=site)
            phone = Phone().subscription
            endpoint = f"https://updates.push.services.mozilla.com/{name}"
            subscriptions.add(name, endpoint, phone.p256dh, phone.auth)
        assert {one.account for one in subscriptions.of_site("lab")} == {"kim", "all"}
        for number in range(MOST_PER_ACCOUNT + 3):
            subscriptions.add("kim", f"{ENDPOINT}{number}", phone.p256dh, phone.auth)
        mine = [one for one in subscriptions.of_site("lab") if one.account == "kim"]
        assert len(mine) == MOST_PER_ACCOUNT
        subscriptions.remove(f"{ENDPOINT}12", "ida")
        assert len(subscriptions.of_site("lab")) == MOST_PER_ACCOUNT + 1
        accounts.remove("kim", by=me)
        assert {one.account for one in subscriptions.of_site("lab")} == {"all"}
        with pytest.raises(SubscriptionRefusedError, match="p256dh"):
            subscriptions.add("all", ENDPOINT, "short", phone.auth)
    finally:
        subscriptions.close()
        accounts.close()
