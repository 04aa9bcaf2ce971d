"""How long the desk takes over a store of many cases: list, open, sign, catch up, and what cases cost a commit.

    python -m benchmarks.desk_times --cases 10000

Real SQLite in a folder of its own, no broker, no picture; synthetic reports. CPU seconds are this
process's own; wall clock has the disk's fsync in it. A commit's cost is measured against the same commit without
cases, turn by turn.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from dashboard import store as store_module
from dashboard.accounts.roles import Actor, Role
from dashboard.reports import report_of_diagnosis
from dashboard.review.desk import Desk
from dashboard.review.machine import Opinion
from dashboard.store import Filed, RecordsStore
from service_runtime.boot import new_id, wall_time
from wire_protocol.case_messages import Finding
from wire_protocol.json_messages import URGENCY_RANK, Diagnosis, Urgency

FIELDS_PER_CASE = 3
BATCH = 198
TURNS = 40
ANNA = Actor("anna", Role.HEMATOLOGIST)
_URGENCIES = (
    (Urgency.SUSPECTED_ACUTE, "aml"),
    (Urgency.CANNOT_SAY, "cannot_say"),
    (Urgency.SUSPECTED_CHRONIC, "cll"),
    (Urgency.NO_LEUKEMIA_PATTERN, "healthy"),
)


def main() -> None:
    """Fills a store and prints a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=10_000)
    cases = parser.parse_args().cases
    with tempfile.TemporaryDirectory(prefix="hemowire-desk-") as folder:
        url = f"sqlite:///{Path(folder) / 'records.sqlite'}"
        store, number = RecordsStore(url, wall_time()), 0
        while number < cases * FIELDS_PER_CASE:
            store.commit([_filed(number + n) for n in range(BATCH)], wall_time())
            number += BATCH
        desk = Desk.open(url, None, audit_key=b"k" * 32)
        desk.worklist(ANNA)
        newest = desk.last_change()
        keys = [row.key for row in desk.worklist(ANNA, limit=TURNS).cases]
        print(f"{cases} cases of {FIELDS_PER_CASE} fields")
        _show("first 100 of the worklist", lambda _: desk.worklist(ANNA))
        _show("the last 100 of it", lambda _: desk.worklist(ANNA, offset=cases - 100))
        _show("the newest change", lambda _: desk.last_change())
        _show("50 changes", lambda _: desk.changes(newest - 50, ANNA))
        _show("open a case", lambda n: desk.case(keys[n], ANNA))
        opinion = Opinion(Finding.CLL)
        _show("sign", lambda n: desk.sign(keys[n], opinion, by=ANNA, expected_version=0))
        for size in (1, 20):
            _commit_cost(store, number, size)
            number += 2 * TURNS * size
        desk.close()
        store.close()


def _show(what: str, call: Callable[[int], object]) -> None:
    wall, cpu = [], []
    for turn in range(TURNS):
        started, used = time.perf_counter(), time.thread_time()
        call(turn)
        cpu.append(time.thread_time() - used)
        wall.append(time.perf_counter() - started)
    print(f"  {what:28} {_ms(wall)} ms, CPU {_ms(cpu)} ms (median of {TURNS})")


def _commit_cost(store: RecordsStore, number: int, size: int) -> None:
    replaced = vars(store_module)  # the store's own name for it: nothing else is left out
    touch = replaced["touch_cases"]
    cpu: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(2 * TURNS):
        with_cases = turn % 2 == 0
        replaced["touch_cases"] = touch if with_cases else _nothing
        batch = [_filed(number + turn * size + n) for n in range(size)]
        used = time.thread_time()
        store.commit(batch, wall_time())
        cpu[with_cases].append(time.thread_time() - used)
    replaced["touch_cases"] = touch
    what = f"commit of {size} fields"
    print(f"  {what:28} CPU {_ms(cpu[True])} ms with cases, {_ms(cpu[False])} ms without")


def _nothing(*_arguments: object) -> None:
    return None


def _ms(seconds: list[float]) -> str:
    return f"{statistics.median(seconds) * 1000:.2f}"


def _filed(number: int) -> Filed:
    case = number // FIELDS_PER_CASE
    urgency, result = _URGENCIES[case % len(_URGENCIES)]
    message = Diagnosis.model_validate(
        {
            "text": "Synthetic report of a benchmark. Research use only.",
            "urgency": urgency,
            "urgency_rank": URGENCY_RANK[urgency],
            "result": result,
            "case_id": f"B{case:07}",
            "image_id": new_id(),
            "image_sha256": f"{number:064x}",
            "white_cells": 25,
            "white_cell_boxes": [[10 * n, 10, 30, 30] for n in range(25)],
            "width_px": 1920,
            "height_px": 1080,
            "p_acute": 0.6,
            **{f"p_{key}": p for key, p in zip(_KEYS, (0.3, 0.3, 0.1, 0.1, 0.2), strict=True)},
            "acute_classes": ("all", "aml"),
            "chronic_classes": ("cll", "cml"),
            "t_acute": 0.4,
            "t_chronic": 0.5,
            "abstention": 0.5,
            "model": "benchmark@0/none",
            "training_data": "synthetic",
            "captured_at": wall_time(),
            "site": "lab",
            "device": "scope-1",
            "outbox_id": "0" * 32,
            "seq": number + 1,
            "worker": "w1",
        }
    )
    return Filed(report_of_diagnosis(message, "lab", "scope-1"), blob_seen=True)


_KEYS = ("all", "aml", "cll", "cml", "healthy")

if __name__ == "__main__":
    main()
