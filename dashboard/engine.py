"""Opens the database of the records store: SQLite with WAL and synchronous=FULL, or PostgreSQL by URL; no rule here.

SQLite writes in one immediate transaction each, so that two processes (the store and an operator's
command) wait for each other instead of failing half way; readers never block the writer.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from service_runtime.redacted import without_password

#: How long SQLite itself waits for another process before it says "locked"; then we wait.
BUSY_TIMEOUT_S: Final = 2.0


class StoreError(Exception):
    """The store cannot be used as it is configured; the message says what to do. Exit code 2."""

    def __init__(self, message: str) -> None:
        super().__init__(without_password(message))


def parse_url(text: str) -> URL:
    """A SQLAlchemy URL of a kind that the store supports; raises ValueError by name."""
    try:
        url = make_url(text)
        url.get_dialect()
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise ValueError(without_password(f"not a usable database URL: {error}")) from error
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise ValueError("a sqlite:/// or postgresql:// URL is needed")
    if url.get_backend_name() == "sqlite" and not url.database:
        raise ValueError(
            "a SQLite file is needed (sqlite:///records.sqlite); memory is not durable"
        )
    return url


def open_engine(url: str, *, read_only: bool = False) -> Engine:
    """An engine whose commits are durable; raises StoreError where the place cannot be used."""
    try:
        parsed = parse_url(url)
    except ValueError as error:
        raise StoreError(f"records database: {error}") from error
    if parsed.get_backend_name() == "sqlite":
        return _open_sqlite(parsed, read_only=read_only)
    try:
        engine = create_engine(parsed, pool_pre_ping=True)
    except ModuleNotFoundError as error:
        raise StoreError(
            f"records database: the driver {error.name!r} is not installed "
            "(pip install 'psycopg[binary]' and use postgresql+psycopg://)"
        ) from error
    if read_only:
        return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return engine


def _open_sqlite(url: URL, *, read_only: bool) -> Engine:
    path = Path(url.database or "")
    if read_only and not path.is_file():
        raise StoreError(f"records database: no such file: {path}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"records database: {path.parent}: {error.strerror}") from error
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})

    @event.listens_for(engine, "connect")
    def _on_connect(raw: sqlite3.Connection, _record: object) -> None:
        raw.isolation_level = None  # the driver begins nothing by itself: _on_begin does
        raw.execute("PRAGMA journal_mode=WAL")
        raw.execute("PRAGMA synchronous=FULL")
        raw.execute("PRAGMA foreign_keys=ON")
        if read_only:
            raw.execute("PRAGMA query_only=ON")

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine
