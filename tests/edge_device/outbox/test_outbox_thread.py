"""The outbox on its thread: what must be on disk is committed at once, that an image is being sent rides along."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from edge_device.outbox import Outbox
from edge_device.outbox_thread import OutboxThread
from tests.edge_device.in_loop import in_loop
from tests.edge_device.outbox.outbox_steps import new_capture
from wire_protocol.machine_io import OutboxState, Persist
from wire_protocol.messages import Outcome


@in_loop
async def test_sending_is_committed_together_with_what_comes_next(tmp_path: Path) -> None:
    commits: list[str] = []
    outbox = Outbox(tmp_path, commits.append)
    thread = OutboxThread(outbox)
    rows = [row for row in await thread.add([new_capture("a"), new_capture("b")]) if row]
    commits.clear()
    told: list[Persist] = []
    done = asyncio.Event()

    def on_commit(changes: Sequence[Persist]) -> None:
        told.extend(changes)
        if told[-1].state is OutboxState.RECORDED:
            done.set()

    running = asyncio.create_task(thread.commit_changes(on_commit))
    first, second = (row.image_id for row in rows)
    thread.persist(Persist(first, OutboxState.SENDING))
    await thread.call(lambda _outbox: None)
    assert "states_committed" not in commits and not thread.is_settled
    thread.persist(Persist(first, OutboxState.RECORDED, outcome=Outcome.DIAGNOSED))
    async with asyncio.timeout(10):
        await done.wait()
    assert commits.count("states_committed") == 1 and thread.is_settled
    assert [change.state for change in told] == [OutboxState.SENDING, OutboxState.RECORDED]
    thread.persist(Persist(second, OutboxState.SENDING))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await thread.close()
    thread.shut()
    after = Outbox(tmp_path)
    assert [row.state for row in (after.row(first), after.row(second))] == [
        OutboxState.RECORDED,
        OutboxState.SENDING,
    ], "what still waits is committed at the end"
    after.close()
