"""A running agent that is calibrated: by command from its own pictures, and by the job on the same machine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
import structlog

from broker_config.local import LocalBroker
from edge_device.bench.local_client import read_state
from edge_device.outbox import SnapshotRow, read_snapshot
from edge_device.settings import EdgeSettings
from hemowire.cli import main
from tests.edge_device.calibration.frames import blurred, field, micrometer
from tests.edge_device.in_loop import in_loop
from tests.edge_device.test_agent_actions import MakeSettings, lab
from wire_protocol.json_messages import Reason


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """The job configures logging onto this test's own stdout, which is closed after it."""
    yield
    structlog.reset_defaults()


def rows(settings: EdgeSettings) -> tuple[SnapshotRow, ...]:
    return read_snapshot(settings.data_dir / "outbox").rows


@in_loop
async def test_the_scale_of_red_cells_is_measured_on_command_and_travels_with_the_next_picture(
    broker: LocalBroker, tmp_path: Path, edge_settings: MakeSettings
) -> None:
    incoming = tmp_path / "in"
    incoming.mkdir()
    camera = {"kind": "folder", "folder": incoming, "mode": "watch", "settle_s": 0}
    gate = {"white_cells": "off", "duplicates": "off"}
    async with lab(broker, tmp_path, edge_settings, camera=camera, gate=gate) as here:
        for n in range(2):
            cv2.imwrite(str(incoming / f"{n}.png"), field(n, seed=2))
        cv2.imwrite(str(incoming / "2-micrometer.png"), micrometer(50, 20))
        await here.far.until(lambda: len(here.far.recorded) == 3)
        first, second, ruler = (row.image_id for row in rows(here.settings))
        done = await here.ask("calibrate", red_cells=f"{first},{second}", operator="lab.jane")
        assert done.ok, done.error
        scale = done.result["scale"]
        assert (scale["source"], scale["pictures"]) == ("red_cells", 2)
        assert scale["um_per_px"] == done.result["um_per_px"] == pytest.approx(0.2, rel=0.15)
        done = await here.ask("calibrate", micrometer=ruler, operator="lab.jane")
        assert done.result["um_per_px"] == pytest.approx(0.2, rel=0.005)
        both = await here.ask("calibrate", micrometer=ruler, red_cells=first, operator="lab.jane")
        assert not both.ok and "choose one" in both.error
        nothing = await here.ask("calibrate", red_cells=ruler, operator="lab.jane")
        assert not nothing.ok and "no field shows clear red cells" in nothing.error
        cv2.imwrite(str(incoming / "3.png"), field(3, seed=2))
        await here.far.until(lambda: len(here.far.recorded) == 4)
        newest = max(here.far.manifests.values(), key=lambda manifest: manifest.seq)
        assert newest.um_per_px == pytest.approx(0.2, rel=0.005)


@in_loop
async def test_what_the_job_learned_holds_from_the_running_agents_next_picture_on(
    broker: LocalBroker,
    tmp_path: Path,
    edge_settings: MakeSettings,
    capsys: pytest.CaptureFixture[str],
) -> None:
    incoming, frames = tmp_path / "in", tmp_path / "frames"
    for folder in (incoming, frames / "good", frames / "bad"):
        folder.mkdir(parents=True)
    for n in range(3):
        cv2.imwrite(str(frames / "good" / f"{n}.png"), field(n))
        cv2.imwrite(str(frames / "bad" / f"{n}.png"), blurred(field(n), 1.5))
    ruler = frames / "micrometer.png"
    cv2.imwrite(str(ruler), micrometer(50, 20))
    camera = {"kind": "folder", "folder": incoming, "mode": "watch", "settle_s": 0}
    async with lab(broker, tmp_path, edge_settings, camera=camera, gate={}) as here:
        config = tmp_path / "edge.toml"
        written = here.settings.broker
        config.write_text(
            f"""
site = "lab"
device = "scope-1"
data_dir = "{here.settings.data_dir}"
[camera]
kind = "folder"
folder = "{incoming}"
[broker]
host = "{written.host}"
port = {written.port}
username = "{written.username}"
password_file = "{written.password_file}"
""",
            encoding="utf-8",
        )
        cv2.imwrite(str(incoming / "0-soft.png"), blurred(field(4), 1.5))
        await here.far.until(lambda: len(here.far.recorded) == 1)
        assert not here.far.rejections, "the defaults let this blur pass"
        words = ["--good", str(frames / "good"), "--bad", str(frames / "bad")]
        words += ["--micrometer", str(ruler), "--operator", "lab.jane"]
        job = ["edge", "calibrate", "--config", str(config), *words]
        assert await asyncio.to_thread(main, job) == 0
        assert "The running agent uses it from the next picture on." in capsys.readouterr().out
        cv2.imwrite(str(incoming / "1-soft.png"), blurred(field(5), 1.5))
        cv2.imwrite(str(incoming / "2-sharp.png"), field(6))
        await here.far.until(lambda: any(m.seq == 3 for m in here.far.manifests.values()))
        # The same rejection may be told twice, which is harmless.
        assert {(r.seq, r.reason) for r in here.far.rejections} == {(2, Reason.FOCUS)}
        sharp = max(here.far.manifests.values(), key=lambda manifest: manifest.seq)
        assert sharp.seq == 3 and sharp.um_per_px == pytest.approx(0.2, rel=0.005)
        # At the bench: the words with the score, and the picture that was refused.
        state = await asyncio.to_thread(read_state, here.settings.data_dir)
        [shown] = [capture for capture in state.captures if capture.seq == 2]
        assert shown.verdict.startswith("Out of focus: score ") and shown.has_picture
        assert shown.verdict.endswith("Refocus and take again.") and shown.can_send_anyway
        back = ["edge", "calibrate", "--config", str(config), "--undo", "--operator", "lab.jane"]
        assert await asyncio.to_thread(main, back) == 0
        assert (await here.ask("report")).result["calibration_version"] == 0
