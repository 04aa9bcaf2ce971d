"""The provisioned dashboard: sound JSON whose queries ask only for what the metrics program writes."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest

from dashboard.metrics.schema import MEASUREMENTS
from tests.deploy.deployment import DEPLOY, load_yaml, mounts, services
from wire_protocol.trace import READING_STAGES, STAGES, Stage

GRAFANA = DEPLOY / "grafana"
DASHBOARD = GRAFANA / "dashboards" / "stage-latencies.json"
#: Columns that every table of Flux has.
_OWN_COLUMNS = {"_time", "_value", "_field", "_measurement", "_start", "_stop"}


def dashboard() -> dict[str, Any]:
    return dict(json.loads(DASHBOARD.read_text(encoding="utf-8")))


def queries() -> list[tuple[str, str]]:
    """Each query with its panel's title."""
    loaded = dashboard()
    found = [
        (panel["title"], target["query"])
        for panel in loaded["panels"]
        for target in panel.get("targets", [])
    ]
    return found + [(v["name"], v["query"]) for v in loaded["templating"]["list"]]


def problems(query: str) -> list[str]:
    """What a query asks for that the schema has not."""
    names = re.findall(r'(?:_measurement == |measurement: )"([^"]*)"', query)
    known = {m.name: m for m in MEASUREMENTS}
    if len(names) != 1 or names[0] not in known:
        return [f"measurement {names}"]
    measurement = known[names[0]]
    wrong = []
    for field in re.findall(r'_field == "([^"]*)"', query):
        try:
            measurement.type_of(field)
        except KeyError:
            wrong.append(f"field {field}")
    made_here = set(re.findall(r"(\w+):", query))  # names in records that map and rename make
    groups = re.findall(r"group\(columns: \[([^\]]*)\]", query)
    tags = {tag for text in groups for tag in re.findall(r'"(\w+)"', text)}
    tags |= set(re.findall(r'\btag: "(\w+)"', query))
    tags |= set(re.findall(r"\br\.(\w+) =~", query))
    wrong += [f"tag {tag}" for tag in tags - set(measurement.tags) - _OWN_COLUMNS]
    read = set(re.findall(r"\br\.(\w+)", query))
    wrong += [f"column {c}" for c in read - set(measurement.tags) - _OWN_COLUMNS - made_here]
    return wrong


@pytest.mark.parametrize(("title", "query"), queries())
def test_a_query_uses_only_measurements_fields_and_tags_of_the_schema(
    title: str, query: str
) -> None:
    assert problems(query) == [], title


def test_a_query_for_something_else_would_be_noticed() -> None:
    good = 'from(bucket: "hemowire") |> filter(fn: (r) => r._measurement == "hemowire_stage")'
    assert problems(good) == []
    assert problems(good.replace("stage", "stages"))
    assert problems(good + ' |> filter(fn: (r) => r._field == "duration_s")')
    assert problems(good + ' |> group(columns: ["patient"])')
    assert problems(good + " |> filter(fn: (r) => r.colour =~ /red/)")


def test_every_query_asks_the_bucket_that_influxdb_makes() -> None:
    bucket = services()["influxdb"]["environment"]["DOCKER_INFLUXDB_INIT_BUCKET"]
    for title, query in queries():
        assert re.findall(r'bucket: "([^"]*)"', query) == [bucket], title


def test_stages_are_drawn_in_the_order_of_the_path() -> None:
    ordered = [query for _, query in queries() if "order = [" in query]
    assert ordered
    for query in ordered:
        literal = query.partition("order = [")[2].partition("]")[0]
        numbers = {name: int(n) for name, n in re.findall(r'"(\w+)": (\d+)', literal)}
        in_order = [stage.value for stage in STAGES if stage is not Stage.SCHEDULED]
        assert sorted(numbers, key=numbers.__getitem__) == in_order
        # What people do takes minutes, and would leave the milliseconds no room.
        assert all(f'r.stage != "{stage.value}"' in query for stage in READING_STAGES)


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for one, other in itertools.combinations([panel["gridPos"] for panel in panels], 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)


def test_the_screen_says_that_it_is_for_research_only() -> None:
    texts = [p["options"]["content"] for p in dashboard()["panels"] if p["type"] == "text"]
    assert any("Research use only, not for diagnosis" in text for text in texts)


def test_the_data_source_is_the_one_that_panels_name_with_the_token_that_only_reads() -> None:
    (source,) = load_yaml(GRAFANA / "provisioning" / "datasources" / "influxdb.yaml")["datasources"]
    loaded = dashboard()
    used = {
        target["datasource"]["uid"] for p in loaded["panels"] for target in p.get("targets", [])
    }
    used |= {variable["datasource"]["uid"] for variable in loaded["templating"]["list"]}
    assert used == {source["uid"]}
    environ = services()["influxdb"]["environment"]
    assert source["jsonData"]["version"] == "Flux"
    assert source["jsonData"]["organization"] == environ["DOCKER_INFLUXDB_INIT_ORG"]
    folder = next(t for s, t, _ in mounts(services()["grafana"]) if s == "series-read")
    assert source["secureJsonData"] == {"token": f"$__file{{{folder}/token}}"}


def test_grafana_mounts_what_its_provisioning_names() -> None:
    (provider,) = load_yaml(GRAFANA / "provisioning" / "dashboards" / "hemowire.yaml")["providers"]
    grafana = services()["grafana"]
    assert ("./deploy/grafana/dashboards", provider["options"]["path"], True) in mounts(grafana)
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/{DASHBOARD.name}"
