"""The tokens for writing and reading, against a server that answers as InfluxDB 2's documents say.

No InfluxDB 2 can be had without a container engine: `make test-compose` runs this on the real one.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlparse

import pytest

from dashboard.series_access import main

ADMIN = "admin-token"


class Documented(BaseHTTPRequestHandler):
    """/api/v2/{orgs,buckets,authorizations} of one organization "hemowire"."""

    authorizations: ClassVar[dict[str, dict[str, Any]]]
    made = 0

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self, code: int, body: object = None) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _refused(self) -> bool:
        if self.headers["Authorization"] == f"Token {ADMIN}":
            return False
        self._answer(401, {"code": "unauthorized"})
        return True

    def do_GET(self) -> None:
        if self._refused():
            return
        url = urlparse(self.path)
        asked = {key: values[0] for key, values in parse_qs(url.query).items()}
        kind, _, known = url.path.removeprefix("/api/v2/").partition("/")
        if kind == "orgs":
            found = [{"id": "o1"}] if asked["org"] == "hemowire" else None
            self._answer(200, {"orgs": found}) if found else self._answer(404, {})
        elif kind == "buckets":
            right = asked == {"orgID": "o1", "name": "hemowire"}
            self._answer(200, {"buckets": [{"id": "b1"}] if right else []})
        elif known:
            one = self.authorizations.get(known)
            self._answer(200, one) if one else self._answer(404, {"code": "not found"})
        else:
            self._answer(200, {"authorizations": list(self.authorizations.values())})

    def do_POST(self) -> None:
        if self._refused():
            return
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).made += 1
        known = f"a{self.made}"
        made = body | {"id": known, "token": f"token-{self.made}", "status": "active"}
        self.authorizations[known] = made
        self._answer(201, made)

    def do_DELETE(self) -> None:
        if not self._refused():
            self.authorizations.pop(self.path.rpartition("/")[2])
            self._answer(204)


@pytest.fixture
def server() -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
    class Fresh(Documented):
        authorizations: ClassVar[dict[str, dict[str, Any]]] = {}

    with ThreadingHTTPServer(("127.0.0.1", 0), Fresh) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}", Fresh.authorizations
        http.shutdown()
        thread.join()


def ask(url: str, folder: Path, *, token: str = ADMIN, bucket: str = "hemowire") -> int:
    (folder / "admin").write_text(token + "\n")
    for name in ("write", "read"):
        (folder / name).mkdir(exist_ok=True)
    return main(
        [
            f"--url={url}",
            "--org=hemowire",
            f"--bucket={bucket}",
            f"--admin-token-file={folder / 'admin'}",
            f"--write-folder={folder / 'write'}",
            f"--read-folder={folder / 'read'}",
        ]
    )


def test_one_token_may_only_write_and_the_other_only_read(
    server: tuple[str, dict[str, dict[str, Any]]], tmp_path: Path
) -> None:
    url, authorizations = server
    assert ask(url, tmp_path) == 0
    by_token = {a["token"]: a["permissions"] for a in authorizations.values()}
    resource = {"type": "buckets", "id": "b1", "orgID": "o1"}
    for action in ("write", "read"):
        token = (tmp_path / action / "token").read_text().strip()
        assert by_token[token] == [{"action": action, "resource": resource}]
        # For the user of another container, in a folder that only it is given.
        assert (tmp_path / action / "token").stat().st_mode & 0o777 == 0o444


def test_a_second_run_keeps_good_tokens_and_replaces_those_that_the_server_lost(
    server: tuple[str, dict[str, dict[str, Any]]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url, authorizations = server
    assert ask(url, tmp_path) == 0
    first = (tmp_path / "write" / "token").read_text()
    assert ask(url, tmp_path) == 0
    assert "still good" in capsys.readouterr().out
    assert (tmp_path / "write" / "token").read_text() == first
    authorizations.pop((tmp_path / "write" / "id").read_text().strip())
    assert ask(url, tmp_path) == 0
    assert "new tokens: write\n" in capsys.readouterr().out
    assert (tmp_path / "write" / "token").read_text() != first
    assert len(authorizations) == 2


def test_a_lost_folder_leaves_no_old_token_behind(
    server: tuple[str, dict[str, dict[str, Any]]], tmp_path: Path
) -> None:
    url, authorizations = server
    assert ask(url, tmp_path) == 0
    old = (tmp_path / "read" / "id").read_text().strip()
    (tmp_path / "read" / "id").unlink()
    assert ask(url, tmp_path) == 0
    assert old not in authorizations
    assert len(authorizations) == 2


def test_what_the_server_lacks_or_refuses_is_said(
    server: tuple[str, dict[str, dict[str, Any]]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url, _ = server
    assert ask(url, tmp_path, bucket="other") == 1
    assert "0 buckets for" in capsys.readouterr().err
    assert ask(url, tmp_path, token="wrong") == 1
    said = capsys.readouterr().err
    assert "401" in said and "wrong" not in said
    assert ask("http://127.0.0.1:9", tmp_path) == 1
    assert "http://127.0.0.1:9" in capsys.readouterr().err
