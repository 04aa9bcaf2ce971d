"""Writes batches of lines to an InfluxDB 2 API and says exactly what became of them; it keeps nothing.

influxdb-client's WriteApi, synchronous and gzipped: each batch has one answer, so the spool knows
what the server has. (Its batching mode retries inside and tells a callback of what it gave up, with
no way to say which of the points the server had.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException
from urllib3.exceptions import HTTPError

from dashboard.metrics.settings import InfluxSettings
from service_runtime.log import get_log

#: The server read the batch and does not want it; all else may be better later.
_REFUSED: Final = frozenset({400, 422})
_TOO_LARGE: Final = 413
#: After so many refusals and nothing taken, a part that is refused is not looked into any further.
_ALL_BAD: Final = 32
_SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class Written:
    """The server has the batch, but for the `refused` lines, which it will never take."""

    refused: int = 0


@dataclass(frozen=True, slots=True)
class Away:
    """It is unknown or untrue that the server has the batch: try it again."""

    reason: str
    retry_after_s: float = 0.0


class Server(Protocol):
    """Where batches go; blocks."""

    def write(self, lines: bytes) -> Written | Away:
        """Writes whole lines and says what became of them."""


class InfluxServer:
    """`probe` makes a line that the server takes if it takes any."""

    def __init__(self, settings: InfluxSettings, probe: Callable[[], str]) -> None:
        #: Requests that did not end with the server's word that it has the points.
        self.errors = 0
        self._settings = settings
        self._probe = probe
        self._log = get_log("metrics").bind(server=settings.url)
        self._client = InfluxDBClient(
            settings.url,
            settings.read_token(),
            org=settings.org,
            timeout=round(settings.timeout_s * 1000),
            enable_gzip=True,
        )
        self._api = self._client.write_api(write_options=SYNCHRONOUS)

    def write(self, lines: bytes) -> Written | Away:
        """Writes whole lines; those that are refused are told from those that are not."""
        error = self._post(lines)
        if error is None:
            return Written()
        if _status(error) in _REFUSED:
            if self._post(self._probe().encode()) is not None:
                return Away(f"refuses every point ({_reason(error)})")
            return self._sift(lines)
        if _status(error) == _TOO_LARGE and lines.count(b"\n") > 1:
            return self._halves(lines)
        return Away(_reason(error), _retry_after_s(error))

    def close(self) -> None:
        """Ends its connections."""
        self._client.close()  # type: ignore[no-untyped-call]  # untyped in the library

    def _post(self, lines: bytes) -> Exception | None:
        try:
            self._api.write(bucket=self._settings.bucket, record=lines)
        except (ApiException, HTTPError, OSError) as error:
            self._on_error(error, lines)
            return error
        return None

    def _on_error(self, error: Exception, lines: bytes) -> None:
        """Counts and logs; nothing ends silently."""
        self.errors += 1
        points = lines.count(b"\n")
        self._log.warning("write_failed", reason=_reason(error), points=points)

    def _halves(self, lines: bytes) -> Written | Away:
        refused = 0
        for half in _halved(lines):
            outcome = self.write(half)
            if isinstance(outcome, Away):
                return outcome  # what the first half wrote is written again: the same points
            refused += outcome.refused
        return Written(refused)

    def _sift(self, lines: bytes) -> Written | Away:
        """Writes what the server takes of a batch that it refused."""
        waiting, refused, has_taken = [lines], 0, False
        while waiting:
            part = waiting.pop()
            error = self._post(part) if part is not lines else None
            if part is not lines and error is None:
                has_taken = True
            elif error is not None and _status(error) not in _REFUSED:
                return Away(_reason(error), _retry_after_s(error))
            elif part.count(b"\n") == 1 or (refused >= _ALL_BAD and not has_taken):
                refused += part.count(b"\n")
                first = part.partition(b"\n")[0][:_SHOWN].decode(errors="replace")
                points = part.count(b"\n")
                self._log.error("refused", reason=_reason(error), points=points, first=first)
            else:
                waiting += reversed(_halved(part))
        return Written(refused)


def _halved(lines: bytes) -> tuple[bytes, bytes]:
    """The two halves, at a line's end; of one line, itself and nothing."""
    every = lines.splitlines(keepends=True)
    middle = len(every) // 2
    return b"".join(every[:middle]), b"".join(every[middle:])


def _status(error: Exception | None) -> int | None:
    return error.status if isinstance(error, ApiException) else None


def _reason(error: Exception | None) -> str:
    if isinstance(error, ApiException):
        body = error.body or error.reason or ""
        text = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
        return f"{error.status} {' '.join(text.split())}"[:_SHOWN]
    return f"{type(error).__name__}: {error}"[:_SHOWN]


def _retry_after_s(error: Exception) -> float:
    headers: Mapping[str, str] = getattr(error, "headers", None) or {}
    try:
        return max(0.0, float(headers.get("Retry-After", 0)))
    except ValueError:
        return 0.0  # a date: the backoff will do
