"""Fixtures of the records store's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from broker_config.local import RECORDS, LocalBroker
from dashboard.settings import RecordsSettings
from dashboard.store import RecordsStore
from tests.dashboard.reports_for_tests import AT


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database of this test alone."""
    return f"sqlite:///{tmp_path}/records.sqlite"


@pytest.fixture
def store(url: str) -> Iterator[RecordsStore]:
    """An empty store."""
    opened = RecordsStore(url, AT)
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """A command configures the logs for its process; the next test has another stderr."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    folder.mkdir()
    return folder


@pytest.fixture
def settings(own_broker: LocalBroker, url: str, archive: Path) -> RecordsSettings:
    return RecordsSettings(
        broker=own_broker.settings(RECORDS), database_url=url, archive_url=str(archive)
    )
