"""A real PostgreSQL: the one that HEMOWIRE_TEST_POSTGRESQL names, or one that is started here, or a visible skip."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from broker_config.serve import free_port

_FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
_SEARCH = os.pathsep.join([os.environ.get("PATH", ""), *map(str, _FOLDERS)])


@contextmanager
def started_postgresql() -> Iterator[str]:
    """The URL of an empty database. PostgreSQL refuses to run as root, so root starts it as somebody else."""
    named = os.environ.get("HEMOWIRE_TEST_POSTGRESQL")
    if named:
        yield named
        return
    server, initdb = (shutil.which(name, path=_SEARCH) for name in ("postgres", "initdb"))
    if server is None or initdb is None:
        pytest.skip("no PostgreSQL server here, and HEMOWIRE_TEST_POSTGRESQL names no database")
    folder = Path(tempfile.mkdtemp(prefix="hemowire-postgresql-"))
    user = pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
    os.chown(folder, user.pw_uid, user.pw_gid)
    other: dict[str, Any] = {}
    if os.getuid() == 0:
        other = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    data, port = folder / "data", free_port()
    subprocess.run(
        [initdb, "-D", str(data), "-A", "trust", "-U", "hemowire", "-E", "UTF8", "--no-sync"],
        check=True, capture_output=True, cwd=folder, **other,
    )  # fmt: skip
    process = subprocess.Popen(
        [server, "-D", str(data), "-p", str(port), "-k", str(folder), "-h", "127.0.0.1", "-F"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder, **other,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 50
        while not _answers(port):
            assert process.poll() is None and time.monotonic() < deadline, (
                "PostgreSQL did not start"
            )
            time.sleep(0.05)
        yield f"postgresql+psycopg://hemowire@127.0.0.1:{port}/postgres"
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def _answers(port: int) -> bool:
    """It listens before it takes anybody in."""
    try:
        psycopg.connect(f"host=127.0.0.1 port={port} user=hemowire dbname=postgres").close()
    except psycopg.OperationalError:
        return False
    return True
