"""Tells the trace what readers were shown, opened and signed; what it cannot measure it leaves out.

`shown` is stamped by the browser, on its own clock: the feed's event says when it was sent, the browser
when it came, was drawn and was told of, and half of what is left of the round trip is the error that the
stamp carries. `opened` and `signed` are stamped here. Of a case the newest field speaks. All of it is
QoS 0 and in memory only: after a restart of the page the readings under way are not told.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final, Protocol

from dashboard.accounts.roles import Actor, Role
from dashboard.page.bodies import Shown
from dashboard.page.watching import ChangeWatch
from dashboard.review.desk import Desk
from dashboard.review.views import NewestField
from dashboard.store import StoreAway
from service_runtime.boot import boot_id, clock_is_synced, monotonic_ns, wall_time
from service_runtime.log import get_log
from service_runtime.trace_fragments import fragment_of
from wire_protocol.clock_legs import ClockLeg
from wire_protocol.json_messages import TraceFragment
from wire_protocol.trace import Stage

#: Events of the feed whose fields are remembered, and readings under way.
_MOST: Final = 2000
#: A browser that took longer to tell says nothing about its clock.
MOST_ROUND_TRIP_NS: Final = 10_000_000_000
#: Browsers make their clock this coarse, so that pages cannot spy with it.
COARSE_NS: Final = 100_000
_MS: Final = 1_000_000
_AWAY_S: Final = 5.0
_BATCH: Final = 200
#: Sees the lines of every site; it opens no case, so it is in no audit book.
_TRACER: Final = Actor("tracer", Role.HEMATOLOGIST)


class Teller(Protocol):
    """Where fragments go."""

    @property
    def name(self) -> str: ...

    def trace(self, fragment: TraceFragment) -> None: ...

    def leg(self) -> ClockLeg | None: ...


@dataclass(frozen=True, slots=True)
class _Opened:
    field: NewestField
    at_ns: int


class ReadingTrace:
    """`note` may be called from any thread; all else belongs to the event loop's."""

    def __init__(
        self,
        desk: Desk,
        teller: Teller,
        *,
        now_ns: Callable[[], int] = monotonic_ns,
    ) -> None:
        self._desk = desk
        self._teller = teller
        self._now_ns = now_ns
        self._sent: OrderedDict[tuple[int, str], NewestField] = OrderedDict()
        self._opened: OrderedDict[str, _Opened] = OrderedDict()
        self._someone = asyncio.Event()

    def note(self, upto: int, fields: Iterable[NewestField]) -> None:
        """An event of the feed, up to this change, tells of these cases' newest fields."""
        for field in fields:
            self._sent[upto, field.case_key] = field
        while len(self._sent) > _MOST:
            self._sent.popitem(last=False)

    def shown(self, told: Shown) -> int:
        """What a browser drew of an event; gives how many images were told of."""
        heard_ns = self._now_ns()
        sent_ns, came_ns = int(told.sent_ns), round(told.came_ms * _MS)
        round_trip_ns = heard_ns - sent_ns - (round(told.told_ms * _MS) - came_ns)
        is_possible = -2 * COARSE_NS <= round_trip_ns <= MOST_ROUND_TRIP_NS
        if not is_possible or told.drawn_ms < told.came_ms:
            return 0
        half_ns = max(0, round_trip_ns) // 2 + COARSE_NS
        offset_ns = sent_ns + half_ns - came_ns
        here = ClockLeg(told.page_id, boot_id(), offset_ns, half_ns, came_ns)
        leg = _through(here, self._teller.leg(), heard_ns)
        fields = [self._sent.get((told.upto, key)) for key in told.keys]
        for field in fields:
            if field is not None:
                self._teller.trace(_fragment_of_browser(told, field, leg))
        return sum(field is not None for field in fields)

    async def opened(self, key: str) -> None:
        """The first person opens a case."""
        at_ns = self._now_ns()
        (field,) = await asyncio.to_thread(self._desk.newest_fields, [key]) or (None,)
        if field is None:
            return
        self._opened[key] = _Opened(field, at_ns)
        while len(self._opened) > _MOST:
            self._opened.popitem(last=False)
        self._tell(field, Stage.OPENED, at_ns)
        self._someone.set()

    async def run(self, watch: ChangeWatch) -> None:
        """Waits for the signatures of what was opened, until cancelled."""
        after = await asyncio.to_thread(self._desk.last_change)
        while True:
            await self._someone.wait()
            try:
                after = await self._look(after)
            except StoreAway as error:
                get_log("dashboard").error("store_away", problem=str(error))
                await asyncio.sleep(_AWAY_S)
                continue
            if not self._opened:
                self._someone.clear()
                continue
            await watch.after(after)

    async def _look(self, after: int) -> int:
        while True:
            found = await asyncio.to_thread(self._desk.changes, after, _TRACER, limit=_BATCH)
            if found.last_id == after:
                return after
            after = found.last_id
            keys = {change.case_key for change in found.changes} & self._opened.keys()
            if not keys:
                continue
            page = await asyncio.to_thread(self._desk.summaries, sorted(keys), _TRACER)
            for case in page.cases:
                if case.signed_at and (opened := self._opened.pop(case.key, None)) is not None:
                    self._tell(opened.field, Stage.SIGNED, self._now_ns())

    def _tell(self, field: NewestField, stage: Stage, at_ns: int) -> None:
        self._teller.trace(
            fragment_of(
                "page",
                self._teller.name,
                field.image_id,
                field.attempt,
                stamps_ns={stage: at_ns},
                leg=self._teller.leg(),
            )
        )


def _through(here: ClockLeg, own: ClockLeg | None, at_ns: int) -> ClockLeg | None:
    """A browser's clock against the records store's, by way of this machine's."""
    if own is None:
        return None
    return replace(
        here,
        records_boot_id=own.records_boot_id,
        offset_ns=here.offset_ns + own.offset_ns,
        error_ns=here.error_ns + own.error_at(at_ns),
    )


def _fragment_of_browser(told: Shown, field: NewestField, leg: ClockLeg | None) -> TraceFragment:
    return TraceFragment(
        program="page",
        id=f"browser-{told.page_id[:8]}",
        image_id=field.image_id,
        attempt=field.attempt,
        boot_id=told.page_id,
        stamps_ns={Stage.SHOWN.value: round(told.drawn_ms * _MS)},
        records_boot_id=None if leg is None else leg.records_boot_id,
        clock_offset_ns=None if leg is None else leg.offset_ns,
        clock_error_ns=None if leg is None else leg.error_ns,
        clock_at_ns=None if leg is None else leg.at_ns,
        wall=wall_time(),
        clock_synced=clock_is_synced(),
    )
