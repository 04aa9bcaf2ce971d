"""Seals a message for one browser and hands it to that browser's push service; it never says which case it is about.

The message holds a random-looking id, the reason and a count. Push services see neither: they get
sealed bytes (RFC 8291) and this server's signature (RFC 8292).
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from py_vapid import Vapid, b64urlencode  # type: ignore[import-untyped]  # no stubs
from pywebpush import WebPushException, webpush  # type: ignore[import-untyped]  # no stubs

from dashboard.push.policy import Told, Why
from dashboard.push.subscriptions import Subscription
from service_runtime.private_files import write_private

#: A push service that does not answer within so long is given up for this message.
TIMEOUT_S: Final = 10.0
#: The service throws a message away that it could not bring within so long.
LIVES_S: Final = 3600
GONE: Final = frozenset({404, 410})


class PushGoneError(Exception):
    """The browser has ended its subscription."""


class PushFailedError(Exception):
    """The push service did not take the message, in words without its address."""


class PushKey:
    """This server's key: signs to push services, and makes ids of cases that tell nothing."""

    def __init__(self, vapid: Vapid) -> None:
        self._vapid = vapid
        self._secret = hashlib.sha256(
            vapid.private_key.private_bytes(
                serialization.Encoding.DER,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        ).digest()

    @classmethod
    def load(cls, path: Path) -> PushKey:
        """From this file; it is made, for its owner alone, where there is none."""
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            made = ec.generate_private_key(ec.SECP256R1()).private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            write_private(path, made.decode("ascii"))
        return cls(Vapid.from_pem(path.read_bytes()))

    @property
    def public(self) -> str:
        """As browsers want it: the uncompressed point, base64url."""
        point = self._vapid.public_key.public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        return str(b64urlencode(point))

    def opaque(self, keys: tuple[str, ...]) -> str:
        """The same for the same cases, and nothing to those who do not have the key."""
        text = "\n".join(sorted(keys)).encode()
        return hmac.new(self._secret, text, "sha256").hexdigest()[:16]

    def sign_with(self) -> Vapid:
        """For pywebpush."""
        return self._vapid


def message(key: PushKey, told: Told) -> bytes:
    """What the service worker gets."""
    said = {"id": key.opaque(told.keys), "why": told.why.value, "count": len(told.keys)}
    return json.dumps(said, separators=(",", ":")).encode()


def send(
    key: PushKey,
    contact: str,
    to: Subscription,
    told: Told,
    *,
    post: Callable[..., Any] | None = None,
) -> None:
    """One message to one browser; blocks. Raises PushGoneError, PushFailedError."""
    session = requests.Session()
    session.max_redirects = 0
    if post is not None:
        session.post = post  # type: ignore[method-assign]  # a test's own network
    keys = {"p256dh": to.p256dh, "auth": to.auth}
    try:
        webpush(
            {"endpoint": to.endpoint, "keys": keys},
            data=message(key, told),
            vapid_private_key=key.sign_with(),
            vapid_claims={"sub": contact},
            ttl=LIVES_S,
            timeout=TIMEOUT_S,
            headers={"urgency": "high" if told.why is not Why.UNREAD else "normal"},
            requests_session=session,
        )
    except WebPushException as error:
        status = getattr(error.response, "status_code", None)
        if status in GONE:
            raise PushGoneError from error
        raise PushFailedError(f"the push service answered {status}") from error
    except requests.RequestException as error:
        raise PushFailedError(type(error).__name__) from error
    finally:
        session.close()
