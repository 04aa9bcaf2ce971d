"""What becomes of a batch, whatever the server says to it, through the real influxdb-client."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from broker_config.serve import free_port
from dashboard.metrics.draining import Draining
from dashboard.metrics.server import Away, InfluxServer, Written
from dashboard.metrics.settings import InfluxSettings
from dashboard.metrics.spool import Spool
from tests.dashboard.clients import asynchronous
from tests.dashboard.metrics.pretend_influx import Answer, PretendInflux, pretend_influx

PROBE = "hemowire_metrics write_errors=1i 10000000\n"


@pytest.fixture
def influx() -> Iterator[PretendInflux]:
    with pretend_influx() as running:
        yield running


def server_of(url: str, **more: object) -> InfluxServer:
    settings = InfluxSettings.model_validate({"url": url, "token": "secret-token", **more})
    return InfluxServer(settings, lambda: PROBE)


def batch(*numbers: int) -> bytes:
    return b"".join(b"m n=%di %d\n" % (n, n) for n in numbers)


def points(influx: PretendInflux) -> list[int]:
    """The points of batches that the server has, without the probes."""
    return [int(line.rpartition(b" ")[2]) for line in influx.taken if line.startswith(b"m ")]


def refuses(*bad: int, status: int = 400) -> Answer:
    """InfluxDB's answer to a batch with bad points: it writes the good ones."""
    ends = tuple(b" %d" % n for n in bad)
    return Answer(status, "partial write: dropped", takes=lambda line: not line.endswith(ends))


def picky(*bad: int, status: int = 400) -> object:
    def always(body: bytes) -> Answer:
        ends = tuple(b" %d" % n for n in bad)
        is_bad = any(line.endswith(ends) for line in body.splitlines())
        return refuses(*bad, status=status) if is_bad else Answer(204)

    return always


def test_a_batch_is_one_gzipped_request_with_bucket_precision_and_token(
    influx: PretendInflux,
) -> None:
    server = server_of(influx.url, org="lab", bucket="smears")
    assert server.write(batch(1, 2, 3)) == Written()
    [request] = influx.requests
    assert request["path"] == "/api/v2/write"
    assert (request["org"], request["bucket"]) == ("lab", "smears")
    assert request["precision"] == "ns"
    assert request["content-encoding"] == "gzip"
    assert request["authorization"] == "Token secret-token"
    assert points(influx) == [1, 2, 3]


@pytest.mark.parametrize("status", [401, 403, 404, 408, 429, 500, 502, 503])
def test_a_server_that_cannot_now_keeps_the_batch_waiting_counted_and_logged(
    influx: PretendInflux, status: int
) -> None:
    influx.next_answers.append(Answer(status, '{"message":"why"}', {"Retry-After": "7"}))
    server = server_of(influx.url)
    with capture_logs() as logs:
        outcome = server.write(batch(1))
    assert isinstance(outcome, Away)
    assert str(status) in outcome.reason and "why" in outcome.reason
    assert outcome.retry_after_s == 7.0
    assert server.errors == 1
    assert [(log["event"], log["points"]) for log in logs] == [("write_failed", 1)]
    assert "secret-token" not in str(logs)


def test_a_server_that_is_not_there_is_away(influx: PretendInflux) -> None:
    server = server_of(f"http://127.0.0.1:{free_port()}")
    assert isinstance(server.write(batch(1)), Away)
    assert server.errors == 1


@pytest.mark.parametrize("status", [400, 422])
def test_only_the_points_that_are_refused_are_left_out(influx: PretendInflux, status: int) -> None:
    influx.always = picky(3, 7, status=status)  # type: ignore[assignment]  # a closure
    with capture_logs() as logs:
        assert server_of(influx.url).write(batch(*range(10))) == Written(refused=2)
    assert set(points(influx)) == set(range(10)) - {3, 7}
    told = [log["first"] for log in logs if log["event"] == "refused"]
    assert told == ["m n=3i 3", "m n=7i 7"]


def test_a_point_alone_in_its_batch_is_refused_too(influx: PretendInflux) -> None:
    influx.always = picky(3)  # type: ignore[assignment]  # a closure
    assert server_of(influx.url).write(batch(3)) == Written(refused=1)


def test_a_whole_batch_of_refused_points_does_not_cost_a_request_for_each(
    influx: PretendInflux,
) -> None:
    influx.always = picky(*range(1000))  # type: ignore[assignment]  # a closure
    assert server_of(influx.url).write(batch(*range(1000))) == Written(refused=1000)
    assert len(influx.requests) < 100


def test_good_points_behind_many_bad_ones_are_written(influx: PretendInflux) -> None:
    bad = range(500)

    def nothing_of_a_bad_batch(body: bytes) -> Answer:
        is_bad = any(int(line.rpartition(b" ")[2]) in bad for line in body.splitlines())
        return Answer(422 if is_bad else 204)

    influx.always = nothing_of_a_bad_batch
    assert server_of(influx.url).write(batch(*range(1000))) == Written(refused=500)
    assert points(influx) == list(range(500, 1000))


def test_a_server_that_refuses_everything_loses_nothing(influx: PretendInflux) -> None:
    """A proxy in between, or a wrong path: no point may be given up for that."""
    influx.always = lambda _body: Answer(400, "<html>Bad Request</html>")
    outcome = server_of(influx.url).write(batch(1, 2, 3))
    assert isinstance(outcome, Away)
    assert "refuses every point" in outcome.reason


def test_a_server_that_goes_away_while_a_batch_is_sifted_gets_it_again(
    influx: PretendInflux,
) -> None:
    influx.next_answers += [refuses(3), Answer(204), Answer(204), Answer(503, "gone")]
    assert isinstance(server_of(influx.url).write(batch(*range(10))), Away)


def test_a_batch_that_is_too_large_is_halved(influx: PretendInflux) -> None:
    influx.always = lambda body: Answer(413 if body.count(b"\n") > 3 else 204)
    assert server_of(influx.url).write(batch(*range(10))) == Written()
    assert points(influx) == list(range(10))


@asynchronous
async def test_the_spool_drains_in_order_when_the_server_is_back(
    influx: PretendInflux, tmp_path: Path
) -> None:
    influx.next_answers += [Answer(503), Answer(500)]
    spool = Spool(tmp_path, 1 << 20)
    for first in range(0, 3000, 10):
        spool.append([f"m n={n}i {n}" for n in range(first, first + 10)])
    draining = Draining(spool, server_of(influx.url), 500, flush_s=0.01)
    stop = asyncio.Event()
    running = asyncio.create_task(draining.run(stop))
    await asyncio.to_thread(influx.until, 3000)
    stop.set()
    await running
    assert points(influx) == list(range(3000))
    assert spool.counts.committed == 3000
    spool.close()


@asynchronous
async def test_what_is_appended_at_the_end_is_still_sent(
    influx: PretendInflux, tmp_path: Path
) -> None:
    spool = Spool(tmp_path, 1 << 20)
    draining = Draining(spool, server_of(influx.url), 500, flush_s=60)
    stop = asyncio.Event()
    running = asyncio.create_task(draining.run(stop))
    await asyncio.sleep(0)
    spool.append(["m n=1i 1"])
    stop.set()
    await running
    assert points(influx) == [1]
    spool.close()


@asynchronous
async def test_a_stop_does_not_wait_for_a_server_that_is_away(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1 << 20)
    spool.append(["m n=1i 1"])
    draining = Draining(spool, server_of(f"http://127.0.0.1:{free_port()}"), 500, flush_s=60)
    stop = asyncio.Event()
    running = asyncio.create_task(draining.run(stop))
    await asyncio.sleep(0)
    stop.set()
    async with asyncio.timeout(5):
        await running
    assert spool.waiting == 1
    spool.close()


def test_a_token_comes_from_its_file_and_is_never_shown(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("of-the-file\n")
    settings = InfluxSettings(url="http://x", token_file=tmp_path / "token")
    assert settings.read_token() == "of-the-file"
    assert "hidden" not in repr(InfluxSettings(url="http://x", token=SecretStr("hidden")))
