"""Changes as server-sent events whose ids have no gap, so that a page that was away catches up exactly.

An event's id is "store.number". Each event says from which change to which it goes and carries the
lines of the cases that changed between them: a page that finds a gap asks for the list again. Ids of
another store, or from the future of this one (it was restored), get `reset`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Final

from pydantic import BaseModel, ConfigDict
from starlette.concurrency import run_in_threadpool

from dashboard.accounts.roles import Actor
from dashboard.cases.feed import ChangeKind
from dashboard.page.reading_trace import ReadingTrace
from dashboard.page.views import LineView, lines_view
from dashboard.page.watching import ChangeWatch
from dashboard.review.desk import Desk
from service_runtime.boot import monotonic_ns, wall_time

#: A page that hears nothing for three of these knows that the server is gone.
HEARTBEAT_S: Final = 5.0
#: Changes in one event, and how far back a page is brought by events; beyond it asks for the list.
BATCH: Final = 200
MOST_BEHIND: Final = 5000


class ChangesView(BaseModel):
    """Body of one event: changes `after` + 1 to `upto`."""

    model_config = ConfigDict(frozen=True)

    after: int
    upto: int
    #: When it was sent, on this server's monotonic clock; text, since it is too large for a browser.
    sent_ns: str = ""
    lines: tuple[LineView, ...]
    #: Cases that are not there any more: their fields were filed elsewhere.
    gone: tuple[str, ...] = ()


def parse_event_id(text: str, store_id: str) -> int | None:
    """The number in "store.number"; None where it is of another store or no id."""
    store, _, number = text.partition(".")
    if store != store_id or not number.isdecimal() or len(number) > 18:
        return None
    return int(number)


async def change_events(
    desk: Desk,
    watch: ChangeWatch,
    actor: Actor,
    store_id: str,
    last_id: str,
    *,
    is_known: Callable[[], bool],
    traces: ReadingTrace | None = None,
) -> AsyncGenerator[bytes, None]:
    """Goes on until it is closed or the session ends; starts at `last_id`, or at the newest change."""
    yield b"retry: 1000\n\n"
    newest = await run_in_threadpool(desk.last_change)
    after = newest if not last_id else parse_event_id(last_id, store_id)
    if after is None or after > newest or newest - after > MOST_BEHIND:
        yield _event("reset", f"{store_id}.{newest}", "{}")
        after = newest
    while True:
        told = await run_in_threadpool(_changes, desk, actor, after, traces)
        if told is not None:
            after = told.upto
            told = told.model_copy(update={"sent_ns": str(monotonic_ns())})
            yield _event("changes", f"{store_id}.{after}", told.model_dump_json())
            continue
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                await watch.after(after)
        except TimeoutError:
            if not await run_in_threadpool(is_known):
                return  # signed out, or too old
            yield f'event: alive\ndata: {{"now":"{wall_time()}"}}\n\n'.encode()


def _changes(
    desk: Desk, actor: Actor, after: int, traces: ReadingTrace | None
) -> ChangesView | None:
    """What came after that change, None where nothing did."""
    found = desk.changes(after, actor, limit=BATCH)
    if found.last_id == after:
        return None
    keys = list(dict.fromkeys(change.case_key for change in found.changes))
    page = desk.summaries(keys, actor)
    if traces is not None:
        came = [c.case_key for c in found.changes if c.kind is ChangeKind.CASE]
        traces.note(found.last_id, desk.newest_fields(came))
    there = {case.key for case in page.cases}
    return ChangesView(
        after=after,
        upto=found.last_id,
        lines=lines_view(page.cases, page.change_id),
        gone=tuple(key for key in keys if key not in there),
    )


def _event(name: str, event_id: str, data: str) -> bytes:
    return f"event: {name}\nid: {event_id}\ndata: {data}\n\n".encode()
