"""Speaks to one FHIR server over HTTP: asks its version, posts a transaction; it retries nothing, follows no redirect.

Three answers: stored, away (worth another attempt), refused (the same again would be refused
again). An answer that says yes but does not account for every entry is no yes.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any, Final

import requests

from dashboard.exchange.codes import FhirVersion
from dashboard.exchange.fhir_parts import Resource
from dashboard.exchange.outcome_words import outcome_words, shown

_FHIR_JSON: Final = "application/fhir+json"
_MOST_BYTES: Final = 8 * 1024 * 1024
#: Worth another attempt: busy, too many, a conflict with somebody's transaction, any fault of theirs.
_PASSES: Final = frozenset({408, 409, 423, 425, 429})
#: The address or the right is wrong, not the report: another attempt after somebody has mended it.
_SETUP: Final = frozenset({401, 403, 404, 405, 407})
_HEADER: Final = re.compile(r"([A-Za-z0-9-]{1,64}): *([\x21-\x7e][\x20-\x7e]{0,8000})")


class ServerAwayError(Exception):
    """Not known to be stored; another attempt may help. `retry_after_s` is the server's own wish."""

    def __init__(self, message: str, *, retry_after_s: float = 0.0, is_setup: bool = False) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        #: The address, the certificate or the right to write is wrong: a person has to mend it.
        self.is_setup = is_setup


class ServerRefusedError(Exception):
    """The server will not have this report, in its own words."""


class FhirClient:
    """One server. Calls block, each for a few times `timeout_s` at most."""

    def __init__(
        self,
        base: str,
        *,
        timeout_s: float,
        header_file: Path | None = None,
        ca_file: Path | None = None,
    ) -> None:
        self.base = base
        self._timeout_s = timeout_s
        self._header_file = header_file
        self._ca_file = ca_file
        self._version: FhirVersion | None = None

    def version(self) -> FhirVersion:
        """What the server's capability statement says; raises ServerAwayError, ServerRefusedError."""
        if self._version is None:
            said = self._ask("GET", f"{self.base}/metadata", None)
            found = said.get("fhirVersion") if isinstance(said, dict) else None
            if not isinstance(found, str):
                raise ServerAwayError(
                    f"{self.base}/metadata is no FHIR server's capability statement", is_setup=True
                )
            if found.startswith("5."):
                self._version = FhirVersion.R5
            elif found.startswith(("4.0", "4.1", "4.3")):
                self._version = FhirVersion.R4B  # our resources are the same in R4 and R4B
            else:
                raise ServerRefusedError(
                    f"{self.base} speaks FHIR {shown(found)}; reports are R4, R4B or R5"
                )
        return self._version

    def post(self, transaction: Resource) -> tuple[int, int]:
        """Has it stored, whole; (created, updated). Raises ServerAwayError, ServerRefusedError."""
        said = self._ask("POST", self.base, transaction)
        entries = said.get("entry") if isinstance(said, dict) else None
        if not isinstance(entries, list) or said.get("type") != "transaction-response":
            raise ServerAwayError(f"{self.base} answered with no transaction-response")
        states = [_status(entry) for entry in entries]
        if any(not state.startswith("2") for state in states):
            words = outcome_words(said) or ", ".join(sorted({shown(one) for one in states}))
            raise ServerRefusedError(f"{self.base} refused a part of it: {words}")
        if len(states) != len(transaction["entry"]):
            raise ServerAwayError(
                f"{self.base} answered {len(states)} of {len(transaction['entry'])} entries"
            )
        created = sum(state.startswith("201") for state in states)
        return created, len(states) - created

    def _ask(self, method: str, url: str, body: Resource | None) -> Any:
        headers = {"Accept": _FHIR_JSON, **self._headers()}
        data = None
        if body is not None:
            headers["Content-Type"] = f"{_FHIR_JSON}; charset=utf-8"
            data = json.dumps(body, ensure_ascii=False).encode()
        with requests.Session() as session:
            session.trust_env = False  # no .netrc: nobody else's password goes there
            try:
                with session.request(
                    method,
                    url,
                    data=data,
                    headers=headers,
                    timeout=self._timeout_s,
                    verify=str(self._ca_file) if self._ca_file is not None else True,
                    allow_redirects=False,
                    stream=True,
                ) as response:
                    return self._read(response, _content(response, self._timeout_s))
            except requests.exceptions.SSLError as error:
                why = f"{self.base}: its certificate is not trusted: {_reason(error)}"
                raise ServerAwayError(why, is_setup=True) from error
            except (requests.RequestException, OSError) as error:
                raise ServerAwayError(f"{self.base}: {_reason(error)}") from error

    def _read(self, response: requests.Response, content: bytes) -> Any:
        code = response.status_code
        try:
            said: Any = json.loads(content)
        except ValueError:
            said = None
        if 200 <= code < 300:
            if said is None:
                raise ServerAwayError(f"{self.base} answered {code} with no JSON")
            return said
        words = outcome_words(said)
        told = f"{self.base} answered {code} {shown(response.reason or '')}".rstrip()
        told += f": {words}" if words else ""
        if 300 <= code < 400:
            place = shown(response.headers.get("location", "elsewhere"))
            raise ServerAwayError(f"{told}: it points to {place}; give that address", is_setup=True)
        if code in _SETUP:
            raise ServerAwayError(told, is_setup=True)
        if code in _PASSES or code >= 500:
            raise ServerAwayError(told, retry_after_s=_retry_after(response))
        raise ServerRefusedError(told)

    def _headers(self) -> dict[str, str]:
        """Of the file, read each time: a token is changed without a restart."""
        if self._header_file is None:
            return {}
        try:
            text = self._header_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "is no ASCII text"
            raise ServerAwayError(
                f"header_file {self._header_file}: {why}", is_setup=True
            ) from error
        found = _HEADER.fullmatch(text)
        if found is None:
            raise ServerAwayError(
                f"header_file {self._header_file}: one line is needed, such as "
                "`Authorization: Bearer ...`",
                is_setup=True,
            )
        return {found[1]: found[2]}


def _content(response: requests.Response, timeout_s: float) -> bytes:
    """The body; one that is too long or drips in for too long is given up."""
    ends = time.monotonic() + 2 * timeout_s
    content = bytearray()
    for part in response.iter_content(64 * 1024):
        content += part
        if len(content) > _MOST_BYTES:
            raise requests.exceptions.ContentDecodingError("an answer of more than 8 MiB")
        if time.monotonic() > ends:
            raise requests.exceptions.ReadTimeout("the answer did not end in time")
    return bytes(content)


def _status(entry: Any) -> str:
    response = entry.get("response") if isinstance(entry, dict) else None
    return str(response.get("status", "")) if isinstance(response, dict) else ""


def _retry_after(response: requests.Response) -> float:
    text = response.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdecimal() and len(text) < 7 else 0.0


def _reason(error: Exception) -> str:
    """The innermost words: the outer ones are of the library's own classes."""
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return "no connection in time"
    if isinstance(error, requests.exceptions.Timeout):
        return "no answer in time"
    cause: Any = error
    while True:
        inner = getattr(cause, "reason", None) or cause.__cause__ or cause.__context__
        if not isinstance(inner, BaseException) or inner is cause:
            break
        cause = inner
    words = getattr(cause, "verify_message", None) or getattr(cause, "strerror", None) or str(cause)
    return shown(words) or type(error).__name__
