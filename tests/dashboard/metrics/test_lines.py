"""Line protocol that a strict reader accepts, whatever programs say."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from influxdb_client.client.write.point import Point as ClientPoint

from dashboard.metrics.lines import FieldValue, Point, line_of
from dashboard.metrics.schema import MEASUREMENTS, FieldType, Measurement
from tests.dashboard.metrics.line_protocol import LineError, read_line

ALL_TYPES = Measurement(
    "hemowire_test",
    "one field of each type",
    ("site", "device"),
    {
        "a_float": FieldType.FLOAT,
        "an_integer": FieldType.INTEGER,
        "a_boolean": FieldType.BOOLEAN,
        "a_string": FieldType.STRING,
        "own_*": FieldType.FLOAT,
    },
)
NOW_NS = 1_790_000_000_123_456_789


@given(
    site=st.text(max_size=40),
    device=st.text(alphabet='a,= \\"\n\r\t#', max_size=12),
    number=st.floats(),
    whole=st.integers(),
    flag=st.booleans(),
    text=st.text(max_size=60) | st.text(alphabet='a,= \\"\n#', max_size=12),
)
def test_any_values_make_a_line_that_a_strict_reader_reads_back(
    *, site: str, device: str, number: float, whole: int, flag: bool, text: str
) -> None:
    fields: dict[str, FieldValue] = {
        "a_float": number,
        "an_integer": whole,
        "a_boolean": flag,
        "a_string": text,
    }
    line = line_of(Point(ALL_TYPES, {"site": site, "device": device}, fields), NOW_NS)
    assert line is not None
    assert len(line.splitlines()) == 1
    read = read_line(line)
    assert read.timestamp_ns == NOW_NS
    assert read.fields.get("a_float") == (number if math.isfinite(number) else None)
    assert read.fields.get("an_integer") == (whole if -(2**63) <= whole < 2**63 else None)
    assert read.fields["a_boolean"] is flag
    if text.isprintable():
        assert read.fields["a_string"] == text
    if site.isprintable() and site == site.strip() and "\\" not in site and site:
        assert read.tags["site"] == site


@pytest.mark.parametrize(
    ("value", "written"),
    [(3, "3.0"), (1e-7, "1e-07"), (2.5e22, "2.5e+22"), (True, "1.0"), (-0.0, "-0.0")],
)
def test_a_float_is_always_written_as_a_float(value: float, written: str) -> None:
    """InfluxDB fixes a field's type with its first point: 3 would make it an integer for some."""
    line = line_of(Point(ALL_TYPES, {}, {"a_float": value}), 1)
    assert line == f"hemowire_test a_float={written} 1"
    assert isinstance(read_line(line).fields["a_float"], float)


def test_what_line_protocol_cannot_carry_is_left_out() -> None:
    fields = {"a_float": math.nan, "an_integer": 2**63, "a_string": None}
    assert line_of(Point(ALL_TYPES, {"site": ""}, fields), 1) is None
    line = line_of(Point(ALL_TYPES, {"site": " \n"}, {**fields, "a_boolean": False}), 1)
    assert line == "hemowire_test a_boolean=false 1"


@pytest.mark.parametrize("field", ["a_flaot", "own_", "score_x"])
def test_a_field_that_is_not_in_the_schema_is_a_bug(field: str) -> None:
    with pytest.raises(KeyError, match=field):
        line_of(Point(ALL_TYPES, {}, {field: 1.0}), 1)


def test_a_tag_that_is_not_in_the_schema_is_a_bug() -> None:
    with pytest.raises(KeyError, match="image_id"):
        line_of(Point(ALL_TYPES, {"image_id": "0"}, {"a_float": 1.0}), 1)


def test_lines_are_those_that_the_client_library_makes() -> None:
    tags = {"site": "lab 1,a=b", "device": "scope-1"}
    fields: dict[str, FieldValue] = {
        "a_float": 1.5,
        "an_integer": 3,
        "a_boolean": True,
        "a_string": 'say "\\" twice',
    }
    record = {"measurement": "hemowire_test", "tags": tags, "fields": fields, "time": NOW_NS}
    theirs = ClientPoint.from_dict(record)
    ours = line_of(Point(ALL_TYPES, tags, fields), NOW_NS)
    assert ours is not None
    assert read_line(ours) == read_line(theirs.to_line_protocol())


@pytest.mark.parametrize(
    "line",
    [
        "m f=1",
        "m f=1 ",
        "m 1",
        "m  f=1.0 1",
        "m,t= f=1.0 1",
        "m,=x f=1.0 1",
        "m,t=a,t=b f=1.0 1",
        "m,t=a b f=1.0 1",
        "m,t=a\\ f=1.0 1",
        "m f=1.0,f=2.0 1",
        "m f=nan 1",
        "m f=inf 1",
        "m f=1.i 1",
        "m f=9223372036854775808i 1",
        'm f="a 1',
        'm f="a\\b" 1',
        "m f=a 1",
        "m f=1.0 1.5",
        "m f=1.0 99999999999999999999",
        "_m f=1.0 1",
        "m _f=1.0 1",
        "m f=1.0, 1",
        "m f=1.0 1\n",
    ],
)
def test_the_strict_reader_refuses(line: str) -> None:
    with pytest.raises(LineError):
        read_line(line)


def test_measurements_and_their_fields_have_harmless_names() -> None:
    names = [m.name for m in MEASUREMENTS]
    assert len(set(names)) == len(names)
    for measurement in MEASUREMENTS:
        for name in (measurement.name, *measurement.tags, *measurement.fields):
            assert name.removesuffix("*").replace("_", "a").isalnum() and name.islower()
        assert not set(measurement.tags) & set(measurement.fields)
        # What is new for each image, attempt or process would make a series of its own.
        assert not {"image_id", "attempt", "id", "incarnation", "boot_id"} & set(measurement.tags)
