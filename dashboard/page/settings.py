"""The settings of `hemowire dashboard`: where the store and the archive are, and where the page is served."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from dashboard.accounts.settings import AccountSettings
from dashboard.cases.settings import CaseSettings
from dashboard.exchange.fhir_settings import FhirSettings
from dashboard.exchange.patient_settings import PatientSettings
from dashboard.push.settings import PushSettings
from dashboard.review.settings import ReviewSettings
from dashboard.settings import DatabaseUrl, LogLevel
from service_runtime.broker_settings import BrokerSettings
from service_runtime.settings import Settings

HostName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.-]{1,253}$")]


class PageSettings(Settings):
    """[page]: on this machine only, or to a network with TLS."""

    host: str = "127.0.0.1"
    port: int = Field(default=8443, ge=0, le=65_535)
    #: TLS: certificate with its chain, and its key.
    cert_file: Path | None = None
    key_file: Path | None = None
    #: The authority of that certificate, given out at /ca.crt to whoever wants to trust it.
    ca_file: Path | None = None
    #: Names by which browsers may call this page, beside the address that it listens on.
    names: tuple[HostName, ...] = ()
    #: Passwords and pictures in the clear on a network that is trusted; no offline page, no push.
    plain_network: bool = False

    @field_validator("host")
    @classmethod
    def _is_address(cls, host: str) -> str:
        if host == "localhost":
            return "127.0.0.1"
        try:
            return str(ipaddress.ip_address(host))
        except ValueError as error:
            raise ValueError("must be an IP address of this machine, or localhost") from error

    @model_validator(mode="after")
    def _is_guarded(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        is_loopback = ipaddress.ip_address(self.host).is_loopback
        if not (is_loopback or self.is_tls or self.plain_network):
            raise ValueError(
                f"host {self.host}: passwords and pictures would cross the network in the clear;"
                " give cert_file and key_file, or set plain_network = true"
            )
        return self

    @property
    def is_tls(self) -> bool:
        """Whether it is served over TLS."""
        return self.cert_file is not None

    @property
    def url(self) -> str:
        """How a browser on this machine or, by its first name, elsewhere calls the page."""
        host = self.names[0] if self.names else self.host
        shown = f"[{host}]" if ":" in host else host
        return f"{'https' if self.is_tls else 'http'}://{shown}:{self.port}"


class DashboardSettings(Settings):
    """`hemowire dashboard --config dashboard.toml`."""

    #: The records store's database.
    database_url: DatabaseUrl = "sqlite:///var/records.sqlite"
    #: The workers' archive: a folder, or s3://bucket/prefix.
    archive_url: str = Field(min_length=1)
    page: PageSettings = PageSettings()
    #: Sessions, one-time links, limits of guessing, the audit book's key.
    accounts: AccountSettings = AccountSettings()
    #: How long an answer can be taken back, how long a comment may be.
    review: ReviewSettings = ReviewSettings()
    #: As in records.toml.
    cases: CaseSettings = CaseSettings()
    #: Notifications to phones; off without a contact.
    push: PushSettings = PushSettings()
    #: A FHIR server that signed cases go to; off without a url.
    fhir: FhirSettings = FhirSettings()
    #: Patients' copies of signed results, and links to them.
    patient: PatientSettings = PatientSettings()
    #: Model bundles beside those on this machine's search path: for their cards and maps.
    bundles: tuple[Path, ...] = ()
    #: An operator's account on the broker, for asking microscopes to take a slide again and for
    #: telling the trace what was shown; without it nothing is asked, which the page says, or told.
    broker: BrokerSettings | None = None
    log_level: LogLevel = "info"
