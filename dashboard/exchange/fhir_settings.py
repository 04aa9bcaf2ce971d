"""Which FHIR server reports go to, and how long it is tried: the table `[fhir]` of dashboard.toml; it sends nothing."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from dashboard.exchange.codes import FhirVersion
from service_runtime.settings import Settings


class FhirSettings(Settings):
    """Off until `url` is given; `hemowire export --to URL` takes the rest from here, too."""

    #: The server's base: https://fhir.example.org/r4. http only to this machine.
    url: str = Field(default="", max_length=400)
    #: Each case that is signed, amended or withdrawn goes there by itself.
    send_signed: bool = True
    #: Left out: what the server says of itself.
    version: FhirVersion | None = None
    #: One line: `Authorization: Bearer ...`. Read again for each attempt.
    header_file: Path | None = None
    #: The authority of the server's certificate, where it is none of the well-known.
    ca_file: Path | None = None
    #: To be connected, and between two parts of an answer.
    timeout_s: float = Field(default=30.0, gt=0, le=300)
    #: Attempts of one signature before it is given up; a command makes fewer.
    attempts: int = Field(default=40, ge=1, le=1000)
    #: Between attempts; doubles up to `longest_wait_s`.
    first_wait_s: float = Field(default=2.0, gt=0, le=3600)
    longest_wait_s: float = Field(default=1800.0, gt=0, le=86_400)

    @field_validator("url")
    @classmethod
    def _is_base(cls, url: str) -> str:
        return checked_base(url) if url else url

    @property
    def sends(self) -> bool:
        """Whether signed cases go out by themselves."""
        return bool(self.url) and self.send_signed


def checked_base(url: str) -> str:
    """The server's base without a slash behind it; ValueError where it cannot be one."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise ValueError(f"{url[:80]!r} is no address: {error}") from error
    if parts.scheme not in ("https", "http") or not host:
        raise ValueError(f"{url[:80]!r}: https://host/path of a FHIR server is needed")
    if parts.username or parts.password:
        raise ValueError("no password in the address: put an Authorization line into header_file")
    if parts.query or parts.fragment:
        raise ValueError(f"{url[:80]!r}: the base of a FHIR server has no ? or #")
    if parts.scheme == "http" and not _is_here(host):
        raise ValueError(
            f"http://{host}: a report would cross the network in the clear; https is needed"
        )
    return url.rstrip("/")


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
