"""Where the broker is and who we are there: the [broker] section; it opens no connection."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, StringConstraints, model_validator

from service_runtime.settings import Settings

#: At most 3 levels (ARCHITECTURE.md "Topics").
Root = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}(/[A-Za-z0-9_-]{1,64}){0,2}$")
]


class BrokerSettings(Settings):
    """Address, account and TLS files of the MQTT 5 broker."""

    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=1883, ge=1, le=65535)
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
        for name in ("password_file", "ca_file", "cert_file", "key_file"):
            path = getattr(self, name)
            if path is not None and not path.is_file():
                raise ValueError(f"{name}: no such file: {path}")
        return self

    def read_password(self) -> str | None:
        """The password, from the settings or from the first line of its file."""
        if self.password_file is not None:
            return self.password_file.read_text(encoding="utf-8").partition("\n")[0].strip()
        return None if self.password is None else self.password.get_secret_value()

    def tls_context(self) -> ssl.SSLContext | None:
        """TLS 1.2 or newer against `ca_file` with the host name checked, or None without TLS."""
        if self.ca_file is None:
            return None
        context = ssl.create_default_context(cafile=self.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.cert_file is not None and self.key_file is not None:
            context.load_cert_chain(self.cert_file, self.key_file)
        return context
