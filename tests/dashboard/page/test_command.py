"""`hemowire dashboard` as a lab runs it: from its example configuration, with real accounts; and what it refuses."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from broker_config.serve import free_port

#: Five programs start, one after the other.
pytestmark = pytest.mark.timeout(180)

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "dashboard" / "page" / "dashboard.example.toml"
SECRET = "correct horse battery staple"


def hemowire(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "hemowire", *arguments],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With the example as dashboard.toml, on a free port, and an archive."""
    text = EXAMPLE.read_text(encoding="utf-8").replace("8443", str(free_port()))
    (tmp_path / "dashboard.toml").write_text(text.replace("1884", str(free_port())))
    (tmp_path / "archive").mkdir()
    (tmp_path / "var" / "broker" / "secrets").mkdir(parents=True)
    (tmp_path / "var" / "broker" / "secrets" / "operator").write_text("none\n")
    return tmp_path


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """The page's address while the program runs; it must end cleanly."""
    with (folder / "out").open("w") as out, (folder / "err").open("w") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "hemowire", "dashboard", "--config", "dashboard.toml"],
            cwd=folder, stdout=out, stderr=err, text=True,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + 60
            while not (found := re.search(r"the page is at (\S+)/", (folder / "out").read_text())):
                assert process.poll() is None, (folder / "err").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield found[1]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
    assert process.returncode == 0, (folder / "err").read_text()


def test_an_account_is_made_and_lets_in_by_password_and_by_link(folder: Path) -> None:
    (folder / "secret").write_text(SECRET + "\n")
    made = hemowire(
        folder, "accounts", "--config", "dashboard.toml", "add", "anna", "--role",
        "hematologist", "--password-file", "secret",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    link = hemowire(folder, "accounts", "--config", "dashboard.toml", "link", "anna")
    assert link.returncode == 0, link.stderr
    [token] = re.findall(r"/enter#(\S+)", link.stdout)
    with running(folder) as url, httpx.Client(base_url=url, headers={"origin": url}) as http:
        wrong = http.post("/login", json={"name": "anna", "password": "guess"})
        assert wrong.status_code == 403
        assert http.post("/login", json={"name": "anna", "password": SECRET}).status_code == 200
        assert http.get("/api/me").json()["name"] == "anna"
        http.cookies.clear()
        assert http.post("/enter", json={"link": token}).status_code == 200
        assert http.get("/api/worklist").json()["lines"] == []
    verified = hemowire(folder, "audit", "verify", "--config", "dashboard.toml")
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("host", '"0.0.0.0"', "in the clear"),
        ("host", '"somewhere"', "IP address"),
        ("port", "99999", "65535"),
        ("cert_file", '"cert.pem"', "go together"),
    ],
)
def test_settings_that_show_the_page_to_whom_they_should_not_are_refused(
    folder: Path, key: str, value: str, said: str
) -> None:
    lines = [
        line
        for line in (folder / "dashboard.toml").read_text().splitlines()
        if not line.startswith(f"{key} = ") or key == "port"
    ]
    at = lines.index("[page]") + 1
    if key == "port":
        lines = [line for n, line in enumerate(lines) if n < at or not line.startswith("port = ")]
    lines.insert(at, f"{key} = {value}")
    (folder / "dashboard.toml").write_text("\n".join(lines))
    done = hemowire(folder, "dashboard", "--config", "dashboard.toml")
    assert done.returncode == 2
    assert said in done.stderr
