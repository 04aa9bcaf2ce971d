"""The session over TLS: the same messages, a checked certificate, and no downgrade to plain TCP."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog
from pydantic import SecretStr
from structlog.typing import EventDict

from broker_config.accounts import Account
from broker_config.render import render
from broker_config.serve import BrokerProcess, free_port
from broker_config.template import Listener
from service_runtime.broker_settings import BrokerSettings
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import Connected, Message, SessionOptions, Subscription
from tests.service_runtime.peers import run, running
from wire_protocol.access import Role

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make keys")
INGEST = "hemowire/v1/ingest/w1/scope-1"


@dataclass(frozen=True, slots=True)
class TlsBroker:
    port: int
    ca_file: Path

    def settings(self, username: str, host: str = "localhost") -> BrokerSettings:
        secret = SecretStr("password")
        return BrokerSettings(
            host=host, port=self.port, username=username, password=secret, ca_file=self.ca_file
        )


@pytest.fixture(scope="module")
def tls_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsBroker]:
    folder = tmp_path_factory.mktemp("tls")
    for name, wanted in (("ca", "/CN=test authority"), ("other", "/CN=another authority")):
        openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                "-nodes", "-days", "2", "-subj", wanted, "-keyout", f"{name}.key",
                "-out", f"{name}.pem")  # fmt: skip
    openssl(folder, "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-subj", "/CN=localhost", "-keyout", "server.key",
            "-out", "server.csr")  # fmt: skip
    (folder / "names").write_text("subjectAltName=DNS:localhost\n")
    openssl(folder, "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-days", "2", "-extfile", "names", "-out", "server.pem")  # fmt: skip
    accounts = [
        Account(Role.WORKER, "worker", "password"),
        Account(Role.EDGE, "edge-scope-1", "password", "lab", "scope-1"),
    ]
    listener = Listener(
        free_port(), "localhost", cert_file=folder / "server.pem", key_file=folder / "server.key"
    )
    with BrokerProcess(render(accounts, folder / "broker", listener)):
        yield TlsBroker(listener.port, folder / "ca.pem")


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def test_chunks_arrive_whole_and_in_order_over_tls(tls_broker: TlsBroker) -> None:
    async def main() -> None:
        worker = MqttSession(tls_broker.settings("worker"), SessionOptions("tls-worker"))
        edge = MqttSession(tls_broker.settings("edge-scope-1"), SessionOptions("tls-edge"))
        async with running(worker) as receiver, running(edge) as sender:
            await receiver.next_of(Connected)
            await worker.subscribe([Subscription("hemowire/v1/ingest/w1/+")])
            await sender.next_of(Connected)
            chunks = [bytes([n]) * 90_000 for n in range(60)]
            codes = await asyncio.gather(*(edge.publish(INGEST, chunk) for chunk in chunks))
            assert set(codes) == {0}
            got = [(await receiver.next_of(Message)).payload for _ in chunks]
            assert got == chunks

    run(main())


@pytest.mark.parametrize("wrong", ["authority", "host name"])
def test_a_wrong_certificate_is_never_accepted(tls_broker: TlsBroker, wrong: str) -> None:
    settings = tls_broker.settings("worker", "127.0.0.1" if wrong == "host name" else "localhost")
    if wrong == "authority":
        other = tls_broker.ca_file.with_name("other.pem")
        settings = settings.model_copy(update={"ca_file": other})

    async def main() -> None:
        options = SessionOptions("tls-wrong", backoff_s=(0.01, 0.02))
        refused = asyncio.Event()

        def look(_logger: object, _method: str, event: EventDict) -> EventDict:
            if "CERTIFICATE_VERIFY_FAILED" in str(event.get("reason")):
                refused.set()
            raise structlog.DropEvent

        structlog.configure(processors=[look])
        async with running(MqttSession(settings, options)) as peer:
            await refused.wait()
            assert peer.seen == []

    try:
        run(main())
    finally:
        structlog.reset_defaults()
