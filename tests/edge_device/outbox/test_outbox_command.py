"""`hemowire edge outbox`: list, retry, export, purge and rescue, beside a running agent and without one."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from broker_config.local import LocalBroker
from edge_device.outbox import Outbox, OutboxRow, Refusal, desk, read_snapshot
from hemowire.cli import main
from tests.edge_device.in_loop import in_loop
from tests.edge_device.outbox.outbox_steps import new_capture
from tests.edge_device.test_agent import MakeSettings
from tests.edge_device.test_agent_actions import lab
from wire_protocol.json_messages import Reason
from wire_protocol.machine_io import OutboxState
from wire_protocol.manifest import ContentType
from wire_protocol.messages import Outcome


def fill(data_dir: Path) -> list[OutboxRow]:
    """Two waiting images and a refused one."""
    outbox = Outbox(data_dir / "outbox")
    captures = [
        replace(new_capture(name), content_type=ContentType.JPEG, case_id="CASE-1")
        for name in ("anna-m.jpg", "b", "c")
    ]
    captures[2] = replace(captures[2], refusal=Refusal(Reason.FOCUS, "Out of focus."))
    rows = [row for row in outbox.add(captures) if row is not None]
    outbox.close()
    return rows


def test_the_list_is_a_table_and_one_json_object_a_line_and_names_no_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = fill(tmp_path)
    assert main(["edge", "outbox", "list", "--data-dir", str(tmp_path)]) == 0
    table = capsys.readouterr().out
    assert "waiting" in table and "CASE-1" in table and "Out of focus." in " ".join(table.split())
    assert len(rows) == 3 and "3 images" in table and "anna" not in table
    arguments = ["edge", "outbox", "list", "--data-dir", str(tmp_path), "--json"]
    assert main([*arguments, "--state", "rejected"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["refusal"]["reason"] == "focus"
    assert main(arguments) == 0
    assert "anna" not in capsys.readouterr().out


def test_export_writes_those_named_by_number_or_id(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = fill(tmp_path)
    place = ["--data-dir", str(tmp_path)]
    out = tmp_path / "out"
    assert main(["edge", "outbox", "export", str(out), "1", rows[1].image_id, *place]) == 0
    assert "2 of 2" in capsys.readouterr().out
    assert sorted(path.suffix for path in out.iterdir()) == [".jpg", ".jpg", ".json", ".json"]
    (tmp_path / "outbox" / "images" / rows[2].image_id).write_bytes(b"x")
    assert main(["edge", "outbox", "export", str(tmp_path / "all"), *place]) == 1
    assert "sha256" in capsys.readouterr().err


def test_purge_without_an_agent_drops_in_the_outbox_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = fill(tmp_path)
    place = ["--data-dir", str(tmp_path), "--operator", "kim"]
    assert main(["edge", "outbox", "purge", *place]) == 2
    assert "name images" in capsys.readouterr().err
    assert main(["edge", "outbox", "purge", "1", "--rejected", *place]) == 0
    assert "1 images end as dropped by kim; the bytes of 1 more" in capsys.readouterr().out
    outbox = Outbox(tmp_path / "outbox")
    assert [row.bytes_held for row in outbox.unfinished()] == [False, True, False]
    assert {line.operator for line in desk.read_audit(outbox.db)} == {"kim"}
    outbox.close()
    assert main(["edge", "outbox", "purge", "9", *place]) == 2
    assert "no image 9" in capsys.readouterr().err
    assert main(["edge", "outbox", "retry", rows[1].image_id, *place]) == 0
    assert "no agent runs" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["edge", "outbox", "purge", "--older-than", "soon", *place])


def test_a_damaged_database_is_named_by_every_job_and_rescued_by_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path)
    (tmp_path / "outbox" / "outbox.sqlite").write_bytes(b"?" * 4096)
    place = ["--data-dir", str(tmp_path)]
    for job in (["list"], ["export", str(tmp_path / "out")], ["purge", "1", "--operator", "kim"]):
        assert main(["edge", "outbox", *job, *place]) == 2
        assert "hemowire edge outbox rescue" in capsys.readouterr().err
    assert main(["edge", "outbox", "rescue", "--operator", "kim", *place]) == 0
    assert "3 images are taken in again, 3 of them of an unknown case" in capsys.readouterr().out
    # These bytes are no pictures: the gate cannot judge what it cannot decode.
    states = [row.state for row in read_snapshot(tmp_path / "outbox").rows]
    assert states == [OutboxState.REJECTED] * 3


@in_loop
async def test_a_running_agent_drops_retries_and_its_records_store_hears_of_it(
    broker: LocalBroker, tmp_path: Path, edge_settings: MakeSettings
) -> None:
    rows = fill(tmp_path / "scope-1")
    place = ["--data-dir", str(tmp_path / "scope-1")]

    async def job(*arguments: str) -> int:
        return await asyncio.to_thread(main, ["edge", "outbox", *arguments, *place])

    async with lab(
        broker, tmp_path, edge_settings, transfer={"offer_wait_s": 3600, "offer_wait_max_s": 3600}
    ) as here:
        await here.far.until(lambda: len(here.far.recorded) == 3)
        (tmp_path / "scope-1" / "outbox" / "images" / rows[0].image_id).stat()
        assert await job("list") == 0
        assert await job("purge", "3", "--operator", "kim") == 0
        held = [row.bytes_held for row in read_snapshot(tmp_path / "scope-1" / "outbox").rows]
        assert held == [True, True, False]
        assert await job("retry", "1", "--operator", "kim") == 2, "it is recorded already"


@in_loop
async def test_an_image_that_waits_is_dropped_while_the_agent_runs(
    own_broker: LocalBroker, tmp_path: Path, edge_settings: MakeSettings
) -> None:
    rows = fill(tmp_path / "scope-1")
    place = ["--data-dir", str(tmp_path / "scope-1"), "--operator", "kim"]
    async with lab(own_broker, tmp_path, edge_settings) as here:
        await here.far.until(lambda: len(here.far.recorded) == 3)
        here.far.records_answer = False
        reply = await here.ask("capture", count=1)
        (taken,) = reply.result["captures"]
        await here.far.until(lambda: taken["image_id"] in here.far.manifests)
        arguments = ["edge", "outbox", "purge", taken["image_id"], *place]
        assert await asyncio.to_thread(main, arguments) == 0
        await here.far.until(lambda: any(r.operator == "kim" for r in here.far.rejections))
        (dropped,) = [r for r in here.far.rejections if r.operator == "kim"]
        assert (dropped.image_id, dropped.outcome) == (taken["image_id"], Outcome.DROPPED)
        assert len(rows) == 3
