"""What can be asked of an agent over MQTT: pictures on command, quality, restart; each answered, each limit named."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from broker_config.local import LocalBroker
from edge_device.actions import ACTIONS
from edge_device.agent import RestartAskedError, run_edge
from edge_device.commands import _within_limit
from edge_device.outbox import read_snapshot
from edge_device.settings import EdgeSettings
from service_runtime.boot import new_id
from tests.edge_device.far_side import FarSide
from tests.edge_device.in_loop import in_loop
from wire_protocol import json_messages as jm
from wire_protocol.manifest import ContentType, Priority

MakeSettings = Callable[..., EdgeSettings]
CAMERA = {
    "kind": "simulated",
    "trigger": "command",
    "width_px": 240,
    "height_px": 180,
    "classes": ["ALL"],
}

#: These small pictures need not show a white cell.
GATE = {"white_cells": "warn", "min_focus": 0, "duplicates": "off"}


class Lab:
    """A running agent with a camera on command, and an operator who asks it things."""

    def __init__(self, far: FarSide, settings: EdgeSettings, running: asyncio.Task[None]) -> None:
        self.far = far
        self.settings = settings
        self.running = running

    async def ask(
        self, name: str, command_id: str = "", correlation: bytes | None = None, **arguments: Any
    ) -> jm.Reply:
        command_id = command_id or new_id()
        seen = len(self.far.replies)
        command = jm.Command(command_id=command_id, name=name, arguments=arguments)
        self.far.command("lab", "scope-1", command.to_bytes(), correlation=correlation)
        await self.far.until(
            lambda: any(reply.command_id == command_id for reply in self.far.replies[seen:])
        )
        return next(r for r in self.far.replies[seen:] if r.command_id == command_id)


@asynccontextmanager
async def lab(
    broker: LocalBroker, tmp_path: Path, edge_settings: MakeSettings, **changes: Any
) -> AsyncIterator[Lab]:
    settings = edge_settings(broker, tmp_path, **({"camera": CAMERA, "gate": GATE} | changes))
    stop = asyncio.Event()
    async with FarSide(broker).running() as far:
        running = asyncio.create_task(run_edge(settings, stop))
        try:
            await far.until(lambda: any(s.state is jm.Presence.ONLINE for s in far.statuses))
            yield Lab(far, settings, running)
        finally:
            stop.set()
            await asyncio.gather(running, return_exceptions=True)
    if not running.cancelled() and not isinstance(running.exception(), RestartAskedError):
        await running


@in_loop
async def test_a_picture_on_command_is_answered_when_it_is_on_disk_and_none_is_taken_without(
    broker: LocalBroker, tmp_path: Path, edge_settings: MakeSettings
) -> None:
    async with lab(broker, tmp_path, edge_settings) as here:
        reply = await here.ask("capture", count=2, stat=True)
        assert reply.ok, reply.error
        taken = reply.result["captures"]
        assert [capture["seq"] for capture in taken] == [1, 2]
        assert all(capture["refused"] == "" and capture["scores"] for capture in taken)
        rows = read_snapshot(here.settings.data_dir / "outbox").rows
        assert [row.image_id for row in rows] == [capture["image_id"] for capture in taken]
        await here.far.until(lambda: len(here.far.recorded) == 2)
        manifests = here.far.manifests.values()
        assert {manifest.priority for manifest in manifests} == {Priority.STAT}


@in_loop
async def test_mqtt_correlation_data_comes_back_with_the_reply_and_with_its_repeat(
    broker: LocalBroker, tmp_path: Path, edge_settings: MakeSettings
) -> None:
    async with lab(broker, tmp_path, edge_settings) as here:
        command_id = new_id()
        await here.ask("report", command_id, b"first")
        await here.ask("report", command_id, b"second")
        await here.ask("report")
        assert here.far.correlations == [b"first", b"second", None]


@in_loop
async def test_what_is_wrong_is_answered_with_the_argument_and_its_limit(
    broker: LocalBroker, tmp_path: Path, edge_settings: MakeSettings
) -> None:
    async with lab(broker, tmp_path, edge_settings) as here:
        for name, arguments, words in (
            ("explode", {}, "unknown action 'explode'; known: "),
            ("capture", {"count": 99}, "count: should be less than or equal to 50, not 99"),
            ("pause", {"for": 3}, "pause takes no argument 'for'; it takes: none"),
            ("set_quality", {"jpeg_quality": 5}, "operator: String should match pattern"),
            ("set_quality", {"operator": "Max Muster"}, "operator: String should match pattern"),
        ):
            reply = await here.ask(name, **arguments)
            assert not reply.ok and words in reply.error, reply.error


@in_loop
async def test_a_paused_microscope_takes_nothing_and_says_why(
    broker: LocalBroker, tmp_path: Path, edge_settings: MakeSettings
) -> None:
    async with lab(broker, tmp_path, edge_settings) as here:
        assert (await here.ask("pause")).ok
        await here.far.until(lambda: here.far.statuses[-1].reason == "paused by an operator")
        reply = await here.ask("capture")
        assert not reply.ok and reply.error == "paused by an operator"
        assert (await here.ask("resume")).ok
        assert (await here.ask("capture")).ok
        await here.far.until(lambda: here.far.statuses[-1].reason == "")


@in_loop
async def test_an_order_that_the_camera_cannot_fill_fails_and_says_what_was_taken(
    broker: LocalBroker, tmp_path: Path, edge_settings: MakeSettings
) -> None:
    camera = CAMERA | {"count": 1}
    async with lab(broker, tmp_path, edge_settings, camera=camera) as here:
        reply = await here.ask("capture", count=3)
        assert not reply.ok
        assert reply.error == "the camera has no more pictures (1 of 3 taken)"
        assert len(reply.result["captures"]) == 1
        assert (await here.ask("capture")).error == "the camera has no more pictures"


@in_loop
async def test_the_quality_is_changed_kept_over_a_restart_shown_and_taken_back(
    broker: LocalBroker, tmp_path: Path, edge_settings: MakeSettings
) -> None:
    async with lab(broker, tmp_path, edge_settings) as here:
        reply = await here.ask("set_quality", operator="lab.jane", format="png")
        assert reply.ok and reply.result["overrides"] == {"format": "png"}
    async with lab(broker, tmp_path, edge_settings) as here:
        await here.ask("capture")
        await here.far.until(lambda: len(here.far.recorded) == 1)
        [manifest] = here.far.manifests.values()
        assert manifest.content_type is ContentType.PNG
        await here.far.until(lambda: len(here.far.health) > 0)
        assert here.far.health[-1].overrides == {"format": "png"}
        assert (await here.ask("set_quality", operator="lab.jane")).result["overrides"] == {}
        await here.ask("capture")
        await here.far.until(lambda: len(here.far.recorded) == 2)
        kinds = [m.content_type for m in here.far.manifests.values()]
        assert kinds == [ContentType.PNG, ContentType.JPEG]
    assert not (here.settings.data_dir / "overrides.json").exists()


@in_loop
async def test_a_restart_is_answered_first_and_then_ends_the_agent_cleanly(
    broker: LocalBroker, tmp_path: Path, edge_settings: MakeSettings
) -> None:
    async with lab(broker, tmp_path, edge_settings) as here:
        reply = await here.ask("restart", operator="lab.jane")
        assert reply.ok
        with pytest.raises(RestartAskedError) as ended:
            await here.running
        assert ended.value.exit_code == 75
        await here.far.until(lambda: here.far.statuses[-1].state is jm.Presence.OFFLINE)
        assert here.far.statuses[-1].is_goodbye


@in_loop
async def test_the_report_tells_of_the_whole_device(
    broker: LocalBroker, tmp_path: Path, edge_settings: MakeSettings
) -> None:
    async with lab(broker, tmp_path, edge_settings) as here:
        await here.ask("capture")
        await here.far.until(lambda: len(here.far.recorded) == 1)
        report = (await here.ask("report")).result
        assert report["memory_bytes"] > 10_000_000
        assert report["memory_available_bytes"] > 0
        assert "link_bytes_per_s" in report, "None: one small picture says nothing of a link"
        assert set(report["last_scores"]) >= {"focus", "contrast"}
        assert report["halted"] == "" and report["case_id"] == "unfiled"
        assert report["software"]


@in_loop
async def test_a_retake_is_told_to_the_person_at_the_microscope(
    broker: LocalBroker, tmp_path: Path, edge_settings: MakeSettings
) -> None:
    async with lab(broker, tmp_path, edge_settings) as here:
        wish: dict[str, Any] = {"case_id": "C7F3K2", "reason": "focus", "operator": "kim"}
        away = await here.ask("retake", **wish)
        assert away.ok and not away.result["is_open"]
        assert "the slide has to be put back" in away.result["words"]
        assert (await here.ask("open_case", case_id="C7F3K2", operator="lab")).ok
        there = await here.ask("retake", **wish)
        assert there.ok and there.result["is_open"]
        nobody = await here.ask("retake", case_id="C7F3K2", reason="focus")
        assert not nobody.ok and "operator" in nobody.error
        other = await here.ask("retake", case_id="C7F3K2", reason="his name is Joe", operator="kim")
        assert not other.ok and "reason" in other.error


def test_every_action_has_limits_for_its_arguments() -> None:
    for name, action in ACTIONS.items():
        assert action.arguments.model_config.get("extra") == "forbid", name
        assert action.arguments.model_config.get("frozen"), name
        assert action.arguments.__doc__, name


@in_loop
async def test_a_list_is_cut_to_what_a_reply_may_hold_and_says_so(
    broker: LocalBroker, tmp_path: Path, edge_settings: MakeSettings
) -> None:
    async with lab(broker, tmp_path, edge_settings) as here:
        await here.ask("capture", count=3)
        listed = (await here.ask("outbox_list", limit=2)).result
        assert [image["seq"] for image in listed["images"]] == [2, 3]
        assert listed["left_out"] == 1
        assert not any("source" in image for image in listed["images"])
        most = max(len(json.dumps(image)) for image in listed["images"]) * 50
        assert most < jm.MAX_JSON_BYTES - 1024
        too_many = await here.ask("outbox_list", limit=51)
        assert not too_many.ok and "less than or equal to 50" in too_many.error


def test_a_reply_that_is_too_long_for_the_wire_says_so() -> None:
    long = jm.Reply(command_id=new_id(), name="report", ok=True, result={"x": "y" * 70_000})
    told = jm.Reply.from_bytes(_within_limit(long))
    assert told.ok and told.result == {} and "at most 65536" in told.error
    short = jm.Reply(command_id=new_id(), name="report", ok=True, result={"x": "y"})
    assert _within_limit(short) == short.to_bytes()
