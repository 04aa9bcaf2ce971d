"""Whether an outbox is held is seen without touching its lock."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from hemowire.chaos.disks import is_locked

HOLD = "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, fcntl.LOCK_EX); print(1, flush=True); input()"


@pytest.mark.skipif(not Path("/proc/locks").is_file(), reason="this system lists no locks")
def test_a_lock_is_seen_while_another_process_holds_it(tmp_path: Path) -> None:
    file = tmp_path / "outbox.lock"
    assert not is_locked(file)
    file.touch()
    assert not is_locked(file)
    command = [sys.executable, "-c", HOLD, str(file)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
        assert is_locked(file)
        process.communicate("\n")
    assert not is_locked(file)
    with file.open("a") as own:  # looking took nothing
        fcntl.flock(own, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_where_locks_are_not_listed_everything_counts_as_held(tmp_path: Path) -> None:
    assert is_locked(tmp_path / "outbox.lock", tmp_path / "no-such-list")
