"""Who may ask what: the owner of the socket everything, a browser only as itself, a network only with the token.

The Unix socket is guarded by its file's mode. On TCP a request must name this device as its Host (a
web page elsewhere whose name was rebound to this address does not), and what changes something must
be JSON and come from the page itself. Where a token is set, a browser without its cookie gets the
login page and nothing else. Every response forbids scripts and pictures from elsewhere.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE: Final = "hemowire_bench"
#: Paths that a browser without the cookie may have: the login page and what it is drawn with.
OPEN_PATHS: Final = frozenset({"/login", "/bench.css", "/login.js", "/icon.svg"})
_COOKIE_S: Final = 30 * 86_400

SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:;"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class Guard:
    """Stands before the application; `token` is "" where none is asked for."""

    def __init__(self, app: ASGIApp, *, token: str = "", hostname: str | None = None) -> None:
        self._app = app
        self._token = token.encode()
        name = (socket.gethostname() if hostname is None else hostname).lower()
        self._names = frozenset({name, f"{name.partition('.')[0]}.local"} - {""})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers what may not pass, passes the rest on."""
        if scope["type"] != "http":
            return
        await (self._refusal(scope) or self._app)(scope, receive, _hardened(send))

    def is_token(self, given: str) -> bool:
        """Whether this is the token; takes as long for any wrong one."""
        return bool(self._token) and hmac.compare_digest(self._token, given.encode())

    def set_cookie(self, response: Response) -> None:
        """Lets this browser in from now on, until the token changes."""
        response.set_cookie(
            COOKIE, self._pass(), max_age=_COOKIE_S, httponly=True, samesite="strict"
        )

    def _refusal(self, scope: Scope) -> Response | None:
        if _is_local(scope):
            return None
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._is_this_device(host, scope):
            return _refuse(421, f"this device is not called {host!r}")
        if scope["method"] not in ("GET", "HEAD"):
            if headers.get("origin", "").lower() not in (f"http://{host}", f"https://{host}"):
                return _refuse(403, "only the page of this device may do that")
            if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
                return _refuse(415, "must be application/json")
        if self._token and scope["path"] not in OPEN_PATHS and not self._has_cookie(headers):
            if scope["path"] == "/":
                return RedirectResponse("/login", 303)
            return _refuse(401, "log in first")
        return None

    def _is_this_device(self, host: str, scope: Scope) -> bool:
        """By the address that was connected to, by "localhost" from here, or by this device's name.
        The port is left open: a tunnel may have another one, and it protects from nothing."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        own = _address(scope["server"][0])
        try:
            return _address(name) == own
        except ValueError:
            return name == "localhost" if own.is_loopback else name in self._names

    def _has_cookie(self, headers: Headers) -> bool:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return found is not None and hmac.compare_digest(
            found.value.encode(), self._pass().encode()
        )

    def _pass(self) -> str:
        """Follows from the token, so that browsers stay logged in when the agent starts anew."""
        return hmac.new(self._token, b"hemowire bench page", "sha256").hexdigest()


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address without its zone; where both families are listened to, IPv4 comes as a part of IPv6."""
    found = ipaddress.ip_address(text.partition("%")[0])
    return getattr(found, "ipv4_mapped", None) or found


def _is_local(scope: Scope) -> bool:
    """It came over the Unix socket, which has no port."""
    server = scope.get("server")
    return server is not None and server[1] is None


def _refuse(status: int, error: str) -> Response:
    return JSONResponse({"ok": False, "result": {}, "error": error}, status)


def _hardened(send: Send) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers[name] = value
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return with_headers
