"""The program on a real broker: what programs say becomes points in its files, or in a server.

(Over 250 lines: one program, from its first message to its last.)
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from broker_config.local import METRICS, RECORDS, WORKER, LocalBroker, edge_username
from dashboard.metrics.program import run_metrics
from dashboard.metrics.settings import InfluxSettings, MetricsSettings
from service_runtime.settings import load_settings
from tests.dashboard.clients import TOPICS, Client, asynchronous, client
from tests.dashboard.metrics.line_protocol import Line, read_file, read_line
from tests.dashboard.metrics.pretend_influx import pretend_influx
from tests.dashboard.metrics.said import BUNDLE, fragment, health, worker_health, worker_status
from tests.dashboard.reports_for_tests import hex_id
from wire_protocol.json_messages import Presence
from wire_protocol.topics import Kind

ROOT = Path(__file__).parents[3]
DEADLINE_S = 20.0
ACCOUNTS = {"edge": edge_username("scope-1"), "worker": WORKER, "records": RECORDS}
NAMES = {"edge": "scope-1", "worker": WORKER, "records": RECORDS}


def settings(broker: LocalBroker, folder: Path, **more: object) -> MetricsSettings:
    return MetricsSettings.model_validate(
        {
            "broker": broker.settings(METRICS),
            "spool_folder": folder,
            "flush_s": 0.05,
            "counters_every_s": 1,
            "await_shown": False,
            **more,
        }
    )


def spooled(folder: Path) -> list[Line]:
    return [
        line for file in sorted(folder.glob("points-*.lp")) for line in read_file(file.read_bytes())
    ]


def of(lines: list[Line], measurement: str) -> list[Line]:
    return [line for line in lines if line.measurement == measurement]


@asynccontextmanager
async def running(wanted: MetricsSettings) -> AsyncIterator[None]:
    stop = asyncio.Event()
    program = asyncio.create_task(run_metrics(wanted, stop))
    try:
        yield
    finally:
        stop.set()
        async with asyncio.timeout(DEADLINE_S):
            await program


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not reached():  # noqa: ASYNC110  # files tell nobody that they grew
            await asyncio.sleep(0.02)


@asynccontextmanager
async def lab(broker: LocalBroker) -> AsyncIterator[dict[str, Client]]:
    """A device, a worker and the records store."""
    async with (
        client(broker, ACCOUNTS["edge"]) as edge,
        client(broker, ACCOUNTS["worker"]) as worker,
        client(broker, ACCOUNTS["records"]) as records,
    ):
        yield {"edge": edge, "worker": worker, "records": records}


async def tell_of_images(said: dict[str, Client], numbers: range) -> None:
    for number in numbers:
        for program, sender in said.items():
            topic = TOPICS.build(Kind.TRACE, program=NAMES[program])
            # QoS 1 here, so that the test knows that the broker has it.
            await sender.session.publish(topic, fragment(program, number).to_bytes())


async def say_health(said: dict[str, Client]) -> None:
    topic = TOPICS.build(Kind.DEVICE_HEALTH, site="lab", device="scope-1")
    await said["edge"].session.publish(topic, health().to_bytes())
    told = worker_health()
    topic = TOPICS.build(Kind.WORKER_HEALTH, worker=told.worker)
    await said["worker"].session.publish(topic, told.to_bytes())


async def say_status(said: dict[str, Client], state: Presence = Presence.ONLINE) -> None:
    status = worker_status(state)
    topic = TOPICS.build(Kind.WORKER_STATUS, worker=status.id)
    await said["worker"].session.publish(topic, status.to_bytes(), retain=True)


@asynchronous
async def test_without_a_server_everything_that_is_said_lies_in_files(
    own_broker: LocalBroker, tmp_path: Path
) -> None:
    folder = tmp_path / "spool"
    async with lab(own_broker) as said:
        await say_status(said)
        async with running(settings(own_broker, folder)):
            await until(lambda: len(of(spooled(folder), "hemowire_broker")) > 0)
            await say_health(said)
            await tell_of_images(said, range(5))
            await until(lambda: len(of(spooled(folder), "hemowire_image")) == 5)
            await say_status(said, Presence.OFFLINE)
            await until(
                lambda: of(spooled(folder), "hemowire_program")[-1].fields.get("online") == 0
            )
    lines = spooled(folder)
    assert len({line.series for line in lines}) == len(lines), "no point overwrites another"
    images = of(lines, "hemowire_image")
    assert [line.fields["image_id"] for line in images] == [hex_id("image", n) for n in range(5)]
    assert all(line.fields["scheduled_to_published_ms"] == 60.0 for line in images)
    assert all(line.tags["site"] == "lab" and line.tags["bundle"] == BUNDLE for line in images)
    assert len(of(lines, "hemowire_stage")) == 5 * 17
    assert of(lines, "hemowire_device")[0].fields["images_waiting"] == 2
    assert of(lines, "hemowire_worker")[0].fields["count_diagnosed"] == 7
    broker_line = of(lines, "hemowire_broker")[-1]
    assert str(broker_line.fields["version"]).startswith("mosquitto version")
    own = of(lines, "hemowire_metrics")[-1].fields
    assert own["points_made"] == own["points_waiting"] == len(lines) - 1
    assert (own["traces_complete"], own["points_dropped"]) == (5, 0)


@asynchronous
async def test_a_trace_without_its_record_is_written_after_the_patience(
    own_broker: LocalBroker, tmp_path: Path
) -> None:
    folder = tmp_path / "spool"
    async with lab(own_broker) as said, running(settings(own_broker, folder, patience_s=0.2)):
        del said["records"]
        await until(lambda: len(of(spooled(folder), "hemowire_broker")) > 0)
        await tell_of_images(said, range(1))
        await until(lambda: len(of(spooled(folder), "hemowire_image")) == 1)
    [image] = of(spooled(folder), "hemowire_image")
    assert image.fields["is_complete"] is False
    assert "captured_to_recorded_ms" not in image.fields


@asynchronous
async def test_what_is_malformed_or_disagrees_with_its_topic_is_counted_and_left_out(
    own_broker: LocalBroker, tmp_path: Path
) -> None:
    folder = tmp_path / "spool"
    async with lab(own_broker) as said, running(settings(own_broker, folder)):
        await until(lambda: len(of(spooled(folder), "hemowire_broker")) > 0)
        trace = TOPICS.build(Kind.TRACE, program="worker")
        topic = TOPICS.build(Kind.DEVICE_HEALTH, site="lab", device="scope-1")
        await said["worker"].session.publish(trace, b"not json")
        await said["edge"].session.publish(topic, health(device="scope-2").to_bytes())
        await until(
            lambda: of(spooled(folder), "hemowire_metrics")[-1].fields["messages_refused"] == 2
        )
    assert of(spooled(folder), "hemowire_device") == []


@asynchronous
async def test_the_server_has_all_points_after_a_clean_stop(
    own_broker: LocalBroker, tmp_path: Path
) -> None:
    with pretend_influx() as influx:
        wanted = settings(own_broker, tmp_path, influx=InfluxSettings(url=influx.url))
        async with lab(own_broker) as said, running(wanted):
            await asyncio.to_thread(influx.until, 2)
            await tell_of_images(said, range(10))
            await asyncio.to_thread(influx.until, 10 * 18)
        lines = [read_line(line.decode()) for line in influx.taken if line[:1] != b"#"]
    assert len(of(lines, "hemowire_image")) == 10
    assert len({line.series for line in lines}) == len(lines), "none twice"
    assert of(lines, "hemowire_metrics")[-1].fields["points_dropped"] == 0


@asynchronous
async def test_points_outlive_the_program_that_is_killed_while_the_server_is_away(
    own_broker: LocalBroker, tmp_path: Path
) -> None:
    """Twice: each life's points arrive once, with time stamps of their own."""
    config = tmp_path / "metrics.toml"
    folder = tmp_path / "spool"
    write_config(config, own_broker, folder)
    with pretend_influx() as influx:
        url = influx.url
    async with lab(own_broker) as said:
        for life in range(2):
            program = await started(config, url)  # nothing answers there
            # Its counters come from the broker: it is subscribed.
            await until(lambda n=life: len(of(spooled(folder), "hemowire_broker")) > n)  # type: ignore[misc]
            await tell_of_images(said, range(life * 20, life * 20 + 20))
            images = (life + 1) * 20
            await until(lambda n=images: len(of(spooled(folder), "hemowire_image")) == n)  # type: ignore[misc]
            program.kill()
            assert await program.wait() == -signal.SIGKILL
    before = spooled(folder)
    with pretend_influx() as influx:
        program = await started(config, influx.url)
        await asyncio.to_thread(influx.until, len(before))
        program.terminate()
        assert await program.wait() == 0
        arrived = [read_line(line.decode()) for line in influx.taken]
    series = [line.series for line in arrived]
    assert len(set(series)) == len(series)
    assert {line.series for line in before} <= set(series)
    assert len(of(arrived, "hemowire_image")) == 40


def write_config(config: Path, broker: LocalBroker, folder: Path) -> None:
    config.write_text(
        f'spool_folder = "{folder}"\nflush_s = 0.05\ncounters_every_s = 1\nawait_shown = false\n'
        f'[broker]\nport = {broker.port}\nusername = "{METRICS}"\n'
        f'password_file = "{broker.password_file(METRICS)}"\n'
    )


async def started(config: Path, url: str) -> Process:
    command = ["-m", "hemowire", "metrics", "--config", str(config), "--influx", url]
    return await asyncio.create_subprocess_exec(sys.executable, *command, cwd=ROOT)


@asynchronous
async def test_a_second_metrics_program_on_one_spool_ends_with_two_and_says_why(
    own_broker: LocalBroker, tmp_path: Path
) -> None:
    config = tmp_path / "metrics.toml"
    write_config(config, own_broker, tmp_path / "spool")
    async with running(settings(own_broker, tmp_path / "spool", name="first")):
        second = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "hemowire", "metrics", "--config", str(config)),
            cwd=ROOT,
            stderr=asyncio.subprocess.PIPE,
        )
        _, told = await second.communicate()
    assert second.returncode == 2
    assert b"another hemowire metrics uses it" in told


def test_the_example_can_be_loaded_and_shows_every_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in os.environ if name.startswith("HEMOWIRE_")]:
        monkeypatch.delenv(name)
    example = ROOT / "dashboard" / "metrics" / "metrics.example.toml"
    loaded = load_settings(MetricsSettings, example)
    assert loaded.influx is not None
    defaults = MetricsSettings(broker=loaded.broker, influx=loaded.influx)
    assert loaded == defaults, "the example shows the defaults"
    text = example.read_text()
    for name in MetricsSettings.model_fields:
        assert f"\n{name} = " in text or f"\n[{name}]" in text, name
