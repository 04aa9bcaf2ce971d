"""Writes a broker's folder: configuration, hashed passwords, access rules; no clear password."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from broker_config.accounts import Account, access_lines, check_accounts, password_lines
from broker_config.template import Listener, render_config
from service_runtime.private_files import write_private
from wire_protocol.topics import DEFAULT_ROOT, Topics


@dataclass(frozen=True, slots=True)
class RenderedBroker:
    """The files of one broker."""

    listener: Listener
    config_file: Path
    password_file: Path
    acl_file: Path
    data_folder: Path
    log_file: Path


def render(
    accounts: Sequence[Account],
    folder: Path,
    listener: Listener,
    *,
    root: str = DEFAULT_ROOT,
    autosave_s: int = 15,
    data_folder: Path | None = None,
    also: Sequence[Listener] = (),
) -> RenderedBroker:
    """Writes mosquitto.conf, passwords and access.acl into `folder` (made if missing).

    Mosquitto's own data is in `data` below it, or in a `data_folder` that exists where it runs.
    Raises ValueError for accounts that clash. The hashes are new each time; clients see nothing of it.
    """
    check_accounts(accounts)
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    if data_folder is None:
        data_folder = folder / "data"
        data_folder.mkdir(exist_ok=True)
    rendered = RenderedBroker(
        listener,
        folder / "mosquitto.conf",
        folder / "passwords",
        folder / "access.acl",
        data_folder,
        folder / "mosquitto.log",
    )
    config = render_config(
        listener,
        password_file=rendered.password_file,
        acl_file=rendered.acl_file,
        data_folder=data_folder,
        user=getpass.getuser(),
        autosave_s=autosave_s,
        also=also,
    )
    write_private(rendered.password_file, password_lines(accounts))
    write_private(rendered.acl_file, access_lines(accounts, Topics(root)))
    write_private(rendered.config_file, config)
    return rendered
