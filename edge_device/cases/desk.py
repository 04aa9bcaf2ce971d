"""The case desk of an agent: opens, closes and counts cases, files captures, moves fields; it sends nothing itself.

All methods belong to the event loop's thread. Memory goes first on closing and the disk first on
opening, so that whatever fails, no field goes to a case that somebody wanted closed.

A label in a picture, or a folder, opens its case before the next picture is taken: the agent awaits
`assign` for each capture. A label that cannot be used closes the open case all the same: a slide
was changed, and its fields must not go to the slide before. (Over 250 lines: every way in which a
case opens or closes in one place.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from edge_device.cases import ledger
from edge_device.cases.book import By, CaseBook, ClosedCase, OpenCase
from edge_device.cases.case_ids import CaseIdError, case_of_folder, check_case_id
from edge_device.cases.codes import CodeKind, CodeRead
from edge_device.cases.settings import CaseSettings
from edge_device.outbox import Outbox
from edge_device.outbox.rows import OutboxRow, Refusal
from edge_device.outbox_thread import DISK_REFUSES, DiskGivenUpError, OutboxThread
from service_runtime.boot import monotonic_s, wall_time
from service_runtime.log import get_log
from wire_protocol.json_messages import Reason
from wire_protocol.manifest import UNFILED

LABEL_TAKEN = "Slide label: case opened."
LABEL_NOT_TAKEN = "Slide label not usable as a case id: no case is open, fields are unfiled."
LABEL_UNREADABLE = "Slide label cannot be read: no case is open, fields are unfiled."
LABEL_NOT_KEPT = "Slide label read, but the disk refuses: no case is open, fields are unfiled."
NEEDS_CASE = "no case is open: open one first (cases.required)"


class CaseError(Exception):
    """What was asked of the desk cannot be done; the message repeats no refused id."""


@dataclass(frozen=True, slots=True)
class Assigned:
    """Where a capture belongs: a case, "unfiled", or nowhere (None: the picture is let go)."""

    case_id: str | None
    #: Of a slide's label: the row keeps no bytes of it (content None, sha256 and size).
    refusal: Refusal | None = None


class CaseDesk:
    """One desk per agent; `on_change` is told of everything that a screen shows."""

    def __init__(
        self,
        settings: CaseSettings,
        disk: OutboxThread,
        *,
        is_live: bool,
        fallback: str = UNFILED,
        on_change: Callable[[], None] = lambda: None,
        on_move: Callable[[], None] = lambda: None,
        now_s: Callable[[], float] = monotonic_s,
    ) -> None:
        #: What happened last that an operator should know, in words; "" where all is as usual.
        self.notice = ""
        self.reads_codes = is_live if settings.read_codes is None else settings.read_codes
        self._settings = settings
        self._disk = disk
        self._is_live = is_live
        #: The case of captures while none is open: `case_id` of edge.toml.
        self._fallback = fallback
        self._on_change = on_change
        self._on_move = on_move
        self._now_s = now_s
        self._book = CaseBook(settings.idle_close_s)
        self._lock = asyncio.Lock()
        self._news = asyncio.Event()
        #: A closing that the disk refused; written with the next deed, or by `run`.
        self._unwritten: ClosedCase | None = None
        self._log = get_log("edge")

    # --- what it is ---------------------------------------------------------------------------

    @property
    def current(self) -> OpenCase | None:
        """The open case."""
        return self._book.current

    def tell(self, text: str) -> None:
        """Something that the person at the microscope should know, until the next case opens."""
        self._say(text)
        self._changed()

    @property
    def deadline(self) -> float | None:
        """When the open case closes by itself, on the monotonic clock."""
        return self._book.deadline

    @property
    def standing_in(self) -> str | None:
        """The case of captures while none is open, where the settings name one."""
        return None if self._fallback == UNFILED else self._fallback

    @property
    def reason_to_halt(self) -> str:
        """Why no picture may be taken, "" where one may. Where a picture could bring its own case
        (a label, a folder) it has to be taken to know."""
        opens_itself = self.reads_codes or self._settings.from_folder
        if self.may_file or opens_itself:
            return ""
        return NEEDS_CASE

    @property
    def may_file(self) -> bool:
        """Whether a capture that brings no case of its own would be kept now."""
        has_case = self.current is not None or self._fallback != UNFILED
        return has_case or not self._settings.required

    # --- its life -----------------------------------------------------------------------------

    async def start(self) -> None:
        """Goes on with the case that was open, where it is certain that it was not idle too long.

        Certain is: in the same boot, by the monotonic stamp of its last capture, time in which no
        agent ran included. After a reboot nobody knows how long it was: the case is closed.
        """
        left = await self._disk.patiently(ledger.left_open)
        if left is None:
            return
        row, now_s = left.row, self._now_s()
        by = By.RESTART
        if left.last_seen_ns is not None:
            case = OpenCase(
                row.case_id,
                row.number,
                row.by,
                row.operator,
                row.opened_wall,
                row.opened_ns / 1e9,
                left.last_seen_ns / 1e9,
                left.fields,
                left.refused,
            )
            self._book.open(case)
            if self._book.close_if_idle(now_s) is None:
                self._log.info("case_goes_on", case_id=row.case_id, number=row.number)
                self._changed()
                return
            by = By.IDLE
        await self._disk.patiently(lambda outbox: ledger.write_closing(outbox, by, ""))
        why = "it was idle" if by is By.IDLE else "the device was restarted"
        self._say(f"Case {row.case_id} was closed: {why}.")
        self._log.warning("case_closed", case_id=row.case_id, by=by)
        self._changed()

    async def run(self) -> None:
        """Closes the case when it was idle for too long, for ever."""
        while True:
            self._news.clear()
            if self._unwritten is not None:
                with suppress(DiskGivenUpError):
                    await self._disk.patiently(self._write_late)
            deadline = self.deadline
            try:
                async with asyncio.timeout(
                    None if deadline is None else max(0.0, deadline - self._now_s())
                ):
                    await self._news.wait()
            except TimeoutError:
                async with self._lock:
                    await self._close_if_idle()

    # --- deeds --------------------------------------------------------------------------------

    async def open(self, case_id: str, by: By = By.OPERATOR, operator: str = "") -> OpenCase:
        """Opens a case, and closes the one that is open; the same one again only counts as work.

        Raises CaseError with that other case closed, where the disk refuses.
        """
        try:
            case_id = check_case_id(case_id, self._settings)
        except CaseIdError as error:
            raise CaseError(str(error)) from error
        async with self._lock:
            await self._close_if_idle()
            return await self._open(case_id, by, operator)

    async def close(self, by: By = By.OPERATOR, operator: str = "") -> ClosedCase | None:
        """Closes the open case; None where none is open. A disk that refuses hears of it later."""
        async with self._lock:
            await self._close_if_idle()
            closed = await self._close(by, operator)
        if closed is not None and by is By.STAGE:
            self._say(f"Case {closed.case.case_id} was closed: the stage changed.")
        return closed

    async def stage_changed(self) -> None:
        """Another slide lies on the stage: the case is over."""
        await self.close(By.STAGE)

    async def move_field(self, image_id: str, case_id: str, operator: str) -> str:
        """Files a field under another case, or as unfiled, and tells the records store.

        Returns the case it had. Raises CaseError.
        """
        if case_id != UNFILED:
            try:
                case_id = check_case_id(case_id, self._settings)
            except CaseIdError as error:
                raise CaseError(str(error)) from error
        try:
            before = await self._disk.call(
                lambda outbox: ledger.write_move(outbox, image_id, case_id, operator)
            )
        except ledger.MoveError as error:
            raise CaseError(str(error)) from error
        except DISK_REFUSES as error:
            raise CaseError(f"the disk refuses: {error}") from error
        if before != case_id:
            self._log.info(
                "field_moved", image_id=image_id, from_case=before, to_case=case_id, by=operator
            )
            self._on_move()
            self._changed()
        return before

    def seen_activity(self, now_s: float | None = None) -> None:
        """Somebody works on the open case; captures count as work by themselves."""
        self._book.seen(self._now_s() if now_s is None else now_s)
        self._news.set()

    # --- captures -----------------------------------------------------------------------------

    async def assign(
        self, *, taken_s: float, folder: str = "", code: CodeRead | None = None
    ) -> Assigned:
        """Where a capture belongs that was taken at `taken_s`, before the next one is taken."""
        async with self._lock:
            await self._close_if_idle()
            if code is not None and code.kind is not CodeKind.NONE:
                return await self._label(code)
            if self._settings.from_folder:
                await self._follow(folder)
                case = self.current
            else:
                case = self._book.case_at(taken_s)
            if case is None:
                return Assigned(self._without_case())
            if case is self.current:
                self._book.seen(taken_s)
                self._news.set()
            return Assigned(case.case_id)

    def counted(self, row: OutboxRow) -> None:
        """A capture is on disk."""
        if row.refusal is None or row.refusal.reason is not Reason.SLIDE_LABEL:
            self._book.count(row.case_id, refused=row.refusal is not None)

    def _without_case(self) -> str | None:
        if self._fallback != UNFILED:
            return self._fallback
        # A file exists already: leaving it out would lose it, so only live pictures are let go.
        return None if self._settings.required and self._is_live else UNFILED

    async def _label(self, code: CodeRead) -> Assigned:
        text = LABEL_UNREADABLE
        if code.kind is CodeKind.TEXT:
            try:
                case_id = check_case_id(code.text, self._settings)
                case = await self._open(case_id, By.CODE, "")
                return Assigned(case.case_id, Refusal(Reason.SLIDE_LABEL, LABEL_TAKEN))
            except CaseIdError:
                text = LABEL_NOT_TAKEN
            except CaseError:
                text = LABEL_NOT_KEPT
        await self._close(By.CODE, "")
        self._say(text)
        self._log.warning("slide_label_not_taken", why=text)
        self._changed()
        return Assigned(UNFILED, Refusal(Reason.SLIDE_LABEL, text))

    async def _follow(self, folder: str) -> None:
        """The folder decides: its case is open, or none."""
        case_id = case_of_folder(folder, self._settings)
        if case_id is None:
            if await self._close(By.FOLDER, "") is not None:
                self._say("This folder names no case: fields are unfiled.")
        elif self.current is None or self.current.case_id != case_id:
            with suppress(CaseError):
                await self._open(case_id, By.FOLDER, "")
        else:
            self._book.seen(self._now_s())
            self._news.set()

    # --- memory and disk ----------------------------------------------------------------------

    async def _open(self, case_id: str, by: By, operator: str) -> OpenCase:
        now_s = self._now_s()
        current = self.current
        if current is not None and current.case_id == case_id:
            self.seen_activity(now_s)
            self.notice = ""
            self._changed()
            return self.current or current
        opened_ns = int(now_s * 1e9)
        try:
            number = await self._disk.call(
                lambda outbox: ledger.write_opening(outbox, case_id, by, operator, opened_ns)
            )
        except (*DISK_REFUSES, DiskGivenUpError) as error:
            self._unwritten = self._book.close(by, operator, now_s) or self._unwritten
            self._say("No case is open: the disk refuses. Fields are unfiled.")
            self._log.error("case_not_opened", case_id=case_id, reason=str(error))
            self._changed()
            raise CaseError(f"the disk refuses: {error}") from error
        self._unwritten = None  # the opening closed it
        case = OpenCase(case_id, number, by, operator, wall_time(), now_s, now_s)
        self._book.open(case)
        again = f"Case {case_id} is opened again (opening {number})." if number > 1 else ""
        self._say(again)
        self._log.info("case_opened", case_id=case_id, number=number, by=by)
        self._changed()
        return case

    async def _close(self, by: By, operator: str) -> ClosedCase | None:
        closed = self._book.close(by, operator, self._now_s())
        if closed is not None:
            await self._write_closing(closed)
        return closed

    async def _close_if_idle(self) -> None:
        closed = self._book.close_if_idle(self._now_s())
        if closed is not None:
            minutes = self._settings.idle_close_s / 60
            self._say(f"Case {closed.case.case_id} was closed: idle for {minutes:g} min.")
            await self._write_closing(closed)

    async def _write_closing(self, closed: ClosedCase) -> None:
        self._log.info(
            "case_closed",
            case_id=closed.case.case_id,
            number=closed.case.number,
            by=closed.by,
            fields=closed.case.fields,
        )
        self._unwritten = closed
        self._changed()
        try:
            await self._disk.call(self._write_late)
        except (*DISK_REFUSES, DiskGivenUpError) as error:
            self._log.error("case_closing_not_written", reason=str(error))

    def _write_late(self, outbox: Outbox) -> None:
        """On the writer thread."""
        closed = self._unwritten
        if closed is not None:
            ledger.write_closing(outbox, closed.by, closed.operator)
            self._unwritten = None

    def _say(self, text: str) -> None:
        self.notice = text

    def _changed(self) -> None:
        self._news.set()
        self._on_change()
