"""The settings of `hemowire broker`: listener and accounts; clear passwords stay in their own files."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from broker_config.accounts import Account, new_password
from broker_config.local import (
    ENGINEER,
    HEMATOLOGIST,
    METRICS,
    OPERATOR,
    RECORDS,
    WORKER,
    edge_username,
)
from broker_config.template import Listener
from service_runtime.broker_settings import DEFAULT_PORT, Root
from service_runtime.private_files import write_private
from service_runtime.settings import Settings
from wire_protocol.access import Role
from wire_protocol.ids import Level
from wire_protocol.topics import DEFAULT_ROOT


class ListenerSettings(Settings):
    """Where to listen; loopback unless told otherwise, TLS beyond it."""

    bind: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=DEFAULT_PORT, ge=1, le=65535)
    cert_file: Path | None = None
    key_file: Path | None = None
    client_ca_file: Path | None = None
    #: Passwords and images in the clear on a network that is trusted.
    plain_network: bool = False

    def listener(self) -> Listener:
        """The listener; raises ValueError where it would expose what it must not."""
        cert, key, client_ca = (
            None if path is None else path.resolve()
            for path in (self.cert_file, self.key_file, self.client_ca_file)
        )
        return Listener(self.port, self.bind, cert, key, client_ca, self.plain_network)

    @model_validator(mode="after")
    def _is_allowed(self) -> Self:
        self.listener()
        return self


class AccountSettings(Settings):
    """One user. Its password is the first line of `password_file`, made if it is missing."""

    role: Role
    username: Level
    site: Level | None = None
    device: Level | None = None
    password_file: Path | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        Account(self.role, self.username, "checked later", self.site, self.device)
        return self


def _local_accounts() -> tuple[AccountSettings, ...]:
    site, device = "lab", "scope-1"
    edge = AccountSettings(role=Role.EDGE, username=edge_username(device), site=site, device=device)
    return (
        edge,
        AccountSettings(role=Role.WORKER, username=WORKER),
        AccountSettings(role=Role.RECORDS, username=RECORDS),
        AccountSettings(role=Role.HEMATOLOGIST, username=HEMATOLOGIST, site=site),
        AccountSettings(role=Role.OPERATOR, username=OPERATOR, site=site),
        AccountSettings(role=Role.ENGINEER, username=ENGINEER),
        AccountSettings(role=Role.METRICS, username=METRICS),
    )


class BrokerServerSettings(Settings):
    """broker.toml; without it: loopback, one device "scope-1" of the site "lab", each role once."""

    folder: Path = Path("var/broker")
    #: Where Mosquitto keeps its own data; `data` in the folder where it is not given.
    data_folder: Path | None = None
    root: Root = DEFAULT_ROOT
    #: Seconds between saves of retained messages and kept sessions; 5 to 30 are measured to hold.
    autosave_s: int = Field(default=15, ge=1, le=1800)
    listener: ListenerSettings = ListenerSettings()
    accounts: tuple[AccountSettings, ...] = Field(default_factory=_local_accounts)

    @model_validator(mode="after")
    def _accounts_differ(self) -> Self:
        if not self.accounts:
            raise ValueError("accounts: at least one is needed, nobody is anonymous")
        for name in ("username", "device"):
            values = [getattr(a, name) for a in self.accounts if getattr(a, name) is not None]
            if len(set(values)) != len(values):
                raise ValueError(f"accounts: two have the same {name}")
        return self

    def password_file(self, account: AccountSettings) -> Path:
        """Where the account's password is: its own choice, or secrets/<username> in the folder."""
        return account.password_file or self.folder / "secrets" / account.username

    def load_accounts(self) -> list[Account]:
        """The accounts with their passwords; a missing password file is written with a new one."""
        return [
            Account(a.role, a.username, _password(self.password_file(a)), a.site, a.device)
            for a in self.accounts
        ]


def _password(path: Path) -> str:
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, new_password() + "\n")
    return path.read_text(encoding="utf-8").partition("\n")[0].strip()
