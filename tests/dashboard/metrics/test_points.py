"""What programs say becomes points of the schema; pure."""

from __future__ import annotations

import pytest

from dashboard.metrics import points, schema
from dashboard.metrics.broker_counters import FIELDS, PREFIX, BrokerCounters
from dashboard.metrics.lines import Point, line_of
from dashboard.metrics.places import OTHER, Places, TagValues, worker_name
from tests.dashboard.metrics.line_protocol import Line, read_line
from tests.dashboard.metrics.said import BUNDLE, fragment, health, worker_health, worker_status
from tests.dashboard.reports_for_tests import hex_id
from wire_protocol.joined_trace import JoinedTrace
from wire_protocol.json_messages import Presence, Status
from wire_protocol.trace_join import TraceJoiner


def read(point: Point) -> Line:
    line = line_of(point, 1)
    assert line is not None
    return read_line(line)


def joined() -> JoinedTrace:
    joiner = TraceJoiner()
    for program in ("records", "edge", "worker"):
        joiner.add(fragment(program, 1), 0.0)
    [trace] = joiner.rest()
    return trace


def places() -> Places:
    known = Places()
    known.hear_device("lab", "scope-1")
    known.hear_worker(worker_status())
    return known


def test_a_trace_is_a_point_per_stage_and_one_for_the_image() -> None:
    *stages, image = [read(point) for point in points.trace_points(joined(), places())]
    where = {"site": "lab", "device": "scope-1", "worker": "worker", "bundle": BUNDLE}
    took = {line.tags["stage"]: line.fields["duration_ms"] for line in stages}
    assert took["captured"] == 2.0
    assert took["last_sent"] == 6.0
    assert took["inferred"] == 30.0
    assert took["recorded"] == 6.0
    assert len(stages) == 17
    for line in stages:
        assert line.measurement == "hemowire_stage"
        assert line.tags == {**where, "stage": line.tags["stage"]}
        assert line.fields["image_id"] == hex_id("image", 1)
        assert line.fields["error_ms"] == 0.0
    assert image.measurement == "hemowire_image"
    assert image.tags == where
    assert image.fields["scheduled_to_published_ms"] == 60.0
    assert image.fields["captured_to_recorded_ms"] == 64.0
    assert "captured_to_shown_ms" not in image.fields
    assert image.fields["size_bytes"] == 22_000
    assert image.fields["attempt"] == "00000000000000aa"


def test_the_points_of_one_image_share_a_time_stamp_and_overwrite_nothing() -> None:
    lines = [read(point) for point in points.trace_points(joined(), places())]
    assert len({line.series for line in lines}) == len(lines)


def test_what_is_not_known_of_a_place_is_left_out() -> None:
    line = read(points.trace_points(joined(), Places())[-1])
    assert set(line.tags) == {"device", "worker"}


def test_health_has_its_counts_scores_and_whether_something_is_wrong() -> None:
    line = read(points.device_point(health(halted="disk full", alarm="old images")))
    assert line.tags == {"site": "lab", "device": "scope-1"}
    assert line.fields["images_waiting"] == 2
    assert line.fields["images_stored"] == 0
    assert line.fields["score_focus"] == 0.8
    assert line.fields["clock_error_ms"] == 0.25
    assert line.fields["oldest_unrecorded_seq"] == 5
    assert (line.fields["is_halted"], line.fields["halted"]) == (True, "disk full")
    assert line.fields["has_alarm"] is True
    assert "cpu_temperature_c" not in line.fields


def test_names_that_a_program_makes_up_are_bounded_and_harmless() -> None:
    scores = {f"s{n}": 1.0 for n in range(100)}
    line = read(points.device_point(health(last_scores=scores)))
    assert sum(name.startswith("score_") for name in line.fields) == points.MOST_OWN_NAMES
    odd = {"a b": 1.0, "x=1": 1.0, "": 1.0, "x" * 65: 1.0, "ö": 1.0, "good_1": 1.0}
    line = read(points.device_point(health(last_scores=odd)))
    assert [name for name in line.fields if name.startswith("score_")] == ["score_good_1"]


def test_a_worker_s_counters_are_fields_and_its_new_id_is_no_tag() -> None:
    line = read(points.worker_point(worker_health()))
    assert line.tags == {"worker": "worker", "bundle": BUNDLE, "engine": "openvino-bf16"}
    assert line.fields["count_diagnosed"] == 7
    assert line.fields["in_hand"] == 2
    assert line.fields["id"] == "worker-0a1b2c3d"


@pytest.mark.parametrize(
    ("worker_id", "name"),
    [("worker-0a1b2c3d", "worker"), ("gpu-2-ffffffff", "gpu-2"), ("solo", "solo"), ("", "")],
)
def test_a_worker_s_name_is_its_id_without_the_part_that_is_new(worker_id: str, name: str) -> None:
    assert worker_name(worker_id) == name


def test_a_status_says_whether_a_program_is_there() -> None:
    gone = read(points.program_point(worker_status(Presence.OFFLINE), places()))
    assert gone.tags == {"program": "worker", "worker": "worker"}
    assert (gone.fields["online"], gone.fields["reason"]) == (0, "connection lost")
    life = hex_id("life", 2)
    edge = Status(state=Presence.ONLINE, incarnation=life, program="edge", id="scope-1")
    there = read(points.program_point(edge, places()))
    assert there.tags == {"program": "edge", "site": "lab", "device": "scope-1"}
    assert there.fields["online"] == 1


def test_every_field_of_the_broker_is_in_the_schema_and_has_a_topic() -> None:
    assert set(FIELDS.values()) == set(schema.BROKER.fields)


def test_the_broker_s_counters_are_numbers_and_nothing_else_is_taken_for_one() -> None:
    counters = BrokerCounters()
    assert counters.hear(PREFIX + "uptime", b"123 seconds")
    assert counters.hear(PREFIX + "retained messages/count", b"40")
    assert counters.hear(PREFIX + "version", b"mosquitto version 2.0.11")
    for topic, payload in (
        ("messages/sent", b""),
        ("messages/sent", b"-1"),
        ("messages/sent", "٣".encode()),
        ("messages/sent", b"\xff"),
        ("clients/active", b"3"),
    ):
        assert not counters.hear(PREFIX + topic, payload)
    assert counters.values == {
        "uptime_s": 123,
        "retained_messages": 40,
        "version": "mosquitto version 2.0.11",
    }


def test_a_tag_has_so_many_values_and_then_one_for_all_others() -> None:
    tags = TagValues(most=3)
    assert [tags.allow("worker", f"w{n}") for n in range(5)] == ["w0", "w1", "w2", OTHER, OTHER]
    assert tags.allow("worker", "w1") == "w1"
    assert tags.allow("device", "w4") == "w4"
    assert tags.folded == 2
