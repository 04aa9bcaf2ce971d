"""The case desk on a real outbox: what opens and closes a case, where captures go, over restarts and on a full disk.

Longer than most: the rules of cases are many and short, and share one desk.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from edge_device.cases import ledger
from edge_device.cases.book import By
from edge_device.cases.codes import NO_CODE, CodeKind, CodeRead
from edge_device.cases.desk import Assigned, CaseDesk, CaseError
from edge_device.cases.ledger import CaseRow, list_cases
from edge_device.cases.settings import CaseSettings
from edge_device.outbox import NewCapture, Outbox, OutboxRow
from edge_device.outbox.audit import read_audit
from edge_device.outbox_thread import OutboxThread
from service_runtime.boot import boot_id, new_id, wall_time
from tests.edge_device.in_loop import in_loop
from wire_protocol.json_messages import Reason
from wire_protocol.machine_io import OutboxState, Persist

IDLE_S = 1800.0


class Lab:
    """An outbox, a desk and a clock that is moved by hand."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.now_s = 5000.0
        self.changes = self.moves = 0
        self.outbox = Outbox(folder)
        self.disk = OutboxThread(self.outbox)
        settings = CaseSettings(**options.pop("settings", {}))
        options = {"is_live": True} | options
        self.desk = CaseDesk(
            settings,
            self.disk,
            on_change=lambda: setattr(self, "changes", self.changes + 1),
            on_move=lambda: setattr(self, "moves", self.moves + 1),
            now_s=lambda: self.now_s,
            **options,
        )

    async def assign(self, **what: Any) -> Assigned:
        return await self.desk.assign(taken_s=self.now_s, **what)

    async def case(self, **what: Any) -> str | None:
        return (await self.assign(**what)).case_id

    async def capture(self, assigned: Assigned | None = None) -> OutboxRow:
        """A capture all the way to the disk."""
        found = assigned or await self.assign()
        assert found.case_id is not None
        name = new_id()
        is_label = found.refusal is not None
        taken = NewCapture(
            source=name,
            source_key=name,
            content=None if is_label else name.encode(),
            captured_at=wall_time(),
            captured_ns=int(self.now_s * 1e9),
            boot_id=boot_id(),
            clock_synced=True,
            case_id=found.case_id,
            refusal=found.refusal,
            sha256="ab" * 32 if is_label else "",
            size_bytes=7 if is_label else 0,
        )
        [row] = await self.disk.add([taken])
        assert row is not None
        self.desk.counted(row)
        return row

    async def rows(self) -> list[CaseRow]:
        return await self.disk.call(lambda outbox: list_cases(outbox.db))

    def audited(self) -> list[tuple[str, str, dict[str, Any]]]:
        return [(line.action, line.operator, line.detail) for line in read_audit(self.outbox.db)]


@asynccontextmanager
async def lab(folder: Path, **options: Any) -> AsyncIterator[Lab]:
    found = Lab(folder, **options)
    await found.desk.start()
    try:
        yield found
    finally:
        await found.disk.close()
        found.disk.shut()


def on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("outbox.*"))


def label(text: str) -> CodeRead:
    return CodeRead(CodeKind.TEXT, text)


@in_loop
async def test_fields_go_to_the_open_case_and_are_unfiled_before_and_after(tmp_path: Path) -> None:
    async with lab(tmp_path) as a:
        assert await a.case() == "unfiled"
        opened = await a.desk.open("C7F3K2", By.OPERATOR, "tech-04")
        assert (opened.number, opened.operator) == (1, "tech-04")
        a.now_s += 1
        await a.capture()
        await a.capture()
        assert a.desk.current is not None
        assert (a.desk.current.case_id, a.desk.current.fields) == ("C7F3K2", 2)
        closed = await a.desk.close(By.OPERATOR, "tech-04")
        assert closed is not None
        assert closed.case.fields == 2
        a.now_s += 1
        assert await a.case() == "unfiled"
        [row] = await a.rows()
        assert (row.fields, row.closed_by) == (2, By.OPERATOR)
        assert a.audited() == [
            ("case_opened", "tech-04", {"case": "C7F3K2", "number": 1, "by": "operator"}),
            ("case_closed", "tech-04", {"case": "C7F3K2", "number": 1, "by": "operator"}),
        ]


@in_loop
async def test_a_closed_case_that_is_opened_again_goes_on_as_its_second_opening(
    tmp_path: Path,
) -> None:
    async with lab(tmp_path) as a:
        await a.desk.open("C7F3K2")
        await a.desk.open("S-0002")
        again = await a.desk.open("C7F3K2")
        assert again.number == 2
        assert a.desk.notice == "Case C7F3K2 is opened again (opening 2)."
        assert [(r.case_id, r.number, r.closed_by) for r in await a.rows()] == [
            ("C7F3K2", 2, None),
            ("S-0002", 1, By.OPERATOR),
            ("C7F3K2", 1, By.OPERATOR),
        ]


@in_loop
async def test_opening_the_open_case_only_counts_as_work(tmp_path: Path) -> None:
    async with lab(tmp_path) as a:
        await a.desk.open("C7F3K2")
        a.now_s += 1700
        assert (await a.desk.open("C7F3K2", By.CODE)).number == 1
        assert a.desk.deadline == a.now_s + IDLE_S
        assert len(await a.rows()) == 1


@in_loop
async def test_a_label_opens_its_case_and_keeps_no_bytes(tmp_path: Path) -> None:
    async with lab(tmp_path) as a:
        await a.desk.open("S-0001")
        found = await a.assign(code=label("C7F3K2"))
        assert found.case_id == "C7F3K2"
        assert found.refusal is not None
        assert (found.refusal.reason, found.refusal.text) == (
            Reason.SLIDE_LABEL,
            "Slide label: case opened.",
        )
        row = await a.capture(found)
        assert (row.state, row.bytes_held) == (OutboxState.REJECTED, False)
        await a.capture()
        assert a.desk.current is not None
        assert (a.desk.current.fields, a.desk.current.refused) == (1, 0), "a label is no field"
        await a.desk.close()
        assert [(r.case_id, r.fields, r.by) for r in await a.rows()] == [
            ("C7F3K2", 1, By.CODE),
            ("S-0001", 0, By.OPERATOR),
        ]


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (label("ANNA MEIER 3.4.1961"), "Slide label not usable as a case id"),
        (label("MEIER-2"), "Slide label not usable as a case id"),
        (label("1961-04-03"), "Slide label not usable as a case id"),
        (CodeRead(CodeKind.UNREADABLE), "Slide label cannot be read"),
    ],
)
@in_loop
async def test_a_label_that_cannot_be_used_closes_the_case_before_it_and_is_quoted_nowhere(
    tmp_path: Path, code: CodeRead, text: str
) -> None:
    with capture_logs() as logs:
        async with lab(tmp_path) as a:
            await a.desk.open("C7F3K2")
            found = await a.assign(code=code)
            assert found.refusal is not None
            assert found.refusal.text.startswith(text)
            assert found.refusal.reason is Reason.SLIDE_LABEL
            await a.capture(found)
            assert a.desk.current is None
            assert await a.case() == "unfiled", "fields must not go to the slide before"
            assert a.desk.notice.startswith(text)
    assert not code.text or code.text not in repr(logs)
    assert not code.text or code.text.encode() not in on_disk(tmp_path)


@in_loop
async def test_a_picture_without_a_code_changes_nothing(tmp_path: Path) -> None:
    async with lab(tmp_path) as a:
        await a.desk.open("C7F3K2")
        assert await a.assign(code=NO_CODE) == Assigned("C7F3K2")


@in_loop
async def test_a_refused_id_opens_nothing_closes_nothing_and_is_not_logged(tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with lab(tmp_path) as a:
            await a.desk.open("C7F3K2")
            with pytest.raises(CaseError) as caught:
                await a.desk.open("MEIER-2", By.COMMAND, "tech-04")
            assert a.desk.current is not None
    assert "MEIER-2" not in str(caught.value)
    assert "MEIER-2" not in repr(logs)


@in_loop
async def test_an_idle_case_closes_by_itself_and_the_next_field_is_unfiled(tmp_path: Path) -> None:
    async with lab(tmp_path) as a:
        running = asyncio.create_task(a.desk.run())
        await a.desk.open("C7F3K2")
        a.now_s += 1700
        await a.capture()
        a.now_s += IDLE_S - 1
        assert await a.case() == "C7F3K2"
        a.now_s += IDLE_S
        assert await a.case() == "unfiled"
        assert a.desk.notice == "Case C7F3K2 was closed: idle for 30 min."
        assert [r.closed_by for r in await a.rows()] == [By.IDLE]
        running.cancel()


@in_loop
async def test_an_idle_case_closes_without_any_capture(tmp_path: Path) -> None:
    async with lab(tmp_path, settings={"idle_close_s": 0.05}) as a:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        a.desk._now_s = lambda: 5000 + loop.time() - began_s
        closed = asyncio.Event()
        a.desk._on_change = lambda: closed.set() if a.desk.current is None else None
        running = asyncio.create_task(a.desk.run())
        await a.desk.open("C7F3K2")
        async with asyncio.timeout(10):
            await closed.wait()
        running.cancel()


@in_loop
async def test_a_stage_change_closes_the_case(tmp_path: Path) -> None:
    async with lab(tmp_path) as a:
        await a.desk.open("C7F3K2")
        await a.desk.stage_changed()
        assert await a.case() == "unfiled"
        assert [r.closed_by for r in await a.rows()] == [By.STAGE]
        await a.desk.stage_changed()


@in_loop
async def test_a_picture_taken_before_the_slide_was_changed_stays_with_its_slide(
    tmp_path: Path,
) -> None:
    async with lab(tmp_path) as a:
        await a.desk.open("S-0001")
        taken_s = a.now_s + 1
        a.now_s += 2
        await a.desk.open("S-0002")
        assert (await a.desk.assign(taken_s=taken_s)).case_id == "S-0001"
        assert await a.case() == "S-0002"


# --- folders -----------------------------------------------------------------------------------


@in_loop
async def test_folders_open_their_cases_and_others_are_unfiled(tmp_path: Path) -> None:
    async with lab(tmp_path, settings={"from_folder": True}, is_live=False) as a:
        folders = ("S-0001", "S-0001", "day-1/S-0002", "2026-11-21", "", "S-0001")
        found = [await a.case(folder=folder) for folder in folders]
        assert found == ["S-0001", "S-0001", "S-0002", "unfiled", "unfiled", "S-0001"]
        assert [(r.case_id, r.number, r.by) for r in await a.rows()] == [
            ("S-0001", 2, By.FOLDER),
            ("S-0002", 1, By.FOLDER),
            ("S-0001", 1, By.FOLDER),
        ]


@in_loop
async def test_folders_mean_nothing_where_the_settings_do_not_say_so(tmp_path: Path) -> None:
    async with lab(tmp_path, is_live=False) as a:
        assert await a.case(folder="S-0001") == "unfiled"


# --- required, and the case of edge.toml --------------------------------------------------------


@in_loop
async def test_where_a_case_is_required_nothing_is_captured_without_one(tmp_path: Path) -> None:
    async with lab(tmp_path, settings={"required": True, "read_codes": False}) as a:
        assert a.desk.reason_to_halt == "no case is open: open one first (cases.required)"
        assert await a.case() is None
        await a.desk.open("C7F3K2")
        assert a.desk.reason_to_halt == ""
        assert await a.case() == "C7F3K2"


@in_loop
async def test_a_picture_may_bring_the_required_case_itself(tmp_path: Path) -> None:
    async with lab(tmp_path, settings={"required": True}) as a:
        assert a.desk.reason_to_halt == ""
        assert await a.case() is None
        assert (await a.assign(code=label("C7F3K2"))).case_id == "C7F3K2"
        assert await a.case() == "C7F3K2"


@in_loop
async def test_a_file_that_exists_is_unfiled_and_never_let_go(tmp_path: Path) -> None:
    settings = {"required": True, "from_folder": True}
    async with lab(tmp_path, settings=settings, is_live=False) as a:
        assert await a.case(folder="notes") == "unfiled"


@in_loop
async def test_the_case_of_the_settings_stands_in_while_none_is_open(tmp_path: Path) -> None:
    async with lab(
        tmp_path, settings={"required": True, "read_codes": False}, fallback="S-0009"
    ) as a:
        assert a.desk.reason_to_halt == ""
        assert await a.case() == "S-0009"
        await a.desk.open("C7F3K2")
        assert await a.case() == "C7F3K2"


@pytest.mark.parametrize(
    ("is_live", "told", "reads"),
    [(True, None, True), (False, None, False), (True, False, False), (False, True, True)],
)
@in_loop
async def test_codes_are_read_from_live_cameras_unless_told_otherwise(
    tmp_path: Path, is_live: bool, told: bool | None, reads: bool
) -> None:
    async with lab(tmp_path, settings={"read_codes": told}, is_live=is_live) as a:
        assert a.desk.reads_codes is reads


# --- restarts ----------------------------------------------------------------------------------


@in_loop
async def test_a_case_goes_on_after_a_short_stop_with_its_counts(tmp_path: Path) -> None:
    async with lab(tmp_path) as a:
        await a.desk.open("C7F3K2", By.CODE)
        a.now_s += 1000
        await a.capture()
        await a.capture()
    b = Lab(tmp_path)
    b.now_s += 1000 + IDLE_S - 1
    await b.desk.start()
    assert b.desk.current is not None
    assert (b.desk.current.case_id, b.desk.current.number) == ("C7F3K2", 1)
    assert (b.desk.current.fields, b.desk.current.by) == (2, By.CODE)
    assert b.desk.deadline == b.now_s + 1
    b.disk.shut()
    b.outbox.close()


@in_loop
async def test_a_case_that_lay_idle_while_no_agent_ran_is_closed_at_the_start(
    tmp_path: Path,
) -> None:
    async with lab(tmp_path) as a:
        await a.desk.open("C7F3K2")
        a.now_s += 1000
        await a.capture()
    b = Lab(tmp_path)
    b.now_s += 1000 + IDLE_S
    await b.desk.start()
    assert b.desk.current is None
    assert b.desk.notice == "Case C7F3K2 was closed: it was idle."
    assert [(r.closed_by, r.fields) for r in await b.rows()] == [(By.IDLE, 1)]
    b.disk.shut()
    b.outbox.close()


@in_loop
async def test_after_a_reboot_nobody_knows_how_long_it_was_and_the_case_is_closed(
    tmp_path: Path,
) -> None:
    async with lab(tmp_path) as a:
        await a.desk.open("C7F3K2")
        await a.disk.call(
            lambda outbox: outbox.db.execute("UPDATE cases SET boot_id = ?", (new_id(),))
        )
    async with lab(tmp_path) as b:
        assert b.desk.current is None
        assert b.desk.notice == "Case C7F3K2 was closed: the device was restarted."
        assert [r.closed_by for r in await b.rows()] == [By.RESTART]
        assert await b.case() == "unfiled"


# --- a disk that refuses -----------------------------------------------------------------------


def refuse(step: str) -> Callable[[str], None]:
    def at(name: str) -> None:
        if name == step:
            raise sqlite3.OperationalError("database or disk is full")

    return at


@in_loop
async def test_where_the_disk_refuses_an_opening_no_case_is_open_at_all(tmp_path: Path) -> None:
    async with lab(tmp_path) as a:
        await a.desk.open("S-0001")
        a.outbox.step = refuse("case_opened")
        with pytest.raises(CaseError, match="the disk refuses"):
            await a.desk.open("S-0002")
        assert a.desk.current is None, "its fields must not go to the slide before"
        assert await a.case() == "unfiled"
        found = await a.assign(code=label("S-0003"))
        assert found.case_id == "unfiled"
        assert found.refusal is not None
        assert "the disk refuses" in found.refusal.text
        a.outbox.step = lambda _name: None
        assert (await a.desk.open("S-0002")).number == 1
        assert [(r.case_id, r.closed_by) for r in await a.rows()] == [
            ("S-0002", None),
            ("S-0001", By.OPERATOR),
        ]


@in_loop
async def test_a_closing_that_the_disk_refused_holds_and_is_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_device.outbox_thread._RETRY_S", 0.01)
    async with lab(tmp_path) as a:
        await a.desk.open("S-0001")
        a.outbox.step = refuse("case_closed")
        await a.desk.close()
        assert a.desk.current is None
        assert [r.closed_by for r in await a.rows()] == [None]
        a.outbox.step = lambda _name: None
        running = asyncio.create_task(a.desk.run())
        async with asyncio.timeout(10):
            while [r.closed_by for r in await a.rows()] != [By.OPERATOR]:
                pass
        running.cancel()


# --- moving a field ----------------------------------------------------------------------------


@in_loop
async def test_a_moved_field_has_its_new_case_a_refile_and_a_line_in_the_audit(
    tmp_path: Path,
) -> None:
    async with lab(tmp_path) as a:
        await a.desk.open("S-0001")
        row = await a.capture()
        assert await a.desk.move_field(row.image_id, "S-0002", "tech-04") == "S-0001"
        assert await a.desk.move_field(row.image_id, "unfiled", "tech-04") == "S-0002"
        assert a.outbox.row(row.image_id) == replace(row, case_id="unfiled")
        found = ledger.untold_refiles(a.outbox, site="lab", device="d", store_id="", limit=9)
        assert [(r.number, r.from_case, r.to_case, r.operator) for r in found] == [
            (1, "S-0001", "S-0002", "tech-04"),
            (2, "S-0002", "unfiled", "tech-04"),
        ]
        assert a.audited()[-1] == ("field_moved", "tech-04", {"from": "S-0002", "to": "unfiled"})
        assert a.moves == 2


@in_loop
async def test_moving_a_field_to_its_own_case_does_nothing(tmp_path: Path) -> None:
    async with lab(tmp_path) as a:
        await a.desk.open("S-0001")
        row = await a.capture()
        assert await a.desk.move_field(row.image_id, "S-0001", "tech-04") == "S-0001"
        assert a.moves == 0
        assert not ledger.untold_refiles(a.outbox, site="lab", device="d", store_id="", limit=9)


@in_loop
async def test_what_cannot_be_moved_says_why(tmp_path: Path) -> None:
    async with lab(tmp_path) as a:
        row = await a.capture()
        taken = await a.capture(await a.assign(code=label("S-0001")))
        for image_id, case_id, operator, why in (
            (new_id(), "S-0002", "tech-04", "no image"),
            (taken.image_id, "S-0002", "tech-04", "slide's label"),
            (row.image_id, "MEIER-2", "tech-04", "may be a name"),
            (row.image_id, "S-0002", "", "name of an operator"),
            (row.image_id, "S-0002", "Anna Meier", "operator"),
        ):
            with pytest.raises(CaseError, match=why):
                await a.desk.move_field(image_id, case_id, operator)
        assert a.outbox.row(row.image_id).case_id == "unfiled"


@in_loop
async def test_a_recorded_field_can_still_be_moved(tmp_path: Path) -> None:
    async with lab(tmp_path) as a:
        row = await a.capture()
        a.outbox.apply([Persist(row.image_id, OutboxState.RECORDED)])
        assert await a.desk.move_field(row.image_id, "S-0002", "tech-04") == "unfiled"


@pytest.mark.parametrize("step", ["field_moved", "audit_written"])
@in_loop
async def test_a_move_that_the_disk_refuses_is_not_half_done(tmp_path: Path, step: str) -> None:
    async with lab(tmp_path) as a:
        row = await a.capture()
        a.outbox.step = refuse(step)
        with pytest.raises(CaseError, match="the disk refuses"):
            await a.desk.move_field(row.image_id, "S-0002", "tech-04")
        a.outbox.step = lambda _name: None
        assert a.outbox.row(row.image_id).case_id == "unfiled"
        assert not ledger.untold_refiles(a.outbox, site="lab", device="d", store_id="", limit=9)
        assert a.audited() == []
