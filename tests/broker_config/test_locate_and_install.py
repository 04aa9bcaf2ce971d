"""Finding Mosquitto, and getting it without root."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from broker_config import install
from broker_config.accounts import Account
from broker_config.install import install_mosquitto, unpack_packages
from broker_config.locate import MosquittoMissingError, cache_folder, find_mosquitto, probe
from broker_config.render import render
from broker_config.serve import BrokerProcess, free_port
from broker_config.template import Listener
from wire_protocol.access import Role


def test_the_program_of_the_environment_comes_first_and_must_run(tmp_path: Path) -> None:
    found = find_mosquitto()
    assert found is not None
    named = find_mosquitto({"HEMOWIRE_MOSQUITTO": str(found.program), "PATH": ""})
    assert named is None or named.program == found.program
    assert find_mosquitto({"HEMOWIRE_MOSQUITTO": "/nowhere/mosquitto", "PATH": ""}) is None


def test_what_is_not_a_broker_is_not_taken_for_one(tmp_path: Path) -> None:
    fake = tmp_path / "mosquitto"
    fake.write_text("#!/bin/sh\necho hello\n")
    fake.chmod(0o755)
    assert probe(fake) is None


def test_the_cache_folder_follows_xdg(tmp_path: Path) -> None:
    assert cache_folder({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "hemowire" / "mosquitto"


def test_macos_is_told_the_brew_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "find_mosquitto", lambda: None)
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(MosquittoMissingError, match="brew install mosquitto"):
        install_mosquitto()


def test_a_system_without_apt_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "find_mosquitto", lambda: None)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(MosquittoMissingError, match="HEMOWIRE_MOSQUITTO"):
        install_mosquitto()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(shutil.which("apt-get") is None, reason="no apt-get here")
@pytest.mark.skipif(bool(os.environ.get("HEMOWIRE_OFFLINE")), reason="HEMOWIRE_OFFLINE is set")
def test_the_debian_packages_run_from_a_folder_without_root(tmp_path: Path) -> None:
    unpacked = unpack_packages(tmp_path / "cache" / "mosquitto")
    assert str(unpacked.program).startswith(str(tmp_path))
    accounts = [Account(Role.WORKER, "worker", "password")]
    rendered = render(accounts, tmp_path / "broker", Listener(free_port()))
    with BrokerProcess(rendered, unpacked) as broker:
        assert broker.poll() is None
    assert unpack_packages(tmp_path / "cache" / "mosquitto").version == unpacked.version
