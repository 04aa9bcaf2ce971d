"""A desk that is killed with SIGKILL at a named moment of a signature.

python -m tests.dashboard.review.desk_that_dies after_event|after_audit|after_commit DATABASE_URL
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from dashboard.audit.book import AuditBook
from dashboard.review import desk as desk_module
from dashboard.review.desk import Desk
from dashboard.review.machine import Opinion
from tests.dashboard.review.desk_for_tests import ANNA, CASE, KEY
from wire_protocol.case_messages import Finding


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(moment: str, url: str) -> None:
    desk = Desk.open(url, None, audit_key=KEY)
    version = desk.case(CASE, ANNA).summary.version
    extend, write = vars(desk_module)["extend"], AuditBook.write

    def dying_extend(*arguments: Any) -> Any:
        done = extend(*arguments)
        if moment == "after_event":
            die()
        return done

    def dying_write(*arguments: Any, **options: Any) -> None:
        write(*arguments, **options)
        if moment == "after_audit":
            die()

    vars(desk_module)["extend"] = dying_extend
    AuditBook.write = dying_write  # type: ignore[method-assign]  # that is the point
    desk.sign(CASE, Opinion(Finding.CLL), by=ANNA, expected_version=version)
    die()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
