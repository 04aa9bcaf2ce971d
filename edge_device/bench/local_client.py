"""How jobs of the command line talk to the agent of this device, over its socket; nothing here waits for ever."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from edge_device.bench.socket_file import SOCKET_NAME, BenchError, connect
from edge_device.bench.state import BenchState

_CONNECT_S: Final = 5.0
#: The agent says something at least every 5 s while it lives.
_SILENCE_S: Final = 15.0
_LONGEST_ANSWER_BYTES: Final = 4 * 1024 * 1024


class AgentError(Exception):
    """The agent of this device did not do its part; the message says what is known."""


class NoAgentError(AgentError):
    """No agent runs on this data directory: nothing was done."""


@dataclass(frozen=True, slots=True)
class LocalAnswer:
    """What an action came to; `error` is "" where `ok`."""

    ok: bool
    result: dict[str, Any] = field(default_factory=dict)
    error: str = ""


def call(
    data_dir: Path,
    action: str,
    arguments: Mapping[str, Any],
    operator: str,
    *,
    timeout_s: float = 120.0,
) -> LocalAnswer:
    """Has the running agent do an action. Raises NoAgentError where none runs, AgentError where it
    went silent meanwhile: then nobody knows whether the action was done."""
    body = json.dumps({"operator": operator, "arguments": dict(arguments)}).encode()
    status, payload = _ask(data_dir, "POST", f"/actions/{action}", body, timeout_s=timeout_s)
    try:
        fields = json.loads(payload)
        return LocalAnswer(bool(fields["ok"]), dict(fields["result"]), str(fields["error"]))
    except (ValueError, KeyError, TypeError) as error:
        raise AgentError(f"the agent answered {status} with something else") from error


def read_state(data_dir: Path) -> BenchState:
    """The running agent's state; raises NoAgentError, AgentError."""
    _, payload = _ask(data_dir, "GET", "/state", None, timeout_s=_SILENCE_S)
    return _parse(payload)


def follow_state(data_dir: Path) -> Iterator[BenchState]:
    """The state now, on each change and at least every 5 s; raises NoAgentError when the agent goes."""
    with closing(_Connection(data_dir, _SILENCE_S)) as connection:
        try:
            connection.request("GET", "/events")
            response = connection.getresponse()
            if response.status != http.HTTPStatus.OK:
                raise AgentError(f"the agent answered {response.status} to /events")
            while line := response.readline(_LONGEST_ANSWER_BYTES):
                if line.startswith(b"data: "):
                    yield _parse(line[len(b"data: ") :])
        except (OSError, http.client.HTTPException) as error:
            raise _silent(error) from error
    raise NoAgentError("the agent has stopped")


def _parse(payload: bytes) -> BenchState:
    try:
        return BenchState.model_validate_json(payload)
    except ValidationError as error:
        raise AgentError("the agent runs another version of hemowire: restart it") from error


def _ask(
    data_dir: Path, method: str, path: str, body: bytes | None, *, timeout_s: float
) -> tuple[int, bytes]:
    with closing(_Connection(data_dir, timeout_s)) as connection:
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.read(_LONGEST_ANSWER_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise _silent(error) from error


def _silent(error: Exception) -> AgentError:
    words = str(error) or type(error).__name__
    return AgentError(f"the agent went silent ({words}): whether it was done is not known")


class _Connection(http.client.HTTPConnection):
    """HTTP over the agent's socket; raises NoAgentError when it is made."""

    def __init__(self, data_dir: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        where = data_dir / SOCKET_NAME
        try:
            self.sock = connect(data_dir, _CONNECT_S)
        except PermissionError as error:
            raise NoAgentError(
                f"{where}: belongs to another user; run this as that user"
            ) from error
        except (OSError, BenchError) as error:
            raise NoAgentError(
                f"no agent runs on {data_dir} (nobody answers at {where})"
            ) from error
        self.sock.settimeout(timeout_s)
