"""The settings of the records store and of the hematologist's terminal; it opens nothing."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from dashboard.cases.settings import CaseSettings
from dashboard.engine import parse_url
from service_runtime.broker_settings import BrokerSettings
from service_runtime.settings import Settings
from wire_protocol.ids import Level


def _check_database(text: str) -> str:
    parse_url(text)
    return text


DatabaseUrl = Annotated[str, AfterValidator(_check_database)]
LogLevel = Literal["debug", "info", "warning", "error"]


class RecordsSettings(Settings):
    """`hemowire records --config records.toml`."""

    broker: BrokerSettings
    #: Client id and the id in status and trace; one records store runs per broker.
    name: Level = "records"
    #: sqlite:///file or postgresql+psycopg://user@host/database
    database_url: DatabaseUrl = "sqlite:///var/records.sqlite"
    #: The workers' archive: a folder, or s3://bucket/prefix. Must be the same place.
    archive_url: str = Field(min_length=1)
    #: A look for blobs that takes longer says that the archive is away.
    archive_s: float = Field(default=30.0, gt=0)
    #: At most this many reports and inquiries share one transaction.
    batch_max: int = Field(default=200, ge=1, le=1000)
    #: reconcile calls a device silent when its last word is older than this.
    silent_after_s: float = Field(default=60, gt=0)
    cases: CaseSettings = CaseSettings()
    log_level: LogLevel = "info"


class WatchSettings(Settings):
    """`hemowire watch --config watch.toml`."""

    broker: BrokerSettings
    #: One name per terminal: the broker keeps what came while it was away, for a day.
    name: Level = "terminal"
    #: Only this site; all that the account may read when left out.
    site: Level | None = None
    #: How many diagnoses the list keeps, the most urgent and newest. The screen shows the first of
    #: them, as many as it has lines for, and counts the others.
    rows: int = Field(default=200, ge=1, le=10_000)
    log_level: LogLevel = "warning"
