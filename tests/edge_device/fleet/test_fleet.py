"""A fleet: every light device keeps, sends and is recorded as a whole agent's images are."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker_config.local import LocalBroker
from edge_device.fleet import FleetSettings
from edge_device.outbox import read_snapshot
from hemowire.demo.toml_text import toml_text
from service_runtime.settings import SettingsError, load_settings
from tests.edge_device.far_side import FarSide
from tests.edge_device.in_loop import in_loop
from wire_protocol.machine_io import OutboxState

DEVICES, CAPTURES = 20, 3


@pytest.fixture(scope="module")
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBroker]:
    names = [f"fleet-{number}" for number in range(1, DEVICES + 1)]
    with LocalBroker(tmp_path_factory.mktemp("broker"), devices=names) as broker:
        yield broker


def write_config(broker: LocalBroker, folder: Path) -> Path:
    path = folder / "fleet.toml"
    text = toml_text(
        {
            "site": "lab",
            "devices": DEVICES,
            "processes": 2,
            "captures": CAPTURES,
            "every_s": 0.4,
            "data_dir": folder / "devices",
            "images": {"width_px": 96, "height_px": 64, "distinct": 2},
            "outbox": {"min_free_bytes": 0},
            "broker": {
                "port": broker.port,
                "username": "edge-{device}",
                "password_file": broker.password_file("edge-{device}"),
            },
        }
    )
    path.write_text(text, encoding="utf-8")
    return path


async def run_fleet(config: Path, *more: str) -> tuple[int, dict[str, object]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hemowire", "fleet", "--json", "--config", str(config), *more),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, json.loads(out)


@in_loop
async def test_twenty_devices_in_two_processes_lose_nothing_and_go_on_where_they_were(
    own_broker: LocalBroker, tmp_path: Path
) -> None:
    config = write_config(own_broker, tmp_path)
    async with FarSide(own_broker).running() as far:
        code, report = await run_fleet(config)
        assert code == 0
        assert (report["devices"], report["connected"]) == (DEVICES, 0), "all have said goodbye"
        wanted = DEVICES * CAPTURES
        assert (report["captured"], report["recorded"]) == (wanted, wanted)
        assert report["recorded_each"] == [CAPTURES] * DEVICES
        assert len(far.recorded) == wanted
        code, again = await run_fleet(config, "--captures", str(CAPTURES + 1))
        assert code == 0
        assert again["recorded"] == len(far.recorded) == wanted + DEVICES
    assert set(far.times_recorded.values()) == {1}
    by_device: Counter[str] = Counter()
    for number in range(1, DEVICES + 1):
        snapshot = read_snapshot(tmp_path / "devices" / f"fleet-{number}" / "outbox")
        assert [row.seq for row in snapshot.rows] == [1, 2, 3, 4]
        for row in snapshot.rows:
            assert row.state is OutboxState.RECORDED
            assert hashlib.sha256(far.archive[row.sha256]).hexdigest() == row.sha256
            by_device[row.sha256] += 1
    assert set(by_device.values()) == {1}, "captures with the same bytes"


@pytest.mark.parametrize("processes", [1, 3, 7])
def test_every_device_belongs_to_one_process(processes: int) -> None:
    settings = FleetSettings.model_validate(
        {
            "site": "lab",
            "devices": 17,
            "processes": processes,
            "data_dir": "d",
            "broker": {"username": "edge-{device}"},
        }
    )
    shares = [settings.share_of(process) for process in range(processes)]
    assert [number for share in shares for number in share] == list(range(1, 18))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    device = settings.device(5)
    assert (device.device, device.broker.username) == ("fleet-5", "edge-fleet-5")
    assert device.data_dir == Path("d/fleet-5")


def test_devices_that_would_share_an_account_are_refused(tmp_path: Path) -> None:
    config = tmp_path / "fleet.toml"
    config.write_text(
        'site = "lab"\ndata_dir = "d"\ndevices = 2\n[broker]\nusername = "edge-1"\n',
        encoding="utf-8",
    )
    with pytest.raises(SettingsError, match="must hold"):
        load_settings(FleetSettings, config, environ={})
