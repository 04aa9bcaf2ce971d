"""Where the broker is and who we are there: the [broker] section; it opens no connection."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, StringConstraints, model_validator

from service_runtime.settings import Problem, Settings, SettingsError

#: At most 3 levels (ARCHITECTURE.md "Topics").
Root = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}(/[A-Za-z0-9_-]{1,64}){0,2}$")
]

#: Not 1883: Debian's package starts a broker of its own there.
DEFAULT_PORT = 1884


class BrokerSettings(Settings):
    """Address, account and TLS files of the MQTT 5 broker."""

    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=DEFAULT_PORT, ge=1, le=65535)
    username: str = Field(min_length=1, max_length=128)
    password: SecretStr | None = None
    password_file: Path | None = None
    root: Root = "hemowire/v1"
    #: TLS is on when a certificate authority is named; cert_file and key_file are the client's own.
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.password is not None and self.password_file is not None:
            raise ValueError("give password or password_file, not both")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        if self.cert_file is not None and self.ca_file is None:
            raise ValueError("cert_file needs ca_file")
        return self

    def read_password(self) -> str | None:
        """The password, from the settings or the first line of its file; raises SettingsError."""
        if self.password_file is not None:
            try:
                text = self.password_file.read_text(encoding="utf-8")
            except OSError as error:
                raise self._unreadable("password_file", self.password_file, error) from error
            return text.partition("\n")[0].strip()
        return None if self.password is None else self.password.get_secret_value()

    def tls_context(self) -> ssl.SSLContext | None:
        """TLS 1.2 or newer against `ca_file` with the host name checked, or None without TLS.

        Raises SettingsError for files that cannot be used.
        """
        if self.ca_file is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_verify_locations(self.ca_file)
        except OSError as error:
            raise self._unreadable("ca_file", self.ca_file, error) from error
        if self.cert_file is not None and self.key_file is not None:
            try:
                context.load_cert_chain(self.cert_file, self.key_file)
            except OSError as error:
                raise self._unreadable("cert_file", self.cert_file, error) from error
        return context

    @staticmethod
    def _unreadable(name: str, path: Path, error: OSError) -> SettingsError:
        reason = error.strerror or str(error)
        return SettingsError([Problem(str(path), f"broker.{name}", f"cannot be used: {reason}")])
