"""Accounts, password hashes, and a configuration that exposes nothing by mistake."""

from __future__ import annotations

import asyncio
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from broker_config.accounts import Account, check_accounts, hash_password, new_password
from broker_config.local import LocalBroker
from broker_config.render import render
from broker_config.serve import BrokerProcess, BrokerStartError, free_port
from broker_config.settings import BrokerServerSettings
from broker_config.template import Listener
from service_runtime.broker_settings import BrokerSettings
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import Connected, NotAuthorisedError, SessionOptions
from service_runtime.settings import SettingsError, load_settings
from wire_protocol.access import Role

EXAMPLE = Path(__file__).parents[2] / "broker_config" / "broker.example.toml"


async def connects(settings: BrokerSettings) -> bool:
    session = MqttSession(settings, SessionOptions("accounts-test"))
    life = asyncio.create_task(session.run())
    try:
        async for event in session.events():
            return isinstance(event, Connected)
        return False
    finally:
        await session.close()
        await life


def test_our_password_hashes_are_accepted_and_wrong_ones_are_not(broker: LocalBroker) -> None:
    right = broker.settings("worker")
    assert asyncio.run(connects(right))
    wrong = right.model_copy(update={"password": SecretStr("wrong")})
    with pytest.raises(NotAuthorisedError):
        asyncio.run(connects(wrong))


def test_nobody_connects_anonymously(broker: LocalBroker) -> None:
    stranger = broker.settings("worker").model_copy(update={"username": "", "password": None})
    with pytest.raises(NotAuthorisedError):
        asyncio.run(connects(stranger))


@pytest.mark.skipif(shutil.which("mosquitto_passwd") is None, reason="no mosquitto_passwd here")
def test_our_hash_equals_mosquitto_passwd(tmp_path: Path) -> None:
    import base64

    file = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-c", "-b", file, "u", "pässword"], check=True)
    _, kind, rounds, salt, _ = file.read_text().strip().split("$")
    ours = hash_password("pässword", salt=base64.b64decode(salt), rounds=int(rounds))
    assert (kind, f"u:{ours}") == ("7", file.read_text().strip())


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\nuser admin", "+", "#", "a/b"])
def test_names_that_could_change_a_rule_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="needed"):
        Account(Role.WORKER, name, "secret")
    with pytest.raises(ValueError, match="needed"):
        Account(Role.EDGE, "edge-x", "secret", site="lab", device=name)


def test_an_edge_without_a_device_and_an_empty_password_are_refused() -> None:
    with pytest.raises(ValueError, match="site and device"):
        Account(Role.EDGE, "edge-x", "secret", site="lab")
    with pytest.raises(ValueError, match="anonymous"):
        Account(Role.WORKER, "worker", "")


def test_two_accounts_cannot_share_a_username_or_a_device() -> None:
    one = Account(Role.EDGE, "edge-1", "p", "lab", "scope-1")
    with pytest.raises(ValueError, match="device 'scope-1'"):
        check_accounts([one, Account(Role.EDGE, "edge-2", "p", "clinic", "scope-1")])
    with pytest.raises(ValueError, match="username 'edge-1'"):
        check_accounts([one, Account(Role.WORKER, "edge-1", "p")])


def test_passwords_do_not_show_in_repr_and_are_long() -> None:
    password = new_password()
    assert len(password) >= 32
    assert password not in repr(Account(Role.WORKER, "worker", password))


def test_a_network_listener_without_tls_must_be_asked_for_by_name() -> None:
    with pytest.raises(ValueError, match="plain_network"):
        Listener(1884, "0.0.0.0")
    assert not Listener(1884, "0.0.0.0", plain_network=True).is_loopback
    assert Listener(1884).is_loopback
    assert Listener(1884, "::1").is_loopback
    with pytest.raises(ValidationError, match="plain_network"):
        BrokerServerSettings.model_validate({"listener": {"bind": "192.168.1.5"}})


def test_the_configuration_has_the_settings_that_hold(tmp_path: Path) -> None:
    accounts = [Account(Role.WORKER, "worker", "secret-password")]
    rendered = render(accounts, tmp_path / "broker", Listener(free_port()))
    lines = rendered.config_file.read_text().splitlines()
    for line in (
        "allow_anonymous false",
        "set_tcp_nodelay true",
        "persistence true",
        "max_queued_messages 0",
        "autosave_on_changes false",
        f"listener {rendered.listener.port} 127.0.0.1",
    ):
        assert line in lines
    assert not any(line.startswith("message_size_limit") for line in lines)
    assert "secret-password" not in "".join(
        f.read_text() for f in tmp_path.glob("broker/*") if f.is_file()
    )
    for file in (rendered.password_file, rendered.acl_file, rendered.config_file):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(rendered.config_file.parent.stat().st_mode) == 0o700


def test_a_port_in_use_is_said_so(broker: LocalBroker, tmp_path: Path) -> None:
    accounts = [Account(Role.WORKER, "worker", "p")]
    second = BrokerProcess(render(accounts, tmp_path / "second", Listener(broker.port)))
    with pytest.raises(BrokerStartError, match="in use"):
        second.start()


def test_a_broker_that_cannot_start_shows_its_log(tmp_path: Path) -> None:
    rendered = render([Account(Role.WORKER, "w", "p")], tmp_path / "b", Listener(free_port()))
    rendered.config_file.write_text("no_such_option true\n")
    with pytest.raises(BrokerStartError, match="no_such_option"):
        BrokerProcess(rendered).start()


def test_retained_messages_survive_a_clean_restart(own_broker: LocalBroker) -> None:
    topic = "hemowire/v1/records/status"

    async def publish() -> None:
        session = MqttSession(own_broker.settings("records"), SessionOptions("restart-test"))
        life = asyncio.create_task(session.run())
        async for event in session.events():
            if isinstance(event, Connected):
                await session.publish(topic, b"kept", retain=True)
                break
        await session.close()
        await life

    asyncio.run(publish())
    own_broker.process.stop()
    own_broker.process.start()
    saved = (own_broker.process.rendered.data_folder / "mosquitto.db").read_bytes()
    assert topic.encode() in saved


def test_the_example_settings_load_and_equal_the_defaults() -> None:
    loaded = load_settings(BrokerServerSettings, EXAMPLE, environ={})
    assert loaded == BrokerServerSettings()


def test_passwords_are_made_once_and_read_again(tmp_path: Path) -> None:
    settings = BrokerServerSettings(folder=tmp_path / "broker")
    first = {account.username: account.password for account in settings.load_accounts()}
    again = {account.username: account.password for account in settings.load_accounts()}
    assert first == again
    assert len(set(first.values())) == len(first)


def test_wrong_broker_settings_list_every_problem(tmp_path: Path) -> None:
    file = tmp_path / "broker.toml"
    file.write_text(
        '[listener]\nport = 99999\nbnd = "x"\n\n[[accounts]]\nrole = "edge"\nusername = "e"\n'
        '\n[[accounts]]\nrole = "wizard"\nusername = "w x"\n'
    )
    with pytest.raises(SettingsError) as caught:
        load_settings(BrokerServerSettings, file, environ={})
    text = str(caught.value)
    assert text.startswith("settings: 5 problems")
    for expected in (
        f"{file}:2: listener.port: ",
        f"{file}:3: listener.bnd: unknown key; allowed here: bind, ",
        "did you mean bind?",
        f"{file}:5: accounts.0: account e: an edge needs site and device",
        f"{file}:10: accounts.1.role: should be 'edge', 'worker'",
        f"{file}:11: accounts.1.username: ",
    ):
        assert expected in text, text
