"""InfluxDB 2 and Mosquitto 2.1 in containers, the images that compose.yaml pins, for tests where Docker is there."""

from __future__ import annotations

import csv
import io
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from influxdb_client.client.influxdb_client import InfluxDBClient
from testcontainers.core.container import DockerContainer

from broker_config.local import LocalBroker
from broker_config.serve import free_port
from dashboard.metrics.settings import InfluxSettings

COMPOSE = (Path(__file__).parents[3] / "compose.yaml").read_text(encoding="utf-8")
TOKEN, ORG, BUCKET = "a-token-of-this-test", "hemowire", "hemowire"
START_S = 60.0


def pinned(name: str) -> str:
    """The image that compose.yaml pins."""
    found = re.search(rf"image: ({re.escape(name)}:\S+)", COMPOSE)
    assert found is not None, f"compose.yaml pins no {name}"
    return found[1]


def need_docker() -> None:
    """Skips, with the reason, where no Docker engine answers."""
    engine = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not engine.startswith("unix://"):
        return  # somebody says that there is one
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(engine.removeprefix("unix://"))
        except OSError as error:
            pytest.skip(f"no Docker engine at {engine}: {error.strerror}")


class InfluxContainer:
    """An InfluxDB 2 on a port that stays the same when it is stopped, killed and started."""

    def __init__(self) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._container = DockerContainer(pinned("influxdb")).with_bind_ports(8086, port)
        for name, value in {
            "MODE": "setup",
            "USERNAME": "admin",
            "PASSWORD": "a-password-of-this-test",
            "ORG": ORG,
            "BUCKET": BUCKET,
            "ADMIN_TOKEN": TOKEN,
        }.items():
            self._container.with_env(f"DOCKER_INFLUXDB_INIT_{name}", value)
        self._container.start()
        self._wait()

    @property
    def settings(self) -> InfluxSettings:
        """How to write to it."""
        named = {"url": self.url, "org": ORG, "bucket": BUCKET, "token": TOKEN}
        return InfluxSettings.model_validate({**named, "timeout_s": 20})

    def start(self) -> None:
        """Returns once it answers."""
        self._container.get_wrapped_container().start()
        self._wait()

    def stop(self) -> None:
        """SIGTERM."""
        self._container.get_wrapped_container().stop(timeout=20)

    def kill(self) -> None:
        """SIGKILL."""
        self._container.get_wrapped_container().kill()

    def remove(self) -> None:
        """The container and its data."""
        self._container.stop()

    def rows(self, flux: str) -> list[dict[str, str]]:
        """The result of a Flux query; times are texts to the nanosecond."""
        with InfluxDBClient(self.url, TOKEN, org=ORG, timeout=60_000) as client:
            text = client.query_api().query_raw(flux).read().decode()
        plain = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
        found: list[dict[str, str]] = []
        for table in plain.split("\n\n"):
            found += csv.DictReader(io.StringIO(table.strip() + "\n"))
        return found

    def _wait(self) -> None:
        def answers() -> bool:
            try:
                with urlopen(f"{self.url}/health", timeout=2) as reply:
                    return bool(reply.status == 200)
            except (URLError, OSError):
                return False

        _until(answers)


@contextmanager
def mosquitto_container(folder: Path, devices: tuple[str, ...]) -> Iterator[LocalBroker]:
    """Mosquitto 2.1 with the configuration, passwords and access rules that we render."""
    broker = LocalBroker(folder, devices=devices)
    rendered = broker.process.rendered
    container = (
        DockerContainer(pinned("eclipse-mosquitto"))
        .with_kwargs(network_mode="host", user=f"{os.getuid()}:{os.getgid()}")
        .with_volume_mapping(str(folder), str(folder), "rw")
        .with_command(["mosquitto", "-c", str(rendered.config_file)])
    )
    container.start()
    try:
        _until(lambda: _accepts(broker.port))
        yield broker
    finally:
        container.stop()


def _accepts(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.5):
            return True
    except OSError:
        return False


def _until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_S
    while not reached():
        assert time.monotonic() < deadline, "the container does not answer"
        time.sleep(0.1)
