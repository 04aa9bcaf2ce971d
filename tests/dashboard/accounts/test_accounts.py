"""Accounts, sessions and links over a real database: who is let in, for how long, and how often guessing is allowed.

(Over 250 lines: ways in are tried against the same accounts.)
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from dashboard.accounts.passwords import PasswordRefusedError, Passwords
from dashboard.accounts.people import AccountError
from dashboard.accounts.roles import PERMISSIONS, Actor, May, NotAllowedError, Role, at_terminal
from dashboard.accounts.settings import AccountSettings
from dashboard.accounts.store import AccountStore, SignInRefusedError
from dashboard.audit.book import AuditBook, read_book, verify
from dashboard.engine import open_engine
from dashboard.store import RecordsStore
from hemowire.cli import main
from tests.dashboard.reports_for_tests import AT

#: As weak as argon2 allows: these tests ask who is let in, not how long guessing takes.
QUICK = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
KEY, PASSWORD, HERE = b"k" * 32, "correct horse battery", "192.0.2.7"
ROOT = at_terminal("root")


@dataclass(slots=True)
class House:
    """A store of accounts whose clock a test moves."""

    url: str
    now_ms: int = 1_700_000_000_000
    settings: AccountSettings = field(default_factory=AccountSettings)

    def open(self) -> AccountStore:
        """Connections of its own, as each program has."""
        reader = open_engine(self.url, read_only=True)
        return AccountStore(
            open_engine(self.url), reader, AuditBook(KEY), self.settings,
            passwords=QUICK, now_ms=lambda: self.now_ms,
        )  # fmt: skip

    def wait(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1000)


@pytest.fixture
def house(url: str) -> House:
    RecordsStore(url, AT).close()
    return House(url)


@pytest.fixture
def store(house: House) -> Iterator[AccountStore]:
    opened = house.open()
    opened.add("anna", Role.HEMATOLOGIST, by=ROOT, password=PASSWORD)
    yield opened
    opened.close()


def audited(url: str) -> list[tuple[str, str, str]]:
    engine = open_engine(url, read_only=True)
    with engine.begin() as connection:
        found = [(e.entry.account, e.entry.action, e.entry.subject) for e in read_book(connection)]
    engine.dispose()
    return found


def test_the_right_password_opens_a_session_that_ends_by_itself(
    store: AccountStore, house: House
) -> None:
    token = store.sign_in("anna", PASSWORD, HERE)
    found = store.session(token, HERE)
    assert found is not None
    assert found.actor == Actor("anna", Role.HEMATOLOGIST, None, HERE)
    for _ in range(6):
        house.wait(1.9 * 3600)
        assert (store.session(token) is not None) == (house.now_ms < found.ends_ms)
    house.wait(1.9 * 3600)
    assert store.session(token) is None


def test_a_session_that_nobody_uses_ends_earlier(store: AccountStore, house: House) -> None:
    token = store.sign_in("anna", PASSWORD, HERE)
    house.wait(2 * 3600 + 1)
    assert store.session(token) is None


def test_a_forged_ended_or_signed_out_session_is_nobody(store: AccountStore) -> None:
    token = store.sign_in("anna", PASSWORD, HERE)
    for forged in ("", "x", token[:-1], token + "x", token.swapcase(), "\ud800", "a" * 10_000):
        assert store.session(forged) is None
    store.sign_out(token, HERE)
    store.sign_out(token, HERE)
    assert store.session(token) is None


@pytest.mark.parametrize(
    ("name", "password"),
    [("anna", "wrong"), ("anna", ""), ("nobody", PASSWORD), ("", ""), ("anna", "x" * 100_000),
     ("' OR 1=1 --", PASSWORD), ("ANNA", PASSWORD), ("anna", "\ud800"),
     ("\ud800", PASSWORD), ("a\0b", PASSWORD)],
)  # fmt: skip
def test_what_is_wrong_is_refused_in_the_same_words(
    store: AccountStore, name: str, password: str
) -> None:
    with pytest.raises(SignInRefusedError, match=r"^no account with this name and password$"):
        store.sign_in(name, password, HERE)


def test_no_clear_token_or_password_is_in_the_database(store: AccountStore, url: str) -> None:
    session = store.sign_in("anna", PASSWORD, HERE)
    link = store.make_link("anna", by=ROOT)
    with pytest.raises(SignInRefusedError):
        store.sign_in(PASSWORD, PASSWORD, HERE)  # people type passwords into the wrong box
    path = url.removeprefix("sqlite:///")
    with sqlite3.connect(path) as connection:
        kept = "\n".join(connection.iterdump())
    connection.close()
    for secret in (session, link, PASSWORD):
        assert secret not in kept, secret[:4]


def test_guessing_is_limited_by_account_and_by_address(store: AccountStore, house: House) -> None:
    for number in range(8):
        with pytest.raises(SignInRefusedError, match="no account"):
            store.sign_in("anna", "wrong", f"192.0.2.{number}")
    with pytest.raises(SignInRefusedError, match="too many") as refused:
        store.sign_in("anna", PASSWORD, "192.0.2.99")
    assert 0 < refused.value.retry_after_s <= 900
    house.wait(refused.value.retry_after_s + 1)
    assert store.sign_in("anna", PASSWORD, "192.0.2.99")
    for number in range(30):
        with pytest.raises(SignInRefusedError, match="no account"):
            store.sign_in(f"guess{number}", "wrong", HERE)
    with pytest.raises(SignInRefusedError, match="too many"):
        store.sign_in("anna", PASSWORD, HERE)
    assert store.sign_in("anna", PASSWORD, "198.51.100.1")  # others are not kept out


def test_many_who_sign_in_from_one_address_do_not_keep_each_other_out(
    store: AccountStore,
) -> None:
    for _ in range(35):
        assert store.sign_in("anna", PASSWORD, HERE)


def test_guessing_fills_the_book_no_further_than_its_limit(store: AccountStore, url: str) -> None:
    for _ in range(20):
        with pytest.raises(SignInRefusedError):
            store.sign_in("anna", "wrong", HERE)
    for _ in range(60):
        with pytest.raises(SignInRefusedError):
            store.enter("forged", HERE)
    failed = [line for line in audited(url) if line[1] == "sign_in_failed"]
    assert len(failed) == 30  # eight of the account's, then the address's own


def test_many_guesses_at_once_are_counted_as_many(store: AccountStore, house: House) -> None:
    start, words = threading.Barrier(16), list[str]()

    def guess() -> None:
        own = house.open()
        start.wait(20)
        try:
            own.sign_in("anna", "wrong", HERE)
        except SignInRefusedError as refused:
            words.append(str(refused)[:8])
        finally:
            own.close()

    threads = [threading.Thread(target=guess) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(words) == ["no accou"] * 8 + ["too many"] * 8


def test_a_link_lets_in_once_and_only_soon(store: AccountStore, house: House) -> None:
    link = store.make_link("anna", by=ROOT)
    token = store.enter(link, HERE)
    assert store.session(token) is not None
    with pytest.raises(SignInRefusedError):
        store.enter(link, HERE)
    late = store.make_link("anna", by=ROOT)
    house.wait(300)
    with pytest.raises(SignInRefusedError):
        store.enter(late, HERE)
    with pytest.raises(SignInRefusedError):
        store.enter("forged", HERE)


def test_of_many_who_use_a_link_at_once_one_gets_in(store: AccountStore, house: House) -> None:
    link, start, entered = store.make_link("anna", by=ROOT), threading.Barrier(8), list[str]()

    def use() -> None:
        own = house.open()
        start.wait(20)
        try:
            entered.append(own.enter(link, HERE))
        except SignInRefusedError:
            pass
        finally:
            own.close()

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(entered) == 1


def test_a_removed_account_loses_its_sessions_and_its_name_is_not_given_again(
    store: AccountStore,
) -> None:
    token, link = store.sign_in("anna", PASSWORD, HERE), store.make_link("anna", by=ROOT)
    store.remove("anna", by=ROOT)
    assert store.session(token) is None
    with pytest.raises(SignInRefusedError):
        store.enter(link, HERE)
    with pytest.raises(SignInRefusedError):
        store.sign_in("anna", PASSWORD, HERE)
    with pytest.raises(AccountError, match="not given twice"):
        store.add("anna", Role.ADMINISTRATOR, by=ROOT)
    assert store.list()[0].removed_at


def test_an_account_for_a_day_ends_with_its_session(store: AccountStore, house: House) -> None:
    store.add("guest", Role.HEMATOLOGIST, by=ROOT, days=0.1)
    token = store.enter(store.make_link("guest", by=ROOT), HERE)
    house.wait(0.1 * 86_400 - 3600 - 3600)
    assert store.session(token) is not None
    house.wait(7200)
    assert store.session(token) is None
    with pytest.raises(AccountError):
        store.make_link("guest", by=ROOT)


def test_another_password_ends_the_sessions_of_the_old_one(store: AccountStore) -> None:
    token = store.sign_in("anna", PASSWORD, HERE)
    store.set_password("anna", "another horse battery", by=ROOT)
    assert store.session(token) is None
    assert store.sign_in("anna", "another horse battery", HERE)


@pytest.mark.parametrize(
    "password",
    ["", "short", "elevenchars", "anna2anna2anna2!", "x" * 1025, "nul\0" * 4, "\ud800" * 12],
)
def test_a_weak_password_is_refused(store: AccountStore, password: str) -> None:
    with pytest.raises(PasswordRefusedError):
        store.add("anna2", Role.ENGINEER, by=ROOT, password=password)


@pytest.mark.parametrize("name", ["", "Anna", "an na", "a" * 33, "1a", "../x", "añа"])
def test_a_name_that_is_none_is_refused(store: AccountStore, name: str) -> None:
    with pytest.raises(AccountError):
        store.add(name, Role.ENGINEER, by=ROOT)


def test_every_way_in_and_every_refusal_is_in_the_book(store: AccountStore, url: str) -> None:
    token = store.sign_in("anna", PASSWORD, HERE)
    store.sign_out(token)
    with pytest.raises(SignInRefusedError):
        store.sign_in("anna", "wrong", HERE)
    with pytest.raises(SignInRefusedError):
        store.sign_in("whoever", "wrong", HERE)
    store.enter(store.make_link("anna", by=ROOT), HERE)
    assert audited(url) == [
        ("terminal:root", "account_added", "anna"),
        ("anna", "sign_in", "anna"),
        ("anna", "sign_out", "anna"),
        ("anna", "sign_in_failed", "anna"),
        ("", "sign_in_failed", "unknown account"),
        ("terminal:root", "link_made", "anna"),
        ("anna", "link_used", "anna"),
    ]
    assert verify(url, KEY)[1] is None


#: The table in full, so that a change of it is a change of this test, too.
ALLOWED = {
    Role.HEMATOLOGIST: {"see_cases", "see_images", "see_retakes", "review", "ask_retake", "export",
                        "see_figures"},
    Role.LAB_OPERATOR: {"see_retakes", "see_images"},
    Role.ENGINEER: {"see_operations", "see_figures"},
    Role.ADMINISTRATOR: {"manage_accounts", "see_audit", "see_operations", "see_figures"},
}  # fmt: skip


def test_each_role_may_exactly_its_part() -> None:
    assert set(PERMISSIONS) == set(Role) == set(ALLOWED)
    for role, what in product(Role, May):
        actor = Actor("x", role)
        assert actor.may(what) == (what.value in ALLOWED[role])
        if not actor.may(what):
            with pytest.raises(NotAllowedError, match=what.value):
                actor.require(what)
    assert not any(Actor("x", None).may(what) for what in May)


def test_the_commands_make_list_link_and_remove(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "dashboard.toml"
    config.write_text(
        f'database_url = "sqlite:///{tmp_path}/r.sqlite"\narchive_url = "{tmp_path}"\n'
        f'[accounts]\naudit_key_file = "{tmp_path}/audit.key"\n'
    )
    (tmp_path / "password").write_text(PASSWORD + "\n")
    given = ["--config", str(config)]

    def accounts(*arguments: str) -> tuple[int, str]:
        code = main(["accounts", *arguments, *given])
        out = capsys.readouterr()
        return code, out.out + out.err

    password = str(tmp_path / "password")
    assert accounts("add", "anna", "--role", "hematologist", "--password-file", password)[0] == 0
    assert "one of hematologist" in accounts("add", "bert", "--role", "chief")[1]
    assert accounts("add", "anna", "--role", "engineer", "--password-file", password)[0] == 2
    code, said = accounts("link", "anna", "--url", "https://page.example:8443/")
    assert code == 0 and "https://page.example:8443/enter#" in said
    assert "anna" in accounts("list")[1]
    assert accounts("remove", "anna")[0] == 0 and accounts("remove", "anna")[0] == 2
    head = str(tmp_path / "head")
    assert main(["audit", "verify", *given, "--head", head]) == 0
    assert "whole: 3 entries" in capsys.readouterr().out
    with sqlite3.connect(tmp_path / "r.sqlite") as connection:
        connection.execute("DELETE FROM audit WHERE number = 3")
    connection.close()
    assert main(["audit", "verify", *given, "--head", head]) == 1
    assert "BROKEN" in capsys.readouterr().out
