"""`hemowire edge case` on an outbox of its own and through a running agent: what it says, does and refuses."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from broker_config.local import LocalBroker
from edge_device.agent import run_edge
from edge_device.cases import ledger
from edge_device.outbox import NewCapture, Outbox, OutboxRow
from edge_device.outbox.audit import read_audit
from edge_device.settings import EdgeSettings
from hemowire.cli import main
from service_runtime.boot import boot_id, wall_time
from tests.edge_device.conftest import MakeImages
from tests.edge_device.in_loop import in_loop

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "edge.toml"
    path.write_text(
        'site = "lab"\ndevice = "scope-1"\n'
        f'data_dir = "{tmp_path}/scope-1"\n[camera]\nkind = "simulated"\n'
        '[broker]\nport = 1\nusername = "edge"\n[cases]\nidle_close_s = 600\n'
    )
    return path


@pytest.fixture
def case(config: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs one job; gives exit code, stdout and stderr."""

    def run(*words: str, operator: str = "tech-04") -> tuple[int, str, str]:
        code = main(["edge", "case", *words, "--config", str(config), "--operator", operator])
        out, err = capsys.readouterr()
        return code, out.strip(), err.strip()

    return run


def captured(config: Path, case_id: str) -> OutboxRow:
    outbox = Outbox(config.parent / "scope-1" / "outbox")
    taken = NewCapture("a", "a", b"a", wall_time(), 1, boot_id(), True, case_id=case_id)
    [row] = outbox.add([taken])
    outbox.close()
    assert row is not None
    return row


def test_without_an_agent_a_case_is_opened_listed_closed_and_opened_again(
    case: Run, config: Path
) -> None:
    (config.parent / "scope-1").mkdir()
    code, out, _ = case("open", "C7F3K2")
    assert (code, "goes on with case C7F3K2 (opening 1)" in out) == (0, True)
    assert case("show")[1] == (
        "no agent runs; when it stopped, case C7F3K2: 0 fields, opened by command tech-04, is open"
    )
    assert case("close")[1] == "no agent runs: case C7F3K2 is closed"
    code, _, err = case("close")
    assert (code, err) == (2, "hemowire edge case close: no case is open")
    assert "(opening 2)" in case("open", "C7F3K2")[1]
    lines = [json.loads(line) for line in case("list", "--json")[1].splitlines()]
    assert [(line["number"], line["closed_by"]) for line in lines] == [(2, None), (1, "command")]
    assert case("list")[1].endswith("2 openings")


def test_without_an_agent_a_field_is_moved_by_its_number_and_owed_to_the_records_store(
    case: Run, config: Path
) -> None:
    row = captured(config, "S-0001")
    code, out, _ = case("move", "1", "S-0002")
    assert (code, "of case S-0002 now, it was of case S-0001" in out) == (0, True)
    assert "was of case S-0002" in case("move", row.image_id, "unfiled")[1]
    outbox = Outbox(config.parent / "scope-1" / "outbox")
    told = ledger.untold_refiles(outbox, site="lab", device="scope-1", store_id="", limit=9)
    assert [(r.from_case, r.to_case) for r in told] == [("S-0001", "S-0002"), ("S-0002", "unfiled")]
    assert [line.operator for line in read_audit(outbox.db)] == ["tech-04", "tech-04"]
    outbox.close()


@pytest.mark.parametrize(
    ("words", "operator", "why"),
    [
        (("open", "MEIER-2"), "tech-04", "4 or more letters"),
        (("open", "1961-04-03"), "tech-04", "looks like a date"),
        (("open",), "tech-04", "needs ID"),
        (("open", "S-0002"), "", "needs --operator"),
        (("move", "7", "S-0002"), "tech-04", "no such image"),
        (("move", "1", "S-0002"), "Anna Meier", "name of an operator"),
        (("close", "S-0002"), "tech-04", "needs no value"),
    ],
)
def test_what_cannot_be_done_is_said_by_name_and_changes_nothing(
    case: Run, config: Path, words: tuple[str, ...], operator: str, why: str
) -> None:
    captured(config, "S-0001")
    code, _, err = case(*words, operator=operator)
    assert (code, why in err) == (2, True)
    assert not {"MEIER-2", "1961-04-03", "Anna Meier"} & set(err.split())
    assert case("list")[1] == "0 openings"


@in_loop
async def test_a_running_agent_does_it_at_once(
    tmp_path: Path,
    case: Run,
    broker: LocalBroker,
    make_images: MakeImages,
    edge_settings: Callable[..., EdgeSettings],
) -> None:
    make_images(tmp_path / "in", 1)
    settings = edge_settings(broker, tmp_path / "in")
    stop = asyncio.Event()
    agent = asyncio.create_task(run_edge(settings, stop))
    try:
        async with asyncio.timeout(20):
            while not (settings.data_dir / "agent.sock").exists():
                assert not agent.done()
                await asyncio.to_thread(os.sched_yield)
        # The agent logs into the same standard output, so what is said is looked for in it.
        code, out, _ = await asyncio.to_thread(case, "open", "C7F3K2")
        assert (code, "case C7F3K2 is open: " in out) == (0, True)
        shown = (await asyncio.to_thread(case, "show"))[1]
        assert "case C7F3K2 is open: " in shown
        assert "opened by tech-04; it closes in 30 min" in shown
        async with asyncio.timeout(20):
            while (await asyncio.to_thread(case, "move", "1", "S-0002"))[0] != 0:
                await asyncio.to_thread(os.sched_yield)
        assert "case C7F3K2 is closed" in (await asyncio.to_thread(case, "close"))[1]
        assert "no case is open" in (await asyncio.to_thread(case, "show"))[1]
    finally:
        stop.set()
        await agent
