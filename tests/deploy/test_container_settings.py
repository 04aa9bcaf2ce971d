"""The settings that containers mount: they load, agree with each other, and the real Mosquitto starts with them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from broker_config.accounts import Account
from broker_config.render import render
from broker_config.serve import BrokerProcess, free_port
from broker_config.settings import BrokerServerSettings
from broker_config.template import Listener
from cloud_worker.settings import WorkerSettings
from dashboard.metrics.settings import MetricsSettings
from dashboard.settings import RecordsSettings, WatchSettings
from edge_device.settings import EdgeSettings
from service_runtime.broker_settings import BrokerSettings
from service_runtime.settings import load_settings
from tests.deploy.deployment import DEPLOY, PROGRAMS, ROOT, compose, mounts, services
from wire_protocol.access import Role

ProgramSettings = RecordsSettings | WorkerSettings | EdgeSettings | WatchSettings | MetricsSettings

MODELS: dict[str, tuple[type[ProgramSettings], Role]] = {
    "records.toml": (RecordsSettings, Role.RECORDS),
    "worker.toml": (WorkerSettings, Role.WORKER),
    "edge.toml": (EdgeSettings, Role.EDGE),
    "watch.toml": (WatchSettings, Role.HEMATOLOGIST),
    "metrics.toml": (MetricsSettings, Role.METRICS),
}


def broker_settings() -> BrokerServerSettings:
    return load_settings(BrokerServerSettings, DEPLOY / "settings" / "broker.toml", environ={})


def program_settings(name: str) -> ProgramSettings:
    """As the container's program reads them: the file that it mounts, and its environment."""
    service = services()[name]
    file = PROGRAMS[name]
    assert (f"./deploy/settings/{file}", f"/etc/hemowire/{file}", True) in mounts(service)
    environ = {key: str(value) for key, value in service.get("environment", {}).items()}
    return load_settings(MODELS[file][0], DEPLOY / "settings" / file, environ=environ)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_programs_settings_name_the_broker_and_an_account_that_it_has(name: str) -> None:
    settings, service = program_settings(name), services()[name]
    server = broker_settings()
    broker: BrokerSettings = settings.broker
    assert (broker.host, broker.port) == ("broker", server.listener.port)
    assert broker.root == server.root
    assert set(service["networks"]) & set(services()[broker.host]["networks"])
    account = next(a for a in server.accounts if a.username == broker.username)
    assert account.role is MODELS[PROGRAMS[name]][1]
    assert broker.password_file == account.password_file
    assert broker.password_file is not None
    assert broker.password_file.parent == Path("/run/secrets")
    assert broker.password_file.name in service["secrets"]


@pytest.mark.parametrize("name", ["scope-1", "scope-2"])
def test_each_simulated_microscope_is_the_device_that_its_account_is_pinned_to(name: str) -> None:
    settings = program_settings(name)
    assert isinstance(settings, EdgeSettings)
    account = next(a for a in broker_settings().accounts if a.username == settings.broker.username)
    assert (settings.site, settings.device) == (account.site, account.device)
    assert settings.device == name


def test_simulated_microscopes_see_slides_of_their_own_and_fill_no_disk() -> None:
    cameras = []
    for name in ("scope-1", "scope-2"):
        settings = program_settings(name)
        assert isinstance(settings, EdgeSettings)
        assert settings.camera.kind == "simulated"
        assert settings.camera.count is not None
        cameras.append(settings.camera)
    assert cameras[0] != cameras[1]


def test_workers_and_records_mean_the_same_archive() -> None:
    places = set()
    for name in ("records", "worker", "worker-gpu"):
        settings = program_settings(name)
        assert isinstance(settings, RecordsSettings | WorkerSettings)
        sources = [
            source
            for source, target, _ in mounts(services()[name])
            if target == settings.archive_url
        ]
        places.add(tuple(sources))
    assert places == {("archive",)}


def test_programs_write_only_into_volumes() -> None:
    def is_in_volume(name: str, path: str) -> bool:
        return any(
            path.startswith(target) and not source.startswith(".") and not is_read_only
            for source, target, is_read_only in mounts(services()[name])
        )

    records, scope, metrics = (program_settings(n) for n in ("records", "scope-1", "metrics"))
    assert isinstance(records, RecordsSettings) and isinstance(scope, EdgeSettings)
    assert isinstance(metrics, MetricsSettings)
    assert is_in_volume("records", records.database_url.removeprefix("sqlite:///"))
    assert is_in_volume("scope-1", str(scope.data_dir))
    assert is_in_volume("metrics", str(metrics.spool_folder))


def test_metrics_writes_where_grafana_reads_and_each_has_its_own_token() -> None:
    metrics = program_settings("metrics")
    assert isinstance(metrics, MetricsSettings) and metrics.influx is not None
    influx = metrics.influx
    made = {
        key: value
        for key, _, value in (
            text[2:].partition("=") for text in services()["series-access"]["command"]
        )
    }
    environ = services()["influxdb"]["environment"]
    assert (influx.url, influx.org, influx.bucket) == (made["url"], made["org"], made["bucket"])
    assert environ["DOCKER_INFLUXDB_INIT_ORG"] == influx.org
    assert environ["DOCKER_INFLUXDB_INIT_BUCKET"] == influx.bucket
    assert environ["DOCKER_INFLUXDB_INIT_ADMIN_TOKEN_FILE"] == made["admin-token-file"]
    assert influx.token_file == Path(made["write-folder"]) / "token"
    assert ("series-write", made["write-folder"], True) in mounts(services()["metrics"])
    assert ("series-read", made["read-folder"], True) in mounts(services()["grafana"])
    assert "influxdb-admin-token" not in services()["metrics"]["secrets"]
    assert "influxdb-admin-token" not in services()["grafana"]["secrets"]


def test_health_checks_look_for_the_brokers_port() -> None:
    port = str(broker_settings().listener.port)
    for name in PROGRAMS:
        test = services()[name]["healthcheck"]["test"]
        assert test == ["CMD", "python", "-m", "service_runtime.heartbeat", "--port", port]
    (published,) = services()["broker"]["ports"]
    assert published.endswith(f":{port}")


def test_broker_settings_mounts_what_it_names_and_the_broker_starts_with_that() -> None:
    server, service = broker_settings(), services()["broker-settings"]
    assert ("broker-settings", str(server.folder), False) in mounts(service)
    assert ("broker-settings", str(server.folder), True) in mounts(services()["broker"])
    assert ("broker-data", str(server.data_folder), False) in mounts(services()["broker"])
    assert services()["broker"]["command"][-1] == f"{server.folder}/mosquitto.conf"
    names = {str(account.password_file) for account in server.accounts}
    assert names == {f"/run/secrets/{secret}" for secret in service["secrets"]}
    # Its volume belongs to Mosquitto's user, as whom both run.
    assert service["user"] == services()["broker"]["user"] == "1883:1883"


def make_secrets(folder: Path) -> dict[str, str]:
    subprocess.run([DEPLOY / "make-secrets", folder], check=True, capture_output=True)
    return {path.name: path.read_text().strip() for path in folder.iterdir()}


def test_make_secrets_makes_what_compose_names_once_behind_a_private_folder(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    made = make_secrets(folder)
    assert set(made) == set(compose()["secrets"])
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{32}", value) for value in made.values())
    assert len(set(made.values())) == len(made)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o444}
    (folder / "worker").unlink()
    again = make_secrets(folder)
    assert {name for name in made if made[name] != again[name]} == {"worker"}


def test_render_writes_the_folder_and_needs_no_mosquitto(tmp_path: Path) -> None:
    folder = tmp_path / "broker"
    done = subprocess.run(
        [sys.executable, "-m", "hemowire", "broker", "--render", "--folder", str(folder)],
        cwd=ROOT,
        env=os.environ | {"HEMOWIRE_MOSQUITTO": "/nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("mosquitto.conf", "passwords", "access.acl"):
        assert (folder / name).stat().st_mode & 0o777 == 0o600


def test_the_real_mosquitto_starts_with_the_containers_settings_and_knows_all_accounts(
    tmp_path: Path,
) -> None:
    """Folders, port and password files are moved to this machine; all else is the containers'."""
    passwords = make_secrets(tmp_path / "secrets")
    server = broker_settings()
    assert server.data_folder is not None and server.listener.plain_network
    data = tmp_path / "data"
    data.mkdir()
    accounts = [
        Account(
            a.role, a.username, passwords[str(a.password_file).rpartition("/")[2]], a.site, a.device
        )
        for a in server.accounts
    ]
    listener = Listener(free_port(), server.listener.bind, plain_network=True)
    rendered = render(
        accounts, tmp_path / "config", listener, autosave_s=server.autosave_s, data_folder=data
    )
    assert f"persistence_location {data}/" in rendered.config_file.read_text()
    assert not (tmp_path / "config" / "data").exists()
    with BrokerProcess(rendered):
        for account in accounts:
            assert connects(rendered.listener.port, account.username, account.password)
        assert not connects(rendered.listener.port, "worker", passwords["records"])
    assert (data / "mosquitto.db").exists()


def connects(port: int, username: str, password: str) -> bool:
    """Whether the broker lets the account in."""
    answered, codes = threading.Event(), []
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.username_pw_set(username, password)

    def on_connect(
        _client: object, _data: object, _flags: object, code: ReasonCode, _p: object
    ) -> None:
        codes.append(code.is_failure)
        answered.set()

    client.on_connect = on_connect
    client.connect("127.0.0.1", port)
    client.loop_start()
    assert answered.wait(10)
    client.disconnect()
    client.loop_stop()
    return codes[0] is False
