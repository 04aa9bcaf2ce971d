"""The store on a real PostgreSQL: the one that HEMOWIRE_TEST_POSTGRESQL names, or one that is started here."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broker_config.serve import free_port
from dashboard.identity import Verdict
from dashboard.outcomes import read_outcomes, read_set_aside
from dashboard.reports import report_of_diagnosis, report_of_rejection
from dashboard.store import Filed, Judged, RecordsStore
from tests.dashboard.reports_for_tests import AT, diagnosis, digest, rejection

_FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
_SEARCH = os.pathsep.join([os.environ.get("PATH", ""), *map(str, _FOLDERS)])


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """An empty database. PostgreSQL refuses to run as root, so root starts it as somebody else."""
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
        deadline = time.monotonic() + 30
        while not (folder / f".s.PGSQL.{port}").exists():
            assert process.poll() is None and time.monotonic() < deadline, (
                "PostgreSQL did not start"
            )
            time.sleep(0.05)
        yield f"postgresql+psycopg://hemowire@127.0.0.1:{port}/postgres"
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def test_the_same_rules_hold(url: str) -> None:
    store = RecordsStore(url, AT)
    batch = [
        Filed(report_of_diagnosis(diagnosis(1), "lab", "scope-1"), True),
        Filed(report_of_diagnosis(diagnosis(1), "lab", "scope-1"), True),
        Filed(report_of_rejection(rejection(2), "lab", "scope-1"), False),
        Filed(report_of_diagnosis(diagnosis(1, image_sha256=digest(9)), "lab", "scope-1"), True),
    ]
    verdicts = [r.verdict for r in store.commit(batch, AT).results if isinstance(r, Judged)]
    assert verdicts == [Verdict.FIRST, Verdict.AGAIN, Verdict.FIRST, Verdict.CONFLICT_IMAGE]
    # A text that PostgreSQL cannot hold stops none of the others.
    nul = Filed(report_of_diagnosis(diagnosis(3, text="a\0b"), "lab", "scope-1"), True)
    good = Filed(report_of_diagnosis(diagnosis(4), "lab", "scope-1"), True)
    verdicts = [r.verdict for r in store.commit([nul, good], AT).results if isinstance(r, Judged)]
    assert verdicts == [Verdict.UNSTORABLE, Verdict.FIRST]
    again = RecordsStore(url, AT)
    assert again.store_id == store.store_id
    again.close()
    store.close()
    assert [row.seq for row in read_outcomes(url)] == [2, 3, 5]
    assert [row.times for row in read_set_aside(url)] == [1]
