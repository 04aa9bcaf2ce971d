"""Stands before the page: the right host, the page's own origin, a session, its token; every answer hardened.

What changes something must be JSON, come from this page and carry the session's own token. Without a
session a browser gets the sign-in page and what that is drawn with, nothing else.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Collection, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard.page.door import Door
from service_runtime.log import get_log

CSRF_HEADER: Final = "x-hemowire-token"

SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:;"
        " connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class Guard:
    """`open_paths` may be had without a session; `way_in` are those that POST to get one."""

    def __init__(
        self,
        app: ASGIApp,
        door: Door,
        *,
        is_tls: bool,
        names: Collection[str] = (),
        open_paths: Collection[str] = (),
        way_in: Collection[str] = (),
    ) -> None:
        self._app = app
        self._door = door
        self._is_tls = is_tls
        self._names = frozenset(name.lower() for name in names)
        self._open = frozenset(open_paths)
        self._way_in = frozenset(way_in)
        self._log = get_log("dashboard")

    @property
    def cookie(self) -> str:
        """Over TLS the browser itself holds it to this host, to TLS and to every path."""
        return "__Host-hemowire" if self._is_tls else "hemowire"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers what may not pass, passes the rest on with `scope["person"]`."""
        if scope["type"] != "http":
            return
        refusal = await self._refusal(scope)
        await (refusal or self._app)(scope, receive, self._hardened(send))

    def set_cookie(self, response: Response, session: str) -> None:
        """Lets this browser in."""
        response.set_cookie(
            self.cookie,
            session,
            max_age=int(self._door.session_s),
            path="/",
            httponly=True,
            samesite="strict",
            secure=self._is_tls,
        )

    def clear_cookie(self, response: Response) -> None:
        """Forgets the session in this browser."""
        response.delete_cookie(
            self.cookie, path="/", httponly=True, samesite="strict", secure=self._is_tls
        )

    def session(self, headers: Headers) -> str:
        """The session that a request carries, "" where it carries none."""
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return ""
        return "" if found is None or len(found.value) > 512 else found.value

    async def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._is_called(host, scope):
            return self._refuse(scope, 421, f"this page is not called {host[:80]!r}")
        changes = scope["method"] not in ("GET", "HEAD")
        if changes:
            origin = f"{'https' if self._is_tls else 'http'}://{host}".lower()
            if headers.get("origin", "").lower() != origin:
                return self._refuse(scope, 403, "only this page itself may do that")
            if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
                return self._refuse(scope, 415, "must be application/json")
        path = scope["path"]
        if path in (self._way_in if changes else self._open):
            return None
        session, address = self.session(headers), client_address(scope)
        person = await run_in_threadpool(self._door.person, session, address) if session else None
        if person is None:
            if session:
                self._log.warning("session_refused", path=path[:80])
            if scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
                return RedirectResponse("/login", 303)
            return self._refuse(scope, 401, "sign in first", is_quiet=not session)
        if changes and not hmac.compare_digest(
            headers.get(CSRF_HEADER, "").encode(), person.csrf.encode()
        ):
            return self._refuse(scope, 403, "the page's token is missing or old: load it again")
        scope["person"], scope["session"] = person, session
        return None

    def _refuse(self, scope: Scope, status: int, error: str, *, is_quiet: bool = False) -> Response:
        if not is_quiet:
            self._log.warning(
                "request_refused", status=status, method=scope["method"], path=scope["path"][:80]
            )
        return JSONResponse({"error": error}, status)

    def _is_called(self, host: str, scope: Scope) -> bool:
        """By the address that was connected to, "localhost" from here, or a name in the settings."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        if name in self._names:
            return True
        own = _address(scope["server"][0])
        try:
            return _address(name) == own
        except ValueError:
            return name == "localhost" and own.is_loopback

    def _hardened(self, send: Send) -> Send:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers[name] = value
                if self._is_tls:
                    headers["strict-transport-security"] = "max-age=31536000"
                headers.setdefault("cache-control", "no-store")
            await send(message)

        return with_headers


def client_address(scope: Scope) -> str:
    """Where the browser is, as the socket says; what a header claims does not count."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    found = ipaddress.ip_address(text.partition("%")[0])
    return getattr(found, "ipv4_mapped", None) or found
