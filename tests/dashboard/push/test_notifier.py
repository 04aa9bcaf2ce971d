"""The notifier beside a real desk: an urgent case that is recorded reaches the readers of its site, once."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from dashboard.push.policy import Told
from dashboard.push.sending import PushGoneError, PushKey
from dashboard.push.settings import PushSettings
from dashboard.push.subscriptions import Subscription
from tests.dashboard.page.page_house import page_house


class Phones:
    """What was sent to whom; a browser called "gone" has ended its subscription."""

    def __init__(self) -> None:
        self.got: list[tuple[str, Told]] = []
        self.removed: list[str] = []
        self.news = threading.Event()

    def of_site(self, site: str) -> list[Subscription]:
        return [
            Subscription(name, site, f"https://{name}", "", "")
            for name in ("kim", "gone")
            if f"https://{name}" not in self.removed
        ]

    def remove(self, endpoint: str, account: str | None = None) -> None:
        self.removed.append(endpoint)

    def send(self, _key: PushKey, _contact: str, to: Subscription, told: Told) -> None:
        if to.account == "gone":
            raise PushGoneError
        self.got.append((to.account, told))
        self.news.set()

    def wait(self) -> None:
        assert self.news.wait(30)
        self.news.clear()


def test_an_urgent_case_is_told_once_and_a_browser_that_is_gone_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    phones = Phones()
    monkeypatch.setattr("dashboard.push.notifier.send", phones.send)
    monkeypatch.setattr("dashboard.push.notifier.Subscriptions", lambda *_: phones)
    monkeypatch.setattr(Phones, "close", lambda _: None, raising=False)
    push = PushSettings(
        contact="mailto:a@example.org", key_file=tmp_path / "push.key", cooldown_s=0
    )
    with page_house(tmp_path, push=push) as house:
        house.field("C7F3K2", "cll")
        house.field("C7F3K2", "cannot_say", 1)
        house.field("H26-0413", "aml")
        phones.wait()
        house.field("H26-0413", "aml", 1)
        house.field("unfiled", "all")
        house.field("H26-0414", "all")
        phones.wait()
    assert [(who, told.keys) for who, told in phones.got] == [
        ("kim", ("lab.H26-0413",)),
        ("kim", ("lab.H26-0414",)),
    ]
    assert phones.removed == ["https://gone"]
