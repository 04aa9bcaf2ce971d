"""The records program, killed with SIGKILL at a named moment of its first commit of a report.

python -m tests.dashboard.records_that_dies before_commit|inside_commit|after_commit records.toml
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from sqlalchemy import Connection

from dashboard import store
from dashboard.store import Committed, Filed, Judged, RecordsStore, Work
from hemowire.cli import main


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(moment: str) -> None:
    commit, write = RecordsStore.commit, store._write_reports

    def dying_commit(self: RecordsStore, batch: Sequence[Work], at: str) -> Committed:
        has_report = any(isinstance(item, Filed) for item in batch)
        if has_report and moment == "before_commit":
            die()
        committed = commit(self, batch, at)
        if has_report and moment == "after_commit":
            die()
        return committed

    def dying_write(
        connection: Connection, batch: Sequence[Work], judged: dict[int, Judged], at: str
    ) -> None:
        write(connection, batch, judged, at)
        if moment == "inside_commit":
            die()

    RecordsStore.commit = dying_commit  # type: ignore[method-assign]  # that is the point
    store._write_reports = dying_write


if __name__ == "__main__":
    arm(sys.argv[1])
    raise SystemExit(main(["records", "--config", sys.argv[2]]))
