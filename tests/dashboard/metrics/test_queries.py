"""The page about latency: its tables are the schema's, its queries run and give what they promise."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from dashboard.metrics.server import InfluxServer, Written
from dashboard.metrics.settings import InfluxSettings
from tests.dashboard.metrics.lab_points import IMAGES_EACH, LabPoints, lab_points
from tests.dashboard.metrics.schema_page import PAGE, refreshed
from tests.dashboard.metrics.victoria import VictoriaProcess, running_victoria

TEXT = PAGE.read_text(encoding="utf-8")
PROMQL = re.findall(r"```promql\n(.*?)\n```", TEXT, re.DOTALL)


@pytest.fixture(scope="module")
def lab() -> LabPoints:
    return lab_points(round(time.time() * 1000))


@pytest.fixture(scope="module")
def victoria(tmp_path_factory: pytest.TempPathFactory, lab: LabPoints) -> Iterator[VictoriaProcess]:
    for running in running_victoria(tmp_path_factory.mktemp("victoria")):
        server = InfluxServer(InfluxSettings(url=running.url), lambda: "")
        assert server.write(lab.data()) == Written()
        yield running


def answer(victoria: VictoriaProcess, lab: LabPoints, wanted: str) -> dict[str, float]:
    """The values of the page's query with these words in it, by stage or device."""
    [query] = [text for text in PROMQL if wanted in text]
    result = victoria.query(query, lab.end_ms / 1000)
    return {
        row["metric"].get("stage", row["metric"].get("device", "")): float(row["value"][1])
        for row in result
    }


def quantile(values: list[float], q: float) -> float:
    """Linear between the two nearest, as Prometheus has it."""
    ordered = sorted(values)
    at = q * (len(ordered) - 1)
    low, share = int(at), at % 1
    return ordered[low] + share * (ordered[min(low + 1, len(ordered) - 1)] - ordered[low])


def test_the_page_s_tables_are_the_schema_s() -> None:
    assert refreshed(TEXT) == TEXT, "stale: python -m tests.dashboard.metrics.schema_page"


@pytest.mark.parametrize("query", PROMQL)
def test_every_query_of_the_page_has_an_answer(
    victoria: VictoriaProcess, lab: LabPoints, query: str
) -> None:
    assert victoria.query(query, lab.end_ms / 1000)


def test_the_pooled_percentile_of_a_stage_is_that_of_all_its_points(
    victoria: VictoriaProcess, lab: LabPoints
) -> None:
    found = answer(victoria, lab, "sum(histogram_over_time(hemowire_stage")
    assert set(found) == {"gated", "last_sent", "inferred"}
    for stage, value in found.items():
        assert value == pytest.approx(quantile(lab.pooled(stage), 0.95), rel=0.14)


def test_the_percentile_of_one_device_is_exact(victoria: VictoriaProcess, lab: LabPoints) -> None:
    found = answer(victoria, lab, 'quantile_over_time(0.95, hemowire_stage_duration_ms{stage="inf')
    [query] = [text for text in PROMQL if text.startswith("quantile_over_time")]
    rows = victoria.query(query, lab.end_ms / 1000)
    assert len(found) == 1 and len(rows) == 2
    for row in rows:
        expected = quantile(lab.durations["inferred", row["metric"]["device"]], 0.95)
        assert float(row["value"][1]) == pytest.approx(expected, rel=1e-9)


def test_the_mean_of_each_stage_says_where_the_milliseconds_go(
    victoria: VictoriaProcess, lab: LabPoints
) -> None:
    for stage, value in answer(victoria, lab, "sum(sum_over_time").items():
        every = lab.pooled(stage)
        assert value == pytest.approx(sum(every) / len(every), rel=1e-6)


def test_the_whole_way_its_error_the_rate_and_what_waits(
    victoria: VictoriaProcess, lab: LabPoints
) -> None:
    [p99] = answer(victoria, lab, "hemowire_image_scheduled_to_published_ms").values()
    assert p99 == pytest.approx(quantile(lab.totals, 0.99), rel=0.14)
    errors = answer(victoria, lab, "published_error_ms")
    assert errors == {"scope-1": 0.5, "scope-2": 1.5}
    rates = answer(victoria, lab, "captured_to_recorded_ms")
    assert rates == dict.fromkeys(rates, IMAGES_EACH / 3600)
    assert answer(victoria, lab, "images_waiting") == {"scope-1": 3.0, "scope-2": 4.0}


def test_the_alarms_ring(victoria: VictoriaProcess, lab: LabPoints) -> None:
    assert answer(victoria, lab, "publishes_dropped") == {"": pytest.approx(4.0)}
    assert answer(victoria, lab, "points_dropped") == {"": 2.0}
    assert answer(victoria, lab, "is_halted") == {"scope-2": 1.0}
