"""Appends to a spool for ever and says after each append how many lines are in it; it is killed."""

from __future__ import annotations

import sys
from pathlib import Path

from dashboard.metrics.spool import Spool

if __name__ == "__main__":
    spool = Spool(Path(sys.argv[1]), 64 * 1024 * 1024)
    made = 0
    while True:
        lines = [f"m n={made + n}i {made + n}" for n in range(1 + made % 40)]
        spool.append(lines)
        made += len(lines)
        print(made, flush=True)  # noqa: T201  # the test reads it
