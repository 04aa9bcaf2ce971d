"""Logs withhold what must not be in them; ids and clocks have the shape of the wire."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import structlog

from service_runtime import boot
from service_runtime.log import configure_logging, get_log


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def logged(stream: io.StringIO) -> dict[str, object]:
    found: dict[str, object] = json.loads(stream.getvalue().splitlines()[-1])
    return found


def test_lines_are_json_where_no_terminal_is() -> None:
    stream = io.StringIO()
    configure_logging(stream=stream)
    get_log("edge").bind(device="scope-1").info("image_stored", size_bytes=5)
    line = logged(stream)
    assert line | {"timestamp": ""} == {
        "program": "edge",
        "device": "scope-1",
        "event": "image_stored",
        "size_bytes": 5,
        "level": "info",
        "timestamp": "",
    }


def test_pixels_names_and_credentials_stay_out() -> None:
    stream = io.StringIO()
    configure_logging(stream=stream)
    get_log("edge").info(
        "x", pixels=bytes(1000), source_name="Smith.jpg", password="p", text="y" * 9999
    )
    assert logged(stream)["pixels"] == "(1000 bytes)"
    assert "Smith" not in stream.getvalue()
    assert logged(stream)["password"] == "(withheld)"
    assert len(stream.getvalue()) < 1000


def test_the_password_of_a_url_stays_out_of_an_error() -> None:
    stream = io.StringIO()
    configure_logging(stream=stream)
    get_log("records").error("away", problem="no way to postgres://u:hush@h/db")
    assert logged(stream)["problem"] == "no way to postgres://***@h/db"


def test_levels_below_the_chosen_one_are_silent() -> None:
    stream = io.StringIO()
    configure_logging("warning", stream=stream)
    get_log("edge").info("quiet")
    assert stream.getvalue() == ""


def test_ids_are_32_lowercase_hex_and_attempts_fit_64_bits() -> None:
    ids = {boot.new_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(re.fullmatch(r"[0-9a-f]{32}", one) for one in (*ids, boot.boot_id()))
    assert all(1 <= boot.new_attempt() < 2**64 for _ in range(100))
    assert boot.boot_id() == boot.boot_id()


def test_wall_time_is_rfc3339_with_milliseconds() -> None:
    assert boot.wall_time(datetime(2026, 11, 21, 9, 14, 3, 120_400, UTC)) == (
        "2026-11-21T09:14:03.120Z"
    )
    assert boot.monotonic_ns() <= boot.monotonic_ns()
    assert boot.clock_is_synced() in (True, False)
