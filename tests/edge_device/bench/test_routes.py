"""What the local socket answers, asked over a real one."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import NoneType

import pytest

from edge_device.bench.app import MAX_BODY_BYTES, MAX_STREAMS
from edge_device.bench.local_client import LocalAnswer
from edge_device.bench.socket_file import SOCKET_NAME
from edge_device.bench.state import BenchState
from tests.edge_device.bench.asking import Answer, Events, Place, act, ask
from tests.edge_device.bench.bench_for_tests import IMAGE_ID, JPEG, BenchForTests, served
from tests.edge_device.in_loop import in_loop


@in_loop
async def test_the_state_comes_whole(tmp_path: Path) -> None:
    bench = BenchForTests()
    async with served(bench, tmp_path):
        answer = await ask(Place(tmp_path / SOCKET_NAME), "/state")
    assert answer.status == 200
    assert BenchState.model_validate_json(answer.body) == bench.shown


@in_loop
async def test_an_action_is_done_once_with_its_arguments_and_operator(tmp_path: Path) -> None:
    bench = BenchForTests()
    arguments = {"stat": True, "count": 3, "within_s": 2.5, "image_ids": ["a", "b"], "note": None}
    wish = {"operator": " kim ", "arguments": arguments}
    async with served(bench, tmp_path):
        answer = await act(Place(tmp_path / SOCKET_NAME), "capture", wish)
    assert answer.status == 200
    assert answer.fields == {"ok": True, "result": {"image_id": IMAGE_ID}, "error": ""}
    assert bench.done == [("capture", arguments, "kim")]
    assert [type(value) for value in bench.done[0][1].values()] == [
        bool,
        int,
        float,
        list,
        NoneType,
    ]


@in_loop
async def test_an_action_that_the_agent_refuses_says_why(tmp_path: Path) -> None:
    bench = BenchForTests(answer=LocalAnswer(False, error="outbox full: 9 images wait"))
    async with served(bench, tmp_path):
        answer = await act(Place(tmp_path / SOCKET_NAME), "capture", {"operator": "kim"})
    assert answer.status == 409
    assert answer.fields["error"] == "outbox full: 9 images wait"


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        (b"", 400, "body"),
        (b"[]", 400, "body"),
        (b"{}", 400, "operator"),
        (b'{"operator": ""}', 400, "operator"),
        (b'{"operator": "  "}', 400, "operator"),
        (b'{"operator": "a\\u0000b"}', 400, "operator"),
        (json.dumps({"operator": "k" * 65}).encode(), 400, "operator"),
        (b'{"operator": "kim", "arguments": 3}', 400, "arguments"),
        (b'{"operator": "kim", "also": 3}', 400, "also"),
        (b'{"operator": "kim", "arguments": {"a": NaN}}', 400, "arguments.a"),
        (b'{"operator": "kim", "arguments": {"a": {"b": 1}}}', 400, "arguments.a"),
        (b'{"operator": "\xff"}', 400, "body"),
        (b"[" * 5000, 400, "body"),
        (b" " * (MAX_BODY_BYTES + 1), 413, "bytes"),
    ],
    ids=range(14),
)
@in_loop
async def test_a_wish_that_is_none_is_refused_by_name_and_not_done(
    tmp_path: Path, body: bytes, status: int, named: str
) -> None:
    bench = BenchForTests()
    async with served(bench, tmp_path):
        answer = await ask(
            Place(tmp_path / SOCKET_NAME), "/actions/capture", method="POST", body=body
        )
    assert answer.status == status
    assert named in answer.fields["error"]
    assert bench.done == []


@in_loop
async def test_an_unknown_action_names_the_known_ones(tmp_path: Path) -> None:
    bench = BenchForTests()
    async with served(bench, tmp_path):
        answer = await act(Place(tmp_path / SOCKET_NAME), "explode", {"operator": "kim"})
    assert answer.status == 404
    assert "capture, pause" in answer.fields["error"]
    assert bench.done == []


@in_loop
async def test_pictures_of_captures_come_by_id_and_by_nothing_else(tmp_path: Path) -> None:
    bench = BenchForTests(pictures={IMAGE_ID: JPEG})
    place = Place(tmp_path / SOCKET_NAME)
    async with served(bench, tmp_path):
        found = await ask(place, f"/captures/{IMAGE_ID}.jpg")
        gone = await ask(place, f"/captures/{IMAGE_ID[::-1]}.jpg")
        names = ["", ".jpg", f"{IMAGE_ID}.png", f"{IMAGE_ID.upper()}.jpg", "..%2f..%2fetc.jpg"]
        odd = [await ask(place, f"/captures/{name}") for name in names]
    assert (found.status, found.body) == (200, JPEG)
    assert found.headers["content-type"] == "image/jpeg"
    assert [gone.status, *(answer.status for answer in odd)] == [404] * 6


@in_loop
async def test_many_who_look_at_the_preview_cost_the_camera_one_picture(tmp_path: Path) -> None:
    bench = BenchForTests()
    place = Place(tmp_path / SOCKET_NAME)
    async with served(bench, tmp_path):
        answers = await asyncio.gather(*(ask(place, "/preview.jpg") for _ in range(8)))
        bench.preview = None
        while (none := await ask(place, "/preview.jpg")).status == 200:
            assert none.body == JPEG
    assert [answer.body for answer in answers] == [JPEG] * 8
    assert (none.status, none.body) == (204, b"")
    assert bench.previews_taken < 8


@in_loop
async def test_the_page_and_all_that_it_names_come_from_the_device(tmp_path: Path) -> None:
    place = Place(tmp_path / SOCKET_NAME)
    async with served(BenchForTests(), tmp_path):
        page = await ask(place, "/")
        named = ["/bench.css", "/bench.js", "/icon.svg"]
        parts = [await ask(place, name) for name in named]
        again = await ask(place, "/", headers={"If-None-Match": page.headers["etag"]})
        absent = await ask(place, "/state.py")
        wrong_way = await ask(place, "/state", method="POST")
    assert [page.status, *(part.status for part in parts)] == [200] * 4
    assert b"http://" not in page.body and b"https://" not in page.body
    assert "'unsafe-inline'" not in page.headers["content-security-policy"]
    assert (again.status, again.body) == (304, b"")
    assert (absent.status, wrong_way.status) == (404, 405)


@in_loop
async def test_events_give_the_state_at_once_and_on_each_change(tmp_path: Path) -> None:
    bench = BenchForTests()
    async with served(bench, tmp_path), Events(Place(tmp_path / SOCKET_NAME)) as events:
        first = await events.next()
        bench.show(paused=True)
        second = await events.next()
    assert first is not None and second is not None
    assert (first["paused"], second["paused"]) == (False, True)


@in_loop
async def test_many_changes_become_few_events_and_the_last_one_is_told(tmp_path: Path) -> None:
    bench = BenchForTests()
    async with served(bench, tmp_path), Events(Place(tmp_path / SOCKET_NAME)) as events:
        assert await events.next() is not None
        loop, told, halted = asyncio.get_running_loop(), 0, ""
        began = loop.time()

        async def change() -> None:
            for n in range(1000):
                bench.show(halted=f"reason {n}")
                await asyncio.sleep(0.001)

        changing = asyncio.create_task(change())
        while halted != "reason 999":
            state = await events.next()
            assert state is not None
            told, halted = told + 1, state["halted"]
        await changing
    assert told <= 2 * (loop.time() - began) + 1


@in_loop
async def test_more_streams_than_the_limit_are_refused_and_ended_ones_make_room(
    tmp_path: Path,
) -> None:
    place = Place(tmp_path / SOCKET_NAME)
    async with served(BenchForTests(), tmp_path):
        open_ones = [Events(place) for _ in range(MAX_STREAMS)]
        for events in open_ones:
            await events.__aenter__()
            assert await events.next() is not None
        refused = await ask(place, "/events")
        for events in open_ones:
            events.writer.close()
            await events.writer.wait_closed()
        async with asyncio.timeout(10):
            while not await _streams_again(place):
                pass
    assert refused.status == 503


async def _streams_again(place: Place) -> bool:
    async with Events(place) as events:
        return await events.next() is not None


@in_loop
async def test_an_agent_whose_picture_fails_answers_500_and_goes_on(tmp_path: Path) -> None:
    class Broken(BenchForTests):
        async def preview_jpeg(self) -> bytes | None:
            raise OSError("the camera burns")

    place = Place(tmp_path / SOCKET_NAME)
    async with served(Broken(), tmp_path):
        failed: Answer = await ask(place, "/preview.jpg")
        after = await ask(place, "/state")
    assert (failed.status, after.status) == (500, 200)
