"""The hematologist's page of a demo: a one-day account, a one-time link, and what a phone has to be told."""

from __future__ import annotations

import asyncio
import io
import os
from dataclasses import dataclass
from typing import Final

from broker_config.local import HEMATOLOGIST
from dashboard.accounts.roles import Role, at_terminal
from dashboard.accounts.store import AccountStore
from hemowire.demo.house import SITE, House
from hemowire.demo.processes import Programs
from wire_protocol.topics import Kind

ACCOUNT: Final = "reader"
START_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class DemoPage:
    """Where the page is, and the link that lets one browser in."""

    url: str
    link: str

    @property
    def words(self) -> str:
        """One line for the terminal."""
        return f"page (this link lets in once, within an hour): {self.link}"


async def open_page(programs: Programs, house: House) -> DemoPage:
    """Starts the page and makes its account; raises ProgramFailedError where it does not answer."""
    await programs.start("dashboard", "dashboard", "--config", str(house.dashboard()))
    host = "127.0.0.1" if house.lan is None else house.lan.address
    await _until_it_answers(programs, host, house.page_port)
    link = await asyncio.to_thread(_make_link, house)
    shown = f"[{host}]" if ":" in host else host
    url = f"{'http' if house.lan is None else 'https'}://{shown}:{house.page_port}/"
    return DemoPage(url, f"{url}enter#{link}")


def phone_words(house: House, page: DemoPage) -> str:
    """What a phone needs: the code of the page, and how an MQTT app connects."""
    assert house.lan is not None
    import segno

    code = io.StringIO()
    segno.make(page.link, error="l").terminal(out=code, compact=True)
    broker, lan = house.broker, house.lan
    password = broker.accounts[HEMATOLOGIST].password
    topic = house.topics.build(Kind.DIAGNOSIS, site=SITE, device="+")
    return (
        f"{code.getvalue()}\n"
        f"{page.link}\n"
        "  Scan it, or type it: it lets one browser in, once, within an hour. The certificate is this\n"
        "  demo's own: the phone asks whether to go on. For the offline page and notifications it has to\n"
        f"  be trusted: {page.url}ca.crt\n"
        f"MQTT app: host {lan.address}, port {lan.broker_port} (TLS), user {HEMATOLOGIST}, "
        f"password {password}\n"
        f"  topic {topic} (JSON); authority {lan.certificate.ca_file}\n"
    )


async def somebody_came(house: House, longest_s: float) -> bool:
    """Waits until the link was used, at most so long."""
    accounts = AccountStore.open(house.records_url, house.accounts)
    try:
        async with asyncio.timeout(longest_s):
            while not any(one.sessions for one in accounts.list()):  # noqa: ASYNC110 - another process's database has no events
                await asyncio.sleep(0.5)
    except TimeoutError:
        return False
    finally:
        accounts.close()
    return True


def _make_link(house: House) -> str:
    accounts = AccountStore.open(house.records_url, house.accounts)
    me = at_terminal(str(os.getuid()))
    try:
        accounts.add(ACCOUNT, Role.HEMATOLOGIST, by=me, site=SITE, days=1)
        return accounts.make_link(ACCOUNT, by=me)
    finally:
        accounts.close()


async def _until_it_answers(programs: Programs, host: str, port: int) -> None:
    try:
        async with asyncio.timeout(START_S):
            while True:
                if programs.failed.done():
                    programs.failed.result()
                try:
                    _, writer = await asyncio.open_connection(host, port)
                except OSError:
                    await asyncio.sleep(0.05)
                    continue
                writer.close()
                return
    except TimeoutError:
        raise programs.late("dashboard", START_S) from None
