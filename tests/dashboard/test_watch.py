"""The hematologist's terminal: order, words, shown once, and what the broker keeps for it.

(Over 250 lines: what a terminal is told and what it draws belong together.)
"""

from __future__ import annotations

import asyncio
import json
import os
import pty
import random
import sys
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from io import StringIO
from pathlib import Path
from subprocess import PIPE, Popen

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from broker_config.local import ENGINEER, HEMATOLOGIST, WORKER, LocalBroker, edge_username
from dashboard.settings import WatchSettings
from dashboard.watch import Form, Watch
from dashboard.watch_list import WatchList
from dashboard.watch_rows import NARROWEST
from dashboard.watch_screen import Drawn, WatchScreen, plain_line
from dashboard.words import age_words, probability_words, with_override, with_warning
from service_runtime.mqtt_types import NO_SUBSCRIBERS, Message
from tests.dashboard.clients import TOPICS, asynchronous, client, say
from tests.dashboard.reports_for_tests import diagnosis, hex_id
from tests.dashboard.test_refiles import refile
from wire_protocol.json_messages import (
    URGENCY_RANK,
    Diagnosis,
    DiagnosisStatus,
    TraceFragment,
    Urgency,
    parse_json,
)
from wire_protocol.manifest import OverrideReason
from wire_protocol.topics import Kind
from wire_protocol.words import OVERRIDE_WORDS, override_words

ROOT = Path(__file__).parents[2]
WALL = datetime(2026, 11, 21, 9, 15, tzinfo=UTC)


def add(watched: WatchList, message: Diagnosis, now_s: float = 0.0) -> bool:
    return watched.add(message, message.site, message.device, now_s) is not None


@given(st.integers(min_value=0, max_value=2**32))
def test_urgent_comes_first_and_within_one_urgency_the_newest(seed: int) -> None:
    chance = random.Random(seed)
    watched = WatchList(rows=1000)
    order = [(n, chance.choice(list(Urgency))) for n in range(30)]
    for number, urgency in order:
        lying_rank = chance.randint(0, 9)
        assert add(watched, diagnosis(number, urgency=urgency, urgency_rank=lying_rank))
    expected = sorted(order, key=lambda item: (URGENCY_RANK[item[1]], -item[0]))
    assert [e.message.image_id for e in watched.in_order()] == [
        hex_id("image", number) for number, _ in expected
    ]


def drawn_text(watched: WatchList) -> str:
    console = Console(file=StringIO(), width=160, height=40, record=True)
    console.print(WatchScreen().draw(watched, "connected", 0.0, WALL, (160, 40)))
    return " ".join(console.export_text().split())


@pytest.mark.parametrize("is_first", [True, False], ids=["move first", "result first"])
def test_a_moved_field_stands_under_its_new_case_and_says_that_it_was_moved(is_first: bool) -> None:
    watched = WatchList(rows=10)
    steps: list[Callable[[], bool]] = [
        lambda: watched.move(refile(1, "S-0002")),
        lambda: add(watched, diagnosis(1)),
    ]
    for step in steps if is_first else reversed(steps):
        assert step()
    add(watched, diagnosis(2))
    [moved] = [e for e in watched.in_order() if e.message.image_id == hex_id("image", 1)]
    assert moved.moved_to == "S-0002"
    assert "MOVED to case S-0002, it is not of case C7F3K2." in drawn_text(watched)
    assert "  case S-0002  " in plain_line(moved)
    assert drawn_text(watched).count("MOVED") == 1


def test_of_several_moves_the_last_stands_and_back_where_it_was_is_no_move() -> None:
    watched = WatchList(rows=10)
    add(watched, diagnosis(1))
    assert watched.move(refile(2, "S-0003"))
    assert not watched.move(refile(1, "S-0002"))
    assert not watched.move(refile(2, "S-0003"))
    assert watched.in_order()[0].moved_to == "S-0003"
    assert watched.move(refile(3, "C7F3K2"))
    assert "MOVED" not in drawn_text(watched)


@asynchronous
async def test_the_terminal_tells_of_a_move_as_it_comes(
    own_broker: LocalBroker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = WatchSettings(broker=own_broker.settings(HEMATOLOGIST))
    stop = asyncio.Event()
    told = asyncio.create_task(Watch(settings, Form.PLAIN, 1).run(stop))
    topic = TOPICS.build(Kind.REFILE, site="lab", device="scope-1")
    async with client(own_broker, edge_username("scope-1")) as scope:
        async with asyncio.timeout(20):
            while await scope.session.publish(topic, refile(1, "S-0002").to_bytes()):
                await scope.pause(0.05)  # nobody is subscribed yet
        async with client(own_broker, WORKER) as worker:
            await say(worker, diagnosis(1))
            await told
    lines = capsys.readouterr().out.splitlines()
    said = [line for line in lines if "image" in line and "MOVED" in line]
    assert "MOVED from case C7F3K2 to case S-0002 by tech-04" in said[0]
    assert "MOVED to case S-0002, it is not of case C7F3K2." in said[1]


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
    assert (watched.total, watched.previews) == (0, 1), "a preview is no result"
    assert list(watched.counts()) == []
    assert add(watched, diagnosis(1))
    assert (watched.total, watched.previews) == (1, 0)
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


def test_an_overridden_gate_and_the_operator_s_reason_stand_on_the_screen() -> None:
    watched = WatchList(rows=10)
    said = override_words(OverrideReason.RARE_FINDING)
    assert said == "Sent although the quality gate said no; operator's reason: rare finding."
    add(watched, diagnosis(1, gate_override=True, override_reason="rare_finding"))
    add(watched, diagnosis(2, gate_override=True, override_reason="urgent", text=f"X. {said}"))
    add(watched, diagnosis(3))
    words = {e.message.seq: plain_line(e) for e in watched.in_order()}
    assert said in words[2] and words[3].count("Sent although") == 1  # its own words, once
    assert "Sent although" not in words[4]
    lines, _ = lines_on(200, 40, watched)
    assert "\n".join(lines).count("rare finding") == 2
    assert with_override("Draft.", "") == "Draft. Sent although the quality gate said no."
    assert set(OVERRIDE_WORDS) == set(OverrideReason)


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
    console.print(WatchScreen().draw(watched, "connected", 0.0, WALL, (width, 24)))
    shown = " ".join(out.getvalue().split())
    assert "Research use only, not for diagnosis." in shown
    assert "▲ ACUTE SUSPECTED" in shown
    assert "URGENT: acute" in shown
    assert "\x1b[" in out.getvalue(), "colour as well as word and shape"
    assert "100 %" not in shown


def lines_on(width: int, height: int, watched: WatchList) -> tuple[list[str], Drawn]:
    """The screen as it stands on a terminal of that size, cut below its last line."""
    drawn = WatchScreen().draw(watched, "connected", 0.0, WALL, (width, height))
    console = Console(file=StringIO(), width=width, height=height)
    lines = console.render_lines(drawn, pad=False)
    return ["".join(part.text for part in line).rstrip() for line in lines], drawn


@pytest.mark.parametrize("count", [1, 20, 60])
@pytest.mark.parametrize(("width", "height"), [(100, 30), (170, 40), (60, 12), (40, 3), (30, 20)])
def test_the_newest_stands_on_the_screen_and_the_others_are_counted(
    width: int, height: int, count: int
) -> None:
    watched = WatchList(rows=200)
    for number in range(count):
        add(watched, diagnosis(number))
    lines, drawn = lines_on(width, height, watched)
    if count == 1 and height > 3:
        assert not any("below" in line for line in lines)
    if height > 3 and width >= NARROWEST:
        assert hex_id("image", count - 1)[-6:] in " ".join(lines)
    assert len(lines) <= height or not drawn.entries
    assert all(cell_len(line) <= width for line in lines)
    below = count - len(drawn.entries)
    if below:
        assert f"... {below} more below, {below} not shown yet" in " ".join(lines[-2:])
    assert [e.number for e in drawn.entries] == list(range(count, below, -1))
    assert watched.note_drawn(drawn.entries) == list(drawn.entries)
    assert watched.note_drawn(drawn.entries) == [], "each is stamped once"


def test_what_was_on_the_screen_once_is_no_longer_counted_as_not_shown() -> None:
    watched = WatchList(rows=200)
    for number in range(60):
        add(watched, diagnosis(number))
        watched.note_drawn(lines_on(100, 30, watched)[1].entries)
    lines, drawn = lines_on(100, 30, watched)
    assert lines[-1] == f"... {60 - len(drawn.entries)} more below"


def test_what_left_the_list_without_being_shown_is_counted() -> None:
    watched = WatchList(rows=3)
    for number in range(10):
        add(watched, diagnosis(number))
    lines, _ = lines_on(100, 30, watched)
    assert lines[-1] == "7 left the list, 7 never shown"


def test_a_row_that_was_laid_out_keeps_up_with_its_age_its_case_and_the_terminal() -> None:
    watched = WatchList(rows=10)
    add(watched, diagnosis(1, captured_at="1970-01-01T00:00:00Z"))
    screen = WatchScreen()

    def text(now_s: float, width: int) -> str:
        lines = screen.draw(watched, "connected", now_s, WALL, (width, 30)).lines
        return " ".join("".join(part.text for line in lines for part in line).split())

    assert "5 s C7F3K2 scope-1" in text(5, 160)
    assert "2 min C7F3K2 scope-1" in text(121, 160)
    assert "scope-1" not in text(121, 90) and "2 min" in text(121, 90)
    watched.move(refile(1, "S-0002"))
    assert "2 min S-0002 scope-1" in text(121, 160)


def watch_command(broker: LocalBroker, *flags: str) -> list[str]:
    return [
        *(
            sys.executable,
            "-m",
            "hemowire",
            "watch",
            "--port",
            str(broker.port),
            "--username",
            HEMATOLOGIST,
        ),
        *("--password-file", str(broker.password_file(HEMATOLOGIST)), "--site", "lab"),
        *flags,
    ]


def watch_process(broker: LocalBroker, *flags: str) -> Popen[str]:
    return Popen(watch_command(broker, *flags), cwd=ROOT, stdout=PIPE, text=True)


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


@asynchronous
async def test_a_result_is_stamped_as_shown_only_when_it_was_on_the_screen(
    own_broker: LocalBroker,
) -> None:
    """On a real terminal: a retake below thirty urgent ones waits until there are lines for it."""
    trace = TOPICS.build(Kind.TRACE, program=HEMATOLOGIST)
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (20, 100))
    retake = diagnosis(99, urgency=Urgency.RETAKE, text="Take it again. Research use only.")
    async with (
        client(own_broker, WORKER) as worker,
        client(own_broker, ENGINEER, trace) as engineer,
    ):
        started = watch_on_terminal(own_broker, theirs)
        screen_read = asyncio.create_task(asyncio.to_thread(read_all, ours))
        try:
            while await say(worker, diagnosis(0)) == NO_SUBSCRIBERS:
                await engineer.pause(0.05)
            for number in range(1, 30):
                await say(worker, diagnosis(number))
            await say(worker, retake)
            # What comes after it is drawn, so it was taken in, and counted, by then.
            await say(worker, diagnosis(30))
            await engineer.until(lambda seen: hex_id("image", 30) in stamped(seen))
            assert retake.image_id not in stamped(engineer.received)
            termios.tcsetwinsize(ours, (100, 100))
            await engineer.until(lambda seen: retake.image_id in stamped(seen))
            assert len(stamped(engineer.received)) == len(engineer.received)
        finally:
            started.terminate()
            await asyncio.to_thread(started.wait)
        shown = await screen_read
    assert "more below, " in shown
    assert "not shown yet" in shown
    assert "32 results. Research use only, not for diagnosis." in shown


@asynchronous
async def test_the_live_screen_does_not_let_a_result_wait_for_its_next_turn(
    own_broker: LocalBroker,
) -> None:
    """Each of twelve is published when the one before stands there."""
    trace = TOPICS.build(Kind.TRACE, program=HEMATOLOGIST)
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (50, 160))
    async with (
        client(own_broker, WORKER) as worker,
        client(own_broker, ENGINEER, trace) as engineer,
    ):
        started = watch_on_terminal(own_broker, theirs)
        screen_read = asyncio.create_task(asyncio.to_thread(read_all, ours))
        try:
            while await say(worker, diagnosis(0)) == NO_SUBSCRIBERS:
                await engineer.pause(0.05)
            began_s = time.monotonic()
            for number in range(1, 13):
                await say(worker, diagnosis(number))
                shown = hex_id("image", number)
                await engineer.until(partial(has_stamp, shown))
            took_s = time.monotonic() - began_s
        finally:
            started.terminate()
            await asyncio.to_thread(started.wait)
        await screen_read
    assert took_s < 2.0, "twelve turns of a screen that is drawn four times a second take three"


def has_stamp(image_id: str, received: list[Message]) -> bool:
    return image_id in stamped(received)


def watch_on_terminal(broker: LocalBroker, terminal: int) -> Popen[bytes]:
    """The program with this terminal, whose size is the terminal's own."""
    kept = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
    command = watch_command(broker, "--name", "ward-4")
    started = Popen(
        command, cwd=ROOT, stdin=terminal, stdout=terminal, env=kept | {"TERM": "xterm"}
    )
    os.close(terminal)
    return started


def stamped(received: list[Message]) -> set[str]:
    return {parse_json(TraceFragment, message.payload).image_id for message in received}


def read_all(terminal: int) -> str:
    """Everything that the program writes until it ends."""
    parts = []
    with suppress(OSError):  # the other side is closed
        while part := os.read(terminal, 65536):
            parts.append(part)
    os.close(terminal)
    return b"".join(parts).decode(errors="replace")
