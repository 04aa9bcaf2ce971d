"""`hemowire edge` as a process: example settings, light imports, exit codes, kill -9 and Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from broker_config.local import LocalBroker, edge_username
from edge_device.outbox import read_snapshot
from edge_device.settings import EdgeSettings
from service_runtime.settings import load_settings
from tests.edge_device.conftest import MakeImages
from tests.edge_device.far_side import FarSide
from tests.edge_device.in_loop import in_loop
from wire_protocol.machine_io import OutboxState

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "edge_device" / "edge.example.toml"
#: A restarted agent asks sooner what became of its images than it would in a lab.
QUICK = "\n[transfer]\ninquire_after_s = 0.2\ninquiry_first_s = 0.2\n"


def write_settings(folder: Path, broker: LocalBroker, images: Path, camera: str = "") -> Path:
    """The example file with this broker, these images and this folder."""
    text = EXAMPLE.read_text()
    username = edge_username("scope-1")
    for old, new in (
        ('data_dir = "scope-1"', f'data_dir = "{folder / "scope-1"}"'),
        ('folder = "images"', f'folder = "{images}"\n{camera}'),
        ("settle_s = 1.0", "settle_s = 0.0"),
        ("min_free_bytes = 536870912", "min_free_bytes = 0"),
        ("port = 1884", f"port = {broker.port}"),
        (f'"var/broker/secrets/{username}"', f'"{broker.password_file(username)}"'),
    ):
        assert old in text
        text = text.replace(old, new, 1)
    path = folder / "edge.toml"
    path.write_text(text + QUICK)
    return path


@contextmanager
def edge_process(config: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """The real program; killed at the end where it still runs."""
    command = [sys.executable, "-m", "hemowire", "edge", "--config", str(config), *arguments]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


async def ended(process: subprocess.Popen[bytes], seconds: float = 40) -> int:
    return await asyncio.to_thread(process.wait, seconds)


def test_the_example_is_a_valid_file_with_the_defaults() -> None:
    settings = load_settings(EdgeSettings, EXAMPLE, environ={})
    plain = EdgeSettings.model_validate(
        {
            "site": "lab",
            "device": "scope-1",
            "data_dir": "scope-1",
            "camera": {"kind": "folder", "folder": "images"},
            "broker": {
                "username": "edge-scope-1",
                "password_file": "var/broker/secrets/edge-scope-1",
            },
        }
    )
    assert settings == plain


def test_the_agent_imports_neither_torch_nor_openvino_nor_other_programs() -> None:
    code = (
        "import sys, edge_device.agent, edge_device.calibration.scale, hemowire.commands.edge.run_job\n"
        "heavy = {'torch', 'torchvision', 'openvino', 'sqlalchemy', 'sklearn', 'onnx', 'fsspec',"
        " 'safetensors', 'PIL', 'cloud_worker', 'dashboard', 'training', 'broker_config'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_wrong_settings_and_a_missing_camera_exit_2_by_name(tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    text = EXAMPLE.read_text().replace('site = "lab"', 'site = "a lab"').replace("poll_s", "pol_s")
    path.write_text(text)
    command = [sys.executable, "-m", "hemowire", "edge", "--config"]
    done = subprocess.run(
        [*command, str(path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "edge.toml:4: site" in done.stderr and "pol_s: unknown key" in done.stderr
    path.write_text(EXAMPLE.read_text().replace('data_dir = "', f'data_dir = "{tmp_path}/'))
    done = subprocess.run(
        [*command, str(path), "--images", str(tmp_path / "nowhere")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and "no such folder" in done.stderr


def test_a_wrong_password_exits_2_by_name(
    broker: LocalBroker, tmp_path: Path, make_images: MakeImages
) -> None:
    make_images(tmp_path / "in", 1)
    config = write_settings(tmp_path, broker, tmp_path / "in")
    wrong = tmp_path / "wrong"
    wrong.write_text("not the password")
    password = broker.password_file(edge_username("scope-1"))
    config.write_text(config.read_text().replace(str(password), str(wrong)))
    done = subprocess.run(
        [sys.executable, "-m", "hemowire", "edge", "--config", str(config)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr


@in_loop
async def test_a_killed_agent_loses_nothing_and_captures_nothing_twice(
    broker: LocalBroker, tmp_path: Path, make_images: MakeImages
) -> None:
    paths = make_images(tmp_path / "in", 30)
    config = write_settings(tmp_path, broker, tmp_path / "in")
    outbox = tmp_path / "scope-1" / "outbox"
    async with FarSide(broker).running() as far:
        for enough in (2, 8, 15):
            with edge_process(config, "--exit-when-done") as process:
                await far.until(lambda n=enough: len(far.recorded) >= n)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
                process.kill()
                await ended(process)
        with edge_process(config, "--exit-when-done") as process:
            assert await ended(process) == 0
        snapshot = read_snapshot(outbox)
        assert [row.seq for row in snapshot.rows] == list(range(1, 31))
        assert sorted(row.source for row in snapshot.rows) == [str(path) for path in paths]
        assert {row.state for row in snapshot.rows} == {OutboxState.RECORDED}
        assert {row.image_id for row in snapshot.rows} == set(far.recorded)
        assert set(far.times_recorded.values()) == {1}


@in_loop
async def test_a_killed_broker_and_a_silent_worker_cost_time_only(
    own_broker: LocalBroker, tmp_path: Path, make_images: MakeImages
) -> None:
    make_images(tmp_path / "in", 20)
    config = write_settings(tmp_path, own_broker, tmp_path / "in", "rate_per_s = 20.0")
    async with FarSide(own_broker).running() as far:
        with edge_process(config, "--exit-when-done") as process:
            await far.until(lambda: len(far.recorded) >= 3)
            own_broker.process.kill()
            own_broker.process.start()
            assert await ended(process) == 0
        assert len(far.recorded) == 20
        assert {r.state for r in read_snapshot(tmp_path / "scope-1" / "outbox").rows} == {
            OutboxState.RECORDED
        }


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@in_loop
async def test_a_signal_ends_the_agent_cleanly(
    broker: LocalBroker, tmp_path: Path, make_images: MakeImages, number: signal.Signals
) -> None:
    make_images(tmp_path / "in", 3)
    config = write_settings(tmp_path, broker, tmp_path / "in")
    async with FarSide(broker).running() as far:
        with edge_process(config) as process:
            await far.until(lambda: len(far.recorded) == 3)
            os.kill(process.pid, number)
            assert await ended(process, 10) == 0
        await far.until(lambda: far.statuses[-1].state.value == "offline")


@in_loop
async def test_of_two_agents_with_the_same_id_one_ends_with_3(
    broker: LocalBroker, tmp_path: Path, make_images: MakeImages
) -> None:
    make_images(tmp_path / "in", 1)
    config = write_settings(tmp_path, broker, tmp_path / "in")
    (tmp_path / "other").mkdir()
    other = write_settings(tmp_path / "other", broker, tmp_path / "in")
    async with FarSide(broker).running() as far:
        with edge_process(config) as first:
            await far.until(lambda: len(far.recorded) == 1)
            with edge_process(other) as second:
                both = [asyncio.create_task(ended(process)) for process in (first, second)]
                done, left = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                assert [task.result() for task in done] == [3]
                for process in (first, second):
                    process.terminate()
                assert await left.pop() == 0


@in_loop
async def test_the_simulated_camera_runs_by_count_and_is_recorded(
    broker: LocalBroker, tmp_path: Path
) -> None:
    config = write_settings(tmp_path, broker, tmp_path)
    text = config.read_text()
    start, end = text.index("[camera]"), text.index("[gate]")
    config.write_text(f'{text[:start]}[camera]\nkind = "simulated"\n\n{text[end:]}')
    async with FarSide(broker).running() as far:
        with edge_process(config, "--count", "3", "--exit-when-done") as process:
            assert await ended(process) == 0
        assert len(far.recorded) == 3
        assert {manifest.um_per_px for manifest in far.manifests.values()} == {0.2}
    sources = [row.source for row in read_snapshot(tmp_path / "scope-1" / "outbox").rows]
    assert sources == [f"simulated:seed0:ALL:slide0:field{n}" for n in range(3)]
