"""The hematologist's terminal: order, words, shown once, and what the broker keeps for it."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from subprocess import PIPE, Popen

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from broker_config.local import ENGINEER, HEMATOLOGIST, WORKER, LocalBroker
from dashboard.watch_list import WatchList
from dashboard.watch_screen import plain_line, screen
from dashboard.words import age_words, probability_words, with_warning
from service_runtime.mqtt_types import NO_SUBSCRIBERS
from tests.dashboard.clients import TOPICS, asynchronous, client, say
from tests.dashboard.reports_for_tests import diagnosis, hex_id
from wire_protocol.json_messages import (
    URGENCY_RANK,
    Diagnosis,
    DiagnosisStatus,
    TraceFragment,
    Urgency,
    parse_json,
)
from wire_protocol.topics import Kind

WALL = datetime(2026, 11, 21, 9, 15, tzinfo=UTC)


def add(watched: WatchList, message: Diagnosis, now_s: float = 0.0) -> bool:
    return watched.add(message, message.site, message.device, now_s) is not None


@given(st.integers(min_value=0, max_value=2**32))
def test_urgent_comes_first_and_within_one_urgency_the_oldest(seed: int) -> None:
    chance = random.Random(seed)
    watched = WatchList(rows=1000)
    order = [(n, chance.choice(list(Urgency))) for n in range(30)]
    for number, urgency in order:
        lying_rank = chance.randint(0, 9)
        assert add(watched, diagnosis(number, urgency=urgency, urgency_rank=lying_rank))
    expected = sorted(order, key=lambda item: (URGENCY_RANK[item[1]], item[0]))
    assert [e.message.image_id for e in watched.in_order()] == [
        hex_id("image", number) for number, _ in expected
    ]


def test_a_result_is_shown_once_and_another_models_result_beside_it() -> None:
    watched = WatchList(rows=10)
    assert add(watched, diagnosis(1))
    assert not add(watched, diagnosis(1, text="the same. Research use only."))
    assert add(watched, diagnosis(1, model="other@1/torch-f32"))
    assert watched.total == 2


def test_a_full_result_takes_the_place_of_its_preview_and_not_the_reverse() -> None:
    preview = diagnosis(1, status=DiagnosisStatus.PREVIEW)
    watched = WatchList(rows=10)
    assert add(watched, preview)
    assert add(watched, diagnosis(1))
    assert not add(watched, preview)
    assert [e.is_preview for e in watched.in_order()] == [False]


def test_when_the_screen_is_full_the_least_urgent_and_oldest_makes_room() -> None:
    watched = WatchList(rows=2)
    add(watched, diagnosis(1, urgency=Urgency.RETAKE))
    add(watched, diagnosis(2, urgency=Urgency.SUSPECTED_ACUTE))
    add(watched, diagnosis(3, urgency=Urgency.RETAKE))
    assert [e.message.image_id for e in watched.in_order()] == [
        hex_id("image", 2),
        hex_id("image", 3),
    ]


def test_words() -> None:
    assert probability_words({"all": 0.2, "aml": 0.8, "cll": None}) == "AML 80 %  ALL 20 %"
    assert [age_words(s) for s in (-1, 59, 61, 3700, 200_000)] == [
        "0 s",
        "59 s",
        "1 min",
        "1 h 01",
        "2 d",
    ]
    assert with_warning("Cannot say.") == "Cannot say. Research use only, not for diagnosis."
    assert with_warning("x. Research use only.") == "x. Research use only."


def test_a_message_cannot_steer_the_terminal() -> None:
    watched = WatchList(rows=2)
    entry = watched.add(diagnosis(1, text="\x1b[2Jgone\nnext line"), "lab", "scope-1", 0.0)
    assert entry is not None
    assert "\x1b" not in plain_line(entry)
    assert "\n" not in plain_line(entry)


@pytest.mark.parametrize("width", [60, 90, 170])
def test_the_warning_the_urgency_and_the_text_are_on_every_screen(width: int) -> None:
    watched = WatchList(rows=5)
    add(watched, diagnosis(1))
    out = StringIO()
    console = Console(
        file=out, width=width, height=24, force_terminal=True, color_system="standard"
    )
    console.print(screen(watched, "connected", 0.0, WALL, width=width, height=24))
    shown = " ".join(out.getvalue().split())
    assert "Research use only, not for diagnosis." in shown
    assert "▲ ACUTE SUSPECTED" in shown
    assert "URGENT: acute" in shown
    assert "\x1b[" in out.getvalue(), "colour as well as word and shape"
    assert "100 %" not in shown


def watch_process(broker: LocalBroker, *flags: str) -> Popen[str]:
    arguments = [
        *("watch", "--port", str(broker.port), "--username", HEMATOLOGIST),
        *("--password-file", str(broker.password_file(HEMATOLOGIST)), "--site", "lab"),
        *flags,
    ]
    root = Path(__file__).parents[2]
    return Popen([sys.executable, "-m", "hemowire", *arguments], cwd=root, stdout=PIPE, text=True)


async def lines_of(started: Popen[str]) -> list[str]:
    async with asyncio.timeout(30):
        out, _ = await asyncio.to_thread(started.communicate)
    assert started.returncode == 0
    return out.splitlines()


@asynchronous
async def test_results_come_once_as_lines_are_traced_and_kept_while_the_terminal_is_away(
    own_broker: LocalBroker,
) -> None:
    trace = TOPICS.build(Kind.TRACE, program=HEMATOLOGIST)
    async with (
        client(own_broker, WORKER) as worker,
        client(own_broker, ENGINEER, trace) as engineer,
    ):
        with watch_process(own_broker, "--count", "1", "--name", "ward-3") as first:
            while await say(worker, diagnosis(0)) == NO_SUBSCRIBERS:
                await engineer.pause(0.05)
            [line] = await lines_of(first)
        assert "▲ ACUTE SUSPECTED  lab/scope-1  case C7F3K2" in line
        assert "Research use only." in line
        await engineer.until(lambda seen: len(seen) >= 1)
        fragment = parse_json(TraceFragment, engineer.received[0].payload)
        assert (fragment.program, list(fragment.stamps_ns)) == ("watch", ["shown"])
        for number in (1, 2, 1, 3):  # while the terminal is away
            assert await say(worker, diagnosis(number)) == 0
        with watch_process(own_broker, "--count", "3", "--name", "ward-3", "--json") as second:
            lines = [json.loads(line) for line in await lines_of(second)]
    assert [line["image_id"] for line in lines] == [hex_id("image", n) for n in (1, 2, 3)]
    assert all(line["schema"] == "hemowire.diagnosis" for line in lines)
