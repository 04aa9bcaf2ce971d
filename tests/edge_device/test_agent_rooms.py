"""The rooms of the agent together: cases, pictures sent anyway, a full outbox's rule, clocks, the bench's socket.

Longer than most: all of it needs one agent with all of its rooms.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from broker_config.local import LocalBroker
from edge_device.bench.local_client import call, read_state
from edge_device.outbox import SnapshotRow, read_snapshot
from edge_device.settings import EdgeSettings
from service_runtime.boot import monotonic_ns
from tests.edge_device.conftest import MakeImages
from tests.edge_device.far_side import CLOCK_AHEAD_NS, FarSide
from tests.edge_device.in_loop import in_loop
from tests.edge_device.test_agent import agent, run_to_the_end
from tests.edge_device.test_agent_actions import CAMERA, lab
from wire_protocol.json_messages import Reason
from wire_protocol.machine_io import OutboxState
from wire_protocol.messages import Outcome

MakeSettings = Callable[..., EdgeSettings]
#: A white level that no field reaches: the gate refuses every picture.
TOO_DARK = {"min_white_level": 255}


@in_loop
async def test_fields_belong_to_the_case_that_was_open_when_they_were_taken(
    broker: LocalBroker, tmp_path: Path, edge_settings: MakeSettings
) -> None:
    async with lab(broker, tmp_path, edge_settings) as here:
        await here.ask("capture")
        opened = await here.ask("open_case", case_id="S12-0345", operator="lab.jane")
        assert opened.result["case_id"] == "S12-0345"
        await here.ask("capture", count=2)
        assert (await here.ask("report")).result["case_id"] == "S12-0345"
        closed = await here.ask("close_case", operator="lab.jane")
        assert closed.result == {"case_id": "S12-0345", "fields": 2}
        await here.ask("capture")
        refused = await here.ask("open_case", case_id="MUSTER", operator="lab.jane")
        assert not refused.ok and "MUSTER" not in refused.error
        await here.far.until(lambda: len(here.far.recorded) == 4)
        filed = sorted(here.far.manifests.values(), key=lambda manifest: manifest.seq)
        assert [m.case_id for m in filed] == ["unfiled", "S12-0345", "S12-0345", "unfiled"]
        [listed] = (await here.ask("case_list")).result["cases"]
        assert (listed["case_id"], listed["fields"], listed["operator"]) == (
            "S12-0345",
            2,
            "lab.jane",
        )


@in_loop
async def test_a_moved_field_travels_with_its_new_case_and_the_records_store_is_told(
    broker: LocalBroker, tmp_path: Path, edge_settings: MakeSettings
) -> None:
    async with lab(broker, tmp_path, edge_settings) as here:
        taken = (await here.ask("capture")).result["captures"][0]["image_id"]
        moved = await here.ask(
            "move_field", image_id=taken, case_id="S12-0345", operator="lab.jane"
        )
        assert moved.result == {
            "image_id": taken,
            "from_case": "unfiled",
            "case_id": "S12-0345",
        }
        await here.far.until(lambda: len(here.far.refiles) > 0)
        [refile] = here.far.refiles
        assert (refile.image_id, refile.to_case, refile.operator) == (
            taken,
            "S12-0345",
            "lab.jane",
        )
        no = await here.ask("move_field", image_id="0" * 32, case_id="S12-0345", operator="jane")
        assert not no.ok and "0" * 32 in no.error


@in_loop
async def test_folders_name_the_cases_of_their_files(
    broker: LocalBroker, tmp_path: Path, make_images: MakeImages, edge_settings: MakeSettings
) -> None:
    make_images(tmp_path / "in" / "S12-0001", 2)
    make_images(tmp_path / "in" / "S12-0002", 1)
    make_images(tmp_path / "in" / "holiday", 1)
    settings = edge_settings(broker, tmp_path / "in", cases={"from_folder": True})
    async with FarSide(broker).running() as far:
        await run_to_the_end(settings)
        by_seq = sorted(far.manifests.values(), key=lambda manifest: manifest.seq)
    cases = {Path(row.source).parent.name: "" for row in rows(settings)}
    for row, manifest in zip(rows(settings), by_seq, strict=True):
        cases[Path(row.source).parent.name] = manifest.case_id
    assert cases == {"S12-0001": "S12-0001", "S12-0002": "S12-0002", "holiday": "unfiled"}


def rows(settings: EdgeSettings) -> tuple[SnapshotRow, ...]:
    return read_snapshot(settings.data_dir / "outbox").rows


@in_loop
async def test_a_refused_picture_is_sent_anyway_with_its_reason_and_once(
    broker: LocalBroker, tmp_path: Path, edge_settings: MakeSettings
) -> None:
    async with lab(broker, tmp_path, edge_settings, gate=TOO_DARK) as here:
        [taken] = (await here.ask("capture")).result["captures"]
        assert taken["refused"].startswith("Too dark")
        await here.far.until(lambda: len(here.far.rejections) > 0)
        wish = {"image_id": taken["image_id"], "reason": "only_field", "operator": "lab.jane"}
        sent = await here.ask("send_anyway", **wish)
        assert sent.ok and sent.result["copy_of"] == taken["image_id"]
        assert (await here.ask("send_anyway", **wish)).result == sent.result
        await here.far.until(lambda: sent.result["image_id"] in here.far.manifests)
        manifest = here.far.manifests[sent.result["image_id"]]
        assert manifest.gate_override and manifest.override_reason == "only_field"
        wrong = await here.ask("send_anyway", **(wish | {"reason": "for Mr. X"}))
        assert not wrong.ok and wrong.error.startswith("reason: should be 'only_field'")
        state = await asyncio.to_thread(read_state, here.settings.data_dir)
        [shown] = [c for c in state.captures if c.image_id == taken["image_id"]]
        assert shown.reason is Reason.EXPOSURE and not shown.can_send_anyway
        # The store heard the rejection before it was asked about it.
        assert [r.image_id for r in here.far.rejections] == [taken["image_id"]]


@in_loop
async def test_a_full_outbox_drops_the_oldest_in_the_name_of_who_allowed_it(
    own_broker: LocalBroker, tmp_path: Path, make_images: MakeImages, edge_settings: MakeSettings
) -> None:
    make_images(tmp_path / "in", 30)
    rule = {"max_images": 3, "on_full": "drop_oldest_routine", "drop_operator": "dr.house"}
    settings = edge_settings(
        own_broker, tmp_path / "in", outbox=rule | {"min_free_bytes": 0}, gate={"enabled": False}
    )
    own_broker.process.kill()
    async with agent(settings):
        outbox = settings.data_dir / "outbox"
        async with asyncio.timeout(20):
            while not (outbox / "outbox.sqlite").exists() or len(rows(settings)) < 30:  # noqa: ASYNC110 - a file has no event to wait for
                await asyncio.sleep(0.02)
        own_broker.process.start()
        async with FarSide(own_broker).running() as far:
            await far.until(lambda: len(far.recorded) == 30)
            dropped = [r for r in far.rejections if r.outcome is Outcome.DROPPED]
            assert {r.operator for r in dropped} == {"dr.house"}
            newest = max(r.seq for r in far.manifests.values())
            assert newest == 30 and len({r.image_id for r in dropped}) >= 10
    assert {row.state for row in rows(settings)} == {OutboxState.RECORDED}


@in_loop
async def test_traces_and_health_carry_the_offset_to_the_records_stores_clock(
    broker: LocalBroker, tmp_path: Path, edge_settings: MakeSettings
) -> None:
    async with lab(broker, tmp_path, edge_settings) as here:
        asked_ns = monotonic_ns()
        await here.far.until(
            lambda: (
                any(health.clock_offset_ns is not None for health in here.far.health)
                or monotonic_ns() - asked_ns > 20_000_000_000
            )
        )
        await here.ask("capture")
        await here.far.until(lambda: len(here.far.recorded) == 1 and len(here.far.traces) == 2)
        for trace in here.far.traces:
            assert trace.clock_offset_ns is not None and trace.clock_error_ns is not None
            assert abs(trace.clock_offset_ns - CLOCK_AHEAD_NS) <= trace.clock_error_ns
            assert trace.clock_error_ns < 1_000_000_000


@in_loop
async def test_the_socket_shows_the_agent_and_runs_its_actions(
    broker: LocalBroker, tmp_path: Path, edge_settings: MakeSettings
) -> None:
    async with lab(broker, tmp_path, edge_settings, um_per_px=0.2) as here:
        data_dir = here.settings.data_dir
        answer = await asyncio.to_thread(call, data_dir, "capture", {"count": 1}, "lab.jane")
        assert answer.ok, answer.error
        [taken] = answer.result["captures"]
        await here.far.until(lambda: len(here.far.recorded) == 1)
        state = await asyncio.to_thread(read_state, data_dir)
        [shown] = state.captures
        assert shown.image_id == taken["image_id"] and shown.has_picture
        assert shown.scores and state.link.state == "online"
        assert state.camera.is_live and state.camera.trigger == "command"
        assert {"capture", "open_case", "send_anyway", "restart"} <= set(state.actions)
        picture = await fetched(data_dir, f"/captures/{taken['image_id']}.jpg")
        assert 0 < picture.shape[1] <= 480
        preview = await fetched(data_dir, "/preview.jpg")
        assert 0 < preview.shape[1] <= 800
        state = await asyncio.to_thread(read_state, data_dir)
        assert len(state.focus.history) == 1
        wrong = await asyncio.to_thread(call, data_dir, "capture", {"count": 99}, "lab.jane")
        assert not wrong.ok and wrong.error.startswith("count:")


async def fetched(data_dir: Path, path: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    reader, writer = await asyncio.open_unix_connection(data_dir / "agent.sock")
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 200 " in head.splitlines()[0], head
    picture = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return np.asarray(picture, np.uint8)


@in_loop
async def test_the_gate_is_calibrated_from_pictures_in_the_outbox_and_taken_back(
    broker: LocalBroker, tmp_path: Path, make_images: MakeImages, edge_settings: MakeSettings
) -> None:
    for path in make_images(tmp_path, 3):
        image = cv2.imread(str(path))
        assert image is not None
        blurred = cv2.GaussianBlur(image, (0, 0), 6)
        cv2.imwrite(str(path.with_name(f"z-bad-{path.name}")), blurred)
    # The limits are not written here: what is written would win over the calibration.
    gate = {"white_cells": "off", "duplicates": "off"}
    camera = {"kind": "folder", "folder": tmp_path, "mode": "watch", "settle_s": 0}
    async with lab(broker, tmp_path, edge_settings, camera=camera, gate=gate) as here:
        await here.far.until(lambda: len(here.far.recorded) == 6)
        ids = [row.image_id for row in rows(here.settings)]
        before = (await here.ask("report")).result["calibration_version"]
        good, bad = ",".join(ids[:3]), ",".join(ids[3:])
        done = await here.ask("calibrate", good=good, bad=bad, operator="lab.jane")
        assert done.ok, done.error
        assert (before, done.result["version"]) == (0, 1)
        limit = done.result["limits"]["min_focus"]
        assert limit["best_bad"] < limit["limit"] < limit["worst_good"]
        assert done.result["gate"]["min_focus"] == limit["limit"]
        assert (await here.ask("report")).result["calibration_version"] == 1
        alike = await here.ask("calibrate", good=good, bad=good, operator="lab.jane")
        assert not alike.ok and "overlap" in alike.error
        wrong = await here.ask("calibrate", good="nonsense", operator="lab.jane")
        assert not wrong.ok and wrong.error.startswith("good.0:")
        back = await here.ask("calibrate", undo=True, operator="lab.jane")
        assert back.ok and back.result["version"] == 0


@in_loop
async def test_the_flat_field_is_learned_told_of_undone_and_reset(
    broker: LocalBroker, tmp_path: Path, edge_settings: MakeSettings
) -> None:
    # A slide whose background is not clipped: of others nothing can be learned.
    changes: dict[str, Any] = {
        "camera": CAMERA | {"width_px": 640, "height_px": 480, "seed": 1},
        "flat_field": {"min_frames": 2},
    }
    async with lab(broker, tmp_path, edge_settings, **changes) as here:
        await here.ask("capture", count=4)
        report = (await here.ask("report")).result
        assert report["flat_field_version"] > 0
        undone = await here.ask("flat_field_undo", operator="lab.jane")
        assert undone.ok and undone.result["held"]
        assert (await here.ask("flat_field_resume", operator="lab.jane")).result["held"] is False
        reset = await here.ask("flat_field_reset", operator="lab.jane")
        assert reset.ok and reset.result["version"] == 0
        nobody = await here.ask("flat_field_reset")
        assert not nobody.ok and nobody.error.startswith("operator:")
    camera = {"kind": "folder", "folder": tmp_path, "mode": "watch"}
    async with lab(broker, tmp_path, edge_settings, camera=camera) as here:
        off = await here.ask("flat_field_undo", operator="lab.jane")
        assert off.error == "flat_field is off for this camera (flat_field.enabled)"
