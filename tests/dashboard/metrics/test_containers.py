"""The same points against InfluxDB 2 and Mosquitto 2.1, in containers; skipped where no Docker engine is."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

from broker_config.local import METRICS, LocalBroker
from dashboard.metrics.server import InfluxServer, Written
from dashboard.metrics.spool import Spool
from dashboard.metrics.spooling import Spooling
from tests.conftest import DEVICES
from tests.dashboard.clients import asynchronous
from tests.dashboard.metrics.containers import (
    BUCKET,
    TOKEN,
    InfluxContainer,
    mosquitto_container,
    need_docker,
)
from tests.dashboard.metrics.interrupted import (
    FAULTS,
    IMAGES,
    POINTS,
    Interrupted,
    drained,
    image,
)
from tests.dashboard.metrics.lab_points import lab_points
from tests.dashboard.metrics.line_protocol import read_file
from tests.dashboard.metrics.schema_page import PAGE
from tests.dashboard.metrics.test_program import (
    lab,
    of,
    running,
    say_health,
    settings,
    spooled,
    tell_of_images,
    until,
)

pytestmark = pytest.mark.timeout(240)

TEXT = PAGE.read_text(encoding="utf-8")
FLUX = re.findall(r"```flux\n(.*?)\n```", TEXT, re.DOTALL)
INFLUXQL = re.findall(r"```influxql\n(.*?)\n```", TEXT, re.DOTALL)
EVERY_STAGE = f"""from(bucket: "{BUCKET}") |> range(start: -1h, stop: 1h)
  |> filter(fn: (r) => r._measurement == "hemowire_stage")
  |> filter(fn: (r) => r._field == "duration_ms" or r._field == "error_ms")"""
TAGS = ("site", "device", "worker", "stage")
Value = tuple[tuple[str, ...], str, int, float]


@pytest.fixture(scope="module")
def docker() -> None:
    need_docker()


@pytest.fixture
def influx(docker: None) -> Iterator[InfluxContainer]:
    container = InfluxContainer()
    try:
        yield container
    finally:
        container.remove()


def nanoseconds(text: str) -> int:
    """Of RFC 3339 with up to nine digits, which datetime does not hold."""
    seconds, _, rest = text.removesuffix("Z").partition(".")
    whole = datetime.fromisoformat(f"{seconds}+00:00")
    return round(whole.timestamp()) * 10**9 + int(rest.ljust(9, "0") or 0)


def test_a_time_to_the_nanosecond_is_read_to_the_nanosecond() -> None:
    assert nanoseconds("1970-01-01T00:00:01.000000007Z") == 1_000_000_007
    assert nanoseconds("2026-11-21T15:00:00Z") == 1_795_273_200_000_000_000


def test_influxdb_has_fifty_thousand_points_once_each_though_it_is_stopped_killed_and_cut_off(
    influx: InfluxContainer, tmp_path: Path
) -> None:
    spool = Spool(tmp_path / "spool", 1 << 30)
    spooling = Spooling(spool, "us")
    chance = random.Random(4)
    for _ in range(IMAGES):
        spooling.put(image(chance))
    expected: Counter[Value] = Counter()
    for file in sorted((tmp_path / "spool").glob("points-*.lp")):
        for line in read_file(file.read_bytes()):
            series = tuple(line.tags[tag] for tag in TAGS)
            for name in ("duration_ms", "error_ms"):
                expected[series, name, line.timestamp_ns, float(line.fields[name])] += 1
    server = InfluxServer(influx.settings, lambda: "hemowire_metrics write_errors=1i\n")
    interrupted = Interrupted(influx, server)
    drained(spool, interrupted)
    spool.close()
    assert interrupted.faults == FAULTS
    assert spool.counts.committed == POINTS
    found = Counter(
        (
            tuple(row[tag] for tag in TAGS),
            row["_field"],
            nanoseconds(row["_time"]),
            float(row["_value"]),
        )
        for row in influx.rows(EVERY_STAGE)
    )
    assert found == expected


def test_every_flux_and_influxql_query_of_the_page_has_an_answer(influx: InfluxContainer) -> None:
    server = InfluxServer(influx.settings, lambda: "")
    assert server.write(lab_points(round(time.time() * 1000)).data()) == Written()
    for query in FLUX:
        assert influx.rows(query), query
    for query in INFLUXQL:
        asked = urlencode({"db": BUCKET, "q": query})
        request = Request(
            f"{influx.url}/query?{asked}", headers={"Authorization": f"Token {TOKEN}"}
        )
        with urlopen(request, timeout=30) as reply:
            assert b'"values"' in reply.read(), query


def test_a_field_of_another_type_is_refused_and_the_points_around_it_are_written(
    influx: InfluxContainer,
) -> None:
    server = InfluxServer(influx.settings, lambda: "probe f=1.0\n")
    now_ns = time.time_ns()
    assert server.write(b"m f=1.0 %d\n" % now_ns) == Written()
    lines = b"m f=2.0 %d\nm f=3i %d\nm f=4.0 %d\n" % (now_ns + 1, now_ns + 2, now_ns + 3)
    assert server.write(lines) == Written(refused=1)
    rows = influx.rows(f'from(bucket: "{BUCKET}") |> range(start: -1h, stop: 1h)')
    assert sorted(float(row["_value"]) for row in rows if row["_measurement"] == "m") == [1, 2, 4]


def test_mosquitto_2_1_gives_the_same_points(docker: None, tmp_path: Path) -> None:
    with mosquitto_container(tmp_path / "broker", DEVICES) as broker:
        listens(broker, tmp_path / "spool")


@asynchronous
async def listens(broker: LocalBroker, folder: Path) -> None:
    assert broker.accounts[METRICS].username == METRICS
    async with lab(broker) as said, running(settings(broker, folder)):
        await until(lambda: len(of(spooled(folder), "hemowire_broker")) > 0)
        await say_health(said)
        await tell_of_images(said, range(5))
        await until(lambda: len(of(spooled(folder), "hemowire_image")) == 5)
    lines = spooled(folder)
    assert str(of(lines, "hemowire_broker")[-1].fields["version"]).startswith(
        "mosquitto version 2.1"
    )
    assert of(lines, "hemowire_device") and of(lines, "hemowire_worker")
    assert {line.tags["site"] for line in of(lines, "hemowire_image")} == {"lab"}
