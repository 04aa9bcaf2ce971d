"""TLS on a device whose clock was never set: certificates are checked at the last time it knew."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from pydantic import SecretStr
from structlog.typing import EventDict

from broker_config.accounts import Account
from broker_config.render import render
from broker_config.serve import BrokerProcess, free_port
from broker_config.template import Listener
from service_runtime.broker_settings import BrokerSettings
from service_runtime.known_time import KnownTime
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import Connected, SessionOptions
from tests.service_runtime.peers import run, running
from wire_protocol.access import Role

DAY_S = 86_400
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl")

_AUTHORITY = """
[ca]
default_ca = lab
[lab]
database = index.txt
serial = serial
new_certs_dir = .
certificate = ca.pem
private_key = ca.key
default_md = sha256
policy = any
x509_extensions = names
[any]
commonName = supplied
[names]
subjectAltName = DNS:localhost
"""


def stamp(day: int) -> str:
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + day * DAY_S))


@pytest.fixture(scope="module")
def future_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerSettings]:
    """A broker whose certificate is valid from day 10 to day 20: to it our clock is ten days behind."""
    folder = tmp_path_factory.mktemp("future")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    (folder / "authority.cnf").write_text(_AUTHORITY)
    (folder / "index.txt").touch()
    (folder / "serial").write_text("01\n")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *key, "-days", "40", "-subj", "/CN=test authority",
            "-keyout", "ca.key", "-out", "ca.pem")  # fmt: skip
    openssl("req", "-new", *key, "-subj", "/CN=localhost",
            "-keyout", "server.key", "-out", "server.csr")  # fmt: skip
    openssl("ca", "-batch", "-config", "authority.cnf", "-in", "server.csr", "-out", "server.pem",
            "-startdate", stamp(10), "-enddate", stamp(20), "-notext")  # fmt: skip
    listener = Listener(
        free_port(), "localhost", cert_file=folder / "server.pem", key_file=folder / "server.key"
    )
    account = Account(Role.WORKER, "worker", "password")
    with BrokerProcess(render([account], folder / "broker", listener)):
        yield BrokerSettings(
            host="localhost",
            port=listener.port,
            username="worker",
            password=SecretStr("password"),
            ca_file=folder / "ca.pem",
        )


def connect(broker: BrokerSettings, known_time_s: float) -> str:
    """ "" when connected, else the reason that the session logs."""
    options = SessionOptions("dated", backoff_s=(0.01, 0.02), known_time_s=known_time_s)
    refused: asyncio.Future[str]

    def look(_logger: object, _method: str, event: EventDict) -> EventDict:
        reason = str(event.get("reason"))
        if "certificate" in reason.lower() and not refused.done():
            refused.set_result(reason)
        raise structlog.DropEvent

    async def main() -> str:
        nonlocal refused
        refused = asyncio.get_running_loop().create_future()
        async with running(MqttSession(broker, options)) as peer:
            connected = asyncio.ensure_future(peer.next_of(Connected))
            waited: set[asyncio.Future[Any]] = {connected, refused}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if connected.done():
                return ""
            connected.cancel()
            return await refused

    outcome = []
    structlog.configure(processors=[look])
    try:

        async def kept() -> None:
            outcome.append(await main())

        run(kept())
    finally:
        structlog.reset_defaults()
    return outcome[0]


@needs_openssl
def test_a_clock_that_is_behind_refuses_a_certificate_as_not_yet_valid(
    future_broker: BrokerSettings,
) -> None:
    assert "not yet valid" in connect(future_broker, 0.0)


@needs_openssl
def test_the_last_known_time_stands_in_for_a_clock_that_is_behind(
    future_broker: BrokerSettings,
) -> None:
    assert connect(future_broker, time.time() + 15 * DAY_S) == ""


@needs_openssl
@pytest.mark.parametrize("day", [5, 25])
def test_a_certificate_outside_the_last_known_time_is_refused(
    future_broker: BrokerSettings, day: int
) -> None:
    assert "the clock is not set" in connect(future_broker, time.time() + day * DAY_S)


@needs_openssl
def test_the_host_name_is_still_checked(future_broker: BrokerSettings) -> None:
    other = future_broker.model_copy(update={"host": "127.0.0.1"})
    assert "IP address mismatch" in connect(other, time.time() + 15 * DAY_S)


@needs_openssl
def test_the_authority_is_still_checked(future_broker: BrokerSettings, tmp_path: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-subj", "/CN=test authority", "-keyout", "k", "-out", "other.pem"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    other = future_broker.model_copy(update={"ca_file": tmp_path / "other.pem"})
    assert "CERTIFICATE_VERIFY_FAILED" in connect(other, time.time() + 15 * DAY_S)


def test_the_known_time_outlives_a_restart_and_never_goes_back(tmp_path: Path) -> None:
    later = time.time() + 30 * DAY_S
    known = KnownTime(tmp_path / "known-time")
    known.remember(later)
    known.remember(later - 3 * DAY_S)
    assert KnownTime(tmp_path / "known-time").at_s == pytest.approx(later)


def test_without_a_file_the_installation_s_own_date_is_known(tmp_path: Path) -> None:
    import service_runtime.known_time as module

    installed = Path(module.__file__).stat().st_mtime
    assert KnownTime(tmp_path / "none").at_s == installed


def test_the_card_is_written_every_ten_minutes_at_most(tmp_path: Path) -> None:
    later = time.time() + 30 * DAY_S
    known = KnownTime(tmp_path / "known-time")
    known.remember(later)
    known.remember(later + 599)
    assert (tmp_path / "known-time").stat().st_mtime == pytest.approx(later)
    known.remember(later + 601)
    assert (tmp_path / "known-time").stat().st_mtime == pytest.approx(later + 601)
