"""The audit book: whatever is changed, cut, inserted or put back is found, and named."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, select, text, update

from dashboard.accounts.roles import Actor, Role
from dashboard.audit.book import AuditBook, load_key, verify
from dashboard.audit.chain import START, Entry, Head, Sealed, check, hash_entry, seal_head
from dashboard.audit.tables import AuditHeadRow, AuditRow
from dashboard.engine import StoreError, open_engine
from dashboard.store import RecordsStore
from tests.dashboard.reports_for_tests import AT

KEY = b"k" * 32
ANNA = Actor("anna", Role.HEMATOLOGIST, address="192.0.2.7")


def write(url: str, count: int, key: bytes = KEY) -> None:
    """Entries in transactions of their own, as deeds write them."""
    RecordsStore(url, AT).close()
    engine, book = open_engine(url), AuditBook(key)
    for number in range(count):
        with engine.begin() as connection:
            book.write(
                connection, ANNA, "view", f"lab.C{number:03}", AT, detail={"version": number}
            )
    engine.dispose()


def tamper(url: str, deed: Callable[[Connection], object]) -> None:
    engine = open_engine(url)
    with engine.begin() as connection:
        deed(connection)
    engine.dispose()


def test_a_book_nobody_touched_is_whole(url: str) -> None:
    write(url, 5)
    head, finding = verify(url, KEY)
    assert finding is None and head is not None and head.number == 5


TAMPERING: list[tuple[str, Callable[[Connection], object], int]] = [
    ("a field changed", lambda c: c.execute(
        update(AuditRow).where(AuditRow.number == 3).values(account="bert")), 3),
    ("an address changed", lambda c: c.execute(
        update(AuditRow).where(AuditRow.number == 1).values(address="")), 1),
    ("an entry removed", lambda c: c.execute(delete(AuditRow).where(AuditRow.number == 3)), 3),
    ("the first removed", lambda c: c.execute(delete(AuditRow).where(AuditRow.number == 1)), 1),
    ("the end cut off", lambda c: c.execute(delete(AuditRow).where(AuditRow.number > 3)), 4),
    ("everything removed", lambda c: c.execute(delete(AuditRow)), 1),
    ("the head put back", lambda c: (
        c.execute(delete(AuditRow).where(AuditRow.number > 3)),
        c.execute(update(AuditHeadRow).values(
            number=3, hash=select(AuditRow.hash).where(AuditRow.number == 3).scalar_subquery()))), 0),
    ("the head removed", lambda c: c.execute(delete(AuditHeadRow)), 0),
    ("two swapped", lambda c: (
        c.execute(text("UPDATE audit SET number = -2 WHERE number = 2")),
        c.execute(text("UPDATE audit SET number = 2 WHERE number = 3")),
        c.execute(text("UPDATE audit SET number = 3 WHERE number = -2"))), 2),
]  # fmt: skip


@pytest.mark.parametrize(
    ("deed", "number"), [t[1:] for t in TAMPERING], ids=[t[0] for t in TAMPERING]
)
def test_tampering_is_found_and_the_first_broken_entry_named(
    url: str, deed: Callable[[Connection], object], number: int
) -> None:
    write(url, 5)
    tamper(url, deed)
    _, finding = verify(url, KEY)
    assert finding is not None and finding.number == number
    if number:
        assert str(number) in finding.words


def test_a_chain_that_was_written_anew_lacks_the_seal(url: str) -> None:
    """Whoever can write the database but has not the key hashes everything again, consistently."""
    write(url, 5)

    def rewrite(connection: Connection) -> None:
        previous = START
        for row in connection.execute(select(AuditRow.__table__).order_by(AuditRow.number)).all():
            account = "bert" if row.number == 2 else row.account
            entry = Entry(row.number, row.at, account, row.role, row.address, row.action,
                          row.subject, row.detail)  # fmt: skip
            digest = hash_entry(entry, previous)
            connection.execute(
                update(AuditRow)
                .where(AuditRow.number == row.number)
                .values(account=account, previous=previous, hash=digest)
            )
            previous = digest
        connection.execute(update(AuditHeadRow).values(hash=previous))

    tamper(url, rewrite)
    _, finding = verify(url, KEY)
    assert finding is not None and "seal" in finding.words


def test_an_older_copy_of_the_whole_database_is_found_by_a_head_kept_elsewhere(url: str) -> None:
    write(url, 3)
    old = verify(url, KEY)[0]
    write(url, 2)
    newer = verify(url, KEY)[0]
    assert old is not None and newer is not None
    assert verify(url, KEY, old)[1] is None and verify(url, KEY, newer)[1] is None

    def restore(connection: Connection) -> None:
        connection.execute(delete(AuditRow).where(AuditRow.number > 3))
        connection.execute(update(AuditHeadRow).values(number=3, hash=old.hash, seal=old.seal))

    tamper(url, restore)
    assert verify(url, KEY)[1] is None  # consistent in itself
    finding = verify(url, KEY, newer)[1]
    assert finding is not None and finding.number == 4


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 12), st.data())
def test_any_changed_character_breaks_that_entry(count: int, data: st.DataObject) -> None:
    lines, previous = [], START
    for number in range(1, count + 1):
        entry = Entry(number, AT, "anna", "hematologist", "192.0.2.7", "view", f"C{number}", "{}")
        digest = hash_entry(entry, previous)
        lines.append(Sealed(entry, previous, digest))
        previous = digest
    head = Head(count, previous, seal_head(count, previous, KEY))
    assert check(lines, head, KEY) is None
    assert check(lines, head, b"other key of 32 bytes is no use.") is not None
    at = data.draw(st.integers(0, count - 1))
    name = data.draw(
        st.sampled_from(("at", "account", "role", "address", "action", "subject", "detail"))
    )
    value = data.draw(st.text(max_size=8))
    changed = replace(lines[at].entry, **{name: value})  # type: ignore[arg-type]  # no number is drawn
    if changed == lines[at].entry:
        return
    lines[at] = Sealed(changed, lines[at].previous, lines[at].hash)
    finding = check(lines, head, KEY)
    assert finding is not None and finding.number == at + 1


KILLED = """
import os, signal, sys
from dashboard.accounts.roles import Actor, Role
from dashboard.audit.book import AuditBook
from dashboard.engine import open_engine
engine, book = open_engine(sys.argv[1]), AuditBook(b"k" * 32)
actor = Actor("anna", Role.HEMATOLOGIST)
for number in range(1000):
    with engine.begin() as connection:
        book.write(connection, actor, "view", f"C{number}", "2026-11-21T09:14:03.120Z")
        if number == 7:
            os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_in_the_middle_of_an_entry_leaves_a_whole_book(url: str) -> None:
    RecordsStore(url, AT).close()
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, url], cwd=Path(__file__).parents[3], timeout=30, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    head, finding = verify(url, KEY)
    assert finding is None and head is not None and head.number == 7
    write(url, 1)
    head, finding = verify(url, KEY)
    assert finding is None and head is not None and head.number == 8


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "audit.key"
    key = load_key(path)
    assert load_key(path) == key and len(key) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("zz")
    with pytest.raises(StoreError, match=r"audit\.key"):
        load_key(path)
