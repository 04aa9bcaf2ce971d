"""Fixtures that every room's tests share; each fixture runs the real thing."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker_config.local import LocalBroker

#: The devices that the test brokers have accounts for.
DEVICES = ("scope-1", "scope-2", "scope-3", "scope-4")


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBroker]:
    """One real Mosquitto for the whole run, with the shipped configuration; do not stop it."""
    with LocalBroker(tmp_path_factory.mktemp("broker"), devices=DEVICES) as running:
        yield running


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[LocalBroker]:
    """A real Mosquitto for one test, to be killed and restarted through `.process`."""
    with LocalBroker(tmp_path / "broker", devices=DEVICES) as running:
        yield running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips tests for a GPU where the driver lists none, and says so."""
    for_gpu = [item for item in items if item.get_closest_marker("gpu") is not None]
    if for_gpu and not _has_gpu():
        for item in for_gpu:
            item.add_marker(pytest.mark.skip(reason="no NVIDIA GPU on this machine"))


def _has_gpu() -> bool:
    smi = shutil.which("nvidia-smi")
    return smi is not None and subprocess.run([smi, "-L"], check=False).returncode == 0
