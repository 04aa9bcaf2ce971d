"""The records program, killed with SIGKILL at a named moment of its first commit of a report.

python -m tests.dashboard.records_that_dies before_commit|inside_commit|after_commit records.toml
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from sqlalchemy import Connection

from dashboard import store, store_rows
from dashboard.identity import Verdict
from dashboard.reports import Report
from dashboard.store import Committed, Filed, RecordsStore, Work
from hemowire.cli import main


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(moment: str) -> None:
    commit, write = RecordsStore.commit, store_rows.write_reports

    def dying_commit(self: RecordsStore, batch: Sequence[Work], at: str) -> Committed:
        has_report = any(isinstance(item, Filed) for item in batch)
        if has_report and moment == "before_commit":
            die()
        committed = commit(self, batch, at)
        if has_report and moment == "after_commit":
            die()
        return committed

    def dying_write(
        connection: Connection, decided: Sequence[tuple[Report, Verdict]], at: str
    ) -> None:
        write(connection, decided, at)
        if moment == "inside_commit":
            die()

    RecordsStore.commit = dying_commit  # type: ignore[method-assign]  # that is the point
    vars(store)["write_reports"] = dying_write


if __name__ == "__main__":
    arm(sys.argv[1])
    raise SystemExit(main(["records", "--config", sys.argv[2]]))
