"""A broker on loopback with an account for every role: for the demo and for tests; to a network over TLS only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import SecretStr

from broker_config.accounts import Account, new_password
from broker_config.render import render
from broker_config.serve import BrokerProcess, free_port
from broker_config.template import Listener
from service_runtime.broker_settings import BrokerSettings
from service_runtime.private_files import write_private
from wire_protocol.access import Role
from wire_protocol.topics import DEFAULT_ROOT

#: Account names of the roles that exist once; an edge's is `edge_username`.
WORKER = "worker"
RECORDS = "records"
HEMATOLOGIST = "hematologist"
OPERATOR = "operator"
ENGINEER = "engineer"
METRICS = "metrics"


def edge_username(device: str) -> str:
    """The account name of a device."""
    return f"edge-{device}"


def local_accounts(site: str, devices: Sequence[str]) -> list[Account]:
    """One account per device and one per other role, each with a new random password."""
    edges = [
        Account(Role.EDGE, edge_username(device), new_password(), site, device)
        for device in devices
    ]
    people = [
        Account(Role.HEMATOLOGIST, HEMATOLOGIST, new_password(), site),
        Account(Role.OPERATOR, OPERATOR, new_password(), site),
    ]
    programs = [
        Account(Role.WORKER, WORKER, new_password()),
        Account(Role.RECORDS, RECORDS, new_password()),
        Account(Role.ENGINEER, ENGINEER, new_password()),
        Account(Role.METRICS, METRICS, new_password()),
    ]
    return edges + people + programs


class LocalBroker:
    """A rendered and running broker on a free port, with the settings that each role connects by.

    `folder/secrets/<username>` holds each clear password with mode 0600, for `password_file`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        site: str = "lab",
        devices: Sequence[str] = ("scope-1",),
        port: int | None = None,
        root: str = DEFAULT_ROOT,
        also: Sequence[Listener] = (),
    ) -> None:
        self.root = root
        self.accounts = {a.username: a for a in local_accounts(site, devices)}
        self._secrets = folder.resolve() / "secrets"
        listener = Listener(free_port() if port is None else port)
        rendered = render(list(self.accounts.values()), folder, listener, root=root, also=also)
        self._secrets.mkdir(mode=0o700, exist_ok=True)
        for account in self.accounts.values():
            write_private(self.password_file(account.username), account.password + "\n")
        self.process = BrokerProcess(rendered)

    @property
    def port(self) -> int:
        """Its port on 127.0.0.1."""
        return self.process.port

    def password_file(self, username: str) -> Path:
        """The file with this account's password."""
        return self._secrets / username

    def settings(self, username: str, *, port: int | None = None) -> BrokerSettings:
        """How `username` connects; `port` is that of a proxy in between, where there is one."""
        return BrokerSettings(
            host="127.0.0.1",
            port=self.port if port is None else port,
            username=username,
            password=SecretStr(self.accounts[username].password),
            root=self.root,
        )

    def __enter__(self) -> Self:
        self.process.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.process.stop()
