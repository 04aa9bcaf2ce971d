"""Points on disk: nothing lost or doubled through crashes, damage and a server that comes and goes.

(Over 250 lines: every way in which a file can be torn.)
"""

from __future__ import annotations

import random
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from dashboard.metrics.blocks import block_of
from dashboard.metrics.spool import Spool, SpoolError
from dashboard.metrics.spool_file import Batch
from tests.dashboard.metrics.line_protocol import read_file

ROOT = Path(__file__).parents[3]
MANY = 1 << 30


@contextmanager
def opened(folder: Path, max_bytes: int = MANY) -> Iterator[Spool]:
    spool = Spool(folder, max_bytes)
    try:
        yield spool
    finally:
        spool.close()


def lines(first: int, count: int, width: int = 1) -> list[str]:
    return [f"m,t={'x' * width} n={n}i {n}" for n in range(first, first + count)]


def numbers(batch: Batch) -> list[int]:
    return [int(line.rpartition(b" ")[2]) for line in batch.lines.splitlines()]


def drain(spool: Spool, most: int = 1000) -> list[int]:
    found = []
    while (batch := spool.take(most)) is not None:
        assert batch.count > 0
        found += numbers(batch)
        spool.commit(batch)
    return found


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("points-*.lp"))


def balanced(spool: Spool) -> bool:
    counts = spool.counts
    return counts.found + counts.made == counts.committed + counts.dropped + spool.waiting


def test_lines_come_out_once_and_in_order_and_their_files_go(tmp_path: Path) -> None:
    with opened(tmp_path, 1 << 19) as spool:  # files of 64 KiB
        for first in range(0, 6000, 20):
            spool.append(lines(first, 20, 30))
        assert len(files(tmp_path)) > 2
        assert drain(spool) == list(range(6000))
        assert spool.waiting == 0
        assert len(files(tmp_path)) == 1
        spool.append(lines(6000, 3))
        assert drain(spool) == [6000, 6001, 6002]
        assert balanced(spool)


def test_a_batch_is_given_again_until_it_is_committed(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        spool.append(lines(0, 5))
        spool.append(lines(5, 5))
        first = spool.take(5)
        assert first is not None and numbers(first) == [0, 1, 2, 3, 4]
        with pytest.raises(ValueError, match="neither committed nor given back"):
            spool.take(5)
        spool.give_back(first)
        again = spool.take(9)
        assert again is not None and numbers(again) == numbers(first), "whole blocks only"
        spool.commit(again)
        assert drain(spool) == [5, 6, 7, 8, 9]


def test_a_block_that_is_larger_than_a_batch_is_sent_whole(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        spool.append(lines(0, 50))
        assert drain(spool, most=10) == list(range(50))


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(min_value=0, max_value=2**32))
def test_nothing_is_lost_or_disordered_through_crashes_and_a_failing_server(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    """A crash tears at most the block that was being written, and repeats at most one batch."""
    chance = random.Random(seed)
    folder = tmp_path_factory.mktemp("spool")
    spool = Spool(folder, 1 << 19)
    made, received, taken = 0, list[int](), None
    for _ in range(120):
        what = chance.random()
        if what < 0.5:
            count = chance.randrange(1, 60)
            spool.append(lines(made, count, chance.choice([1, 200])))
            made += count
        elif taken is None:
            taken = spool.take(chance.randrange(1, 200))
            if taken is not None and chance.random() < 0.8:
                received += numbers(taken)  # the server has it, we may never hear so
        elif what < 0.8:
            if received and numbers(taken)[-1] in received:
                spool.commit(taken)
            else:
                spool.give_back(taken)
            taken = None
        elif what < 0.9:
            spool.close()  # what a kill leaves, since nothing is kept in memory
            torn = block_of(lines(made, 7))[: chance.randrange(len(block_of(lines(made, 7))))]
            with files(folder)[-1].open("ab") as file:
                file.write(torn)
            spool, taken = Spool(folder, 1 << 19), None
        assert balanced(spool)
    if taken is not None:
        spool.give_back(taken)
    received += drain(spool)
    assert balanced(spool) and not spool.waiting and not spool.counts.dropped
    spool.close()
    assert sorted(set(received)) == list(range(made))
    first_seen = list(dict.fromkeys(received))
    assert first_seen == list(range(made))


def test_a_killed_program_loses_no_point_that_it_had_appended(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.dashboard.metrics.spool_that_dies", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        said = 0
        for line in program.stdout:
            said = int(line)
            if said > 20_000:
                break
        program.kill()
        said = max([said, *(int(line) for line in program.stdout if line.endswith("\n"))])
    with opened(tmp_path) as spool:
        found = drain(spool)
    assert len(found) >= said > 20_000
    assert found == list(range(len(found)))


def test_a_torn_end_is_cut_off_and_what_follows_is_whole(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        spool.append(lines(0, 4))
    whole = files(tmp_path)[0].read_bytes()
    block = block_of(lines(4, 4))
    for end in range(1, len(block)):
        files(tmp_path)[0].write_bytes(whole + block[:end])
        with opened(tmp_path) as spool:
            assert (spool.waiting, spool.counts.damaged) == (4, 1), f"torn after {end} bytes"
            spool.append(lines(4, 1))
            assert drain(spool) == [0, 1, 2, 3, 4]
        files(tmp_path)[0].write_bytes(whole)
        (tmp_path / "sent").unlink()


@pytest.mark.parametrize("at", [5, 40, -3])
def test_a_damaged_block_is_passed_by_and_counted(tmp_path: Path, at: int) -> None:
    with opened(tmp_path) as spool:
        for first in range(0, 12, 4):
            spool.append(lines(first, 4))
    size = len(block_of(lines(0, 4)))
    data = bytearray(files(tmp_path)[0].read_bytes())
    data[size + (at if at > 0 else size + at)] ^= 0x01
    files(tmp_path)[0].write_bytes(data)
    with opened(tmp_path) as spool:
        assert drain(spool) == [0, 1, 2, 3, 8, 9, 10, 11]
        assert spool.counts.damaged == 1
        assert balanced(spool)


def test_damage_under_a_running_program_is_counted_as_dropped(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        spool.append(lines(0, 4))
        files(tmp_path)[0].write_bytes(b"x" * files(tmp_path)[0].stat().st_size)
        assert drain(spool) == []
        assert (spool.counts.dropped, spool.waiting) == (4, 0)
        assert balanced(spool)


def test_beyond_the_bound_the_oldest_are_dropped_and_each_is_counted(tmp_path: Path) -> None:
    limit = 1 << 19
    with opened(tmp_path, limit) as spool:
        for first in range(0, 20_000, 20):
            spool.append(lines(first, 20, 60))
            assert spool.size_bytes <= limit
            assert sum(file.stat().st_size for file in files(tmp_path)) == spool.size_bytes
        dropped = spool.counts.dropped
        assert dropped > 10_000
        assert balanced(spool)
        assert drain(spool) == list(range(dropped, 20_000))


@pytest.mark.parametrize("server_had_it", [True, False])
def test_a_batch_whose_file_is_dropped_under_way_is_counted_once(
    tmp_path: Path, server_had_it: bool
) -> None:
    with opened(tmp_path, 1 << 19) as spool:
        spool.append(lines(0, 20, 60))
        batch = spool.take(20)
        assert batch is not None
        for first in range(20, 20_000, 20):
            spool.append(lines(first, 20, 60))
            assert balanced(spool)
        assert spool.counts.dropped
        (spool.commit if server_had_it else spool.give_back)(batch)
        assert balanced(spool)
        assert spool.counts.committed == (20 if server_had_it else 0)
        rest = drain(spool)
        assert rest == list(range(20_000 - len(rest), 20_000))
        assert balanced(spool)


def test_a_full_disk_costs_the_points_it_refuses_and_no_other(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with opened(tmp_path) as spool:
        spool.append(lines(0, 5))
        whole = spool.size_bytes
        resource.setrlimit(resource.RLIMIT_FSIZE, (whole + 20, hard))  # a short write, then EFBIG
        try:
            with capture_logs() as logs:
                spool.append(lines(5, 5))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert files(tmp_path)[0].stat().st_size == whole
        assert (spool.counts.dropped, spool.counts.errors) == (5, 1)
        assert [(log["event"], log["points"]) for log in logs] == [("spool_write_failed", 5)]
        spool.append(lines(10, 5))
        assert drain(spool) == [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]
        assert balanced(spool)


def test_a_lost_mark_sends_again_and_loses_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        spool.append(lines(0, 5))
        spool.append(lines(5, 5))
        batch = spool.take(5)
        assert batch is not None
        spool.commit(batch)
    (tmp_path / "sent").write_text("")
    with opened(tmp_path) as spool:
        assert drain(spool) == list(range(10))


def test_a_restart_goes_on_where_the_server_s_points_end(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        spool.append(lines(0, 5))
        spool.append(lines(5, 5))
        batch = spool.take(5)
        assert batch is not None
        spool.commit(batch)
    with opened(tmp_path) as spool:
        assert spool.counts.found == 5
        assert drain(spool) == [5, 6, 7, 8, 9]
    with opened(tmp_path) as spool:
        assert drain(spool) == []


def test_the_files_are_line_protocol_as_they_are(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        spool.append(lines(0, 5))
        spool.append(lines(5, 1))
    [file] = files(tmp_path)
    assert [point.timestamp_ns for point in read_file(file.read_bytes())] == list(range(6))


def test_a_second_program_is_refused_by_name(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(SpoolError, match="another hemowire metrics uses it"):
        Spool(tmp_path, MANY)
    with opened(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolError, match=f"spool_folder {tmp_path}/file"):
        Spool(tmp_path / "file", MANY)
