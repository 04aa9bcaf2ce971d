"""Where the page is served beside the local socket: nowhere, on this device only, or to a network with a token."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from service_runtime.settings import Settings


class BenchSettings(Settings):
    """The local socket is always there; TCP only where a port is given."""

    port: int | None = Field(default=None, ge=0, le=65_535)
    #: An address of this device. Others than loopback show the microscope to a network.
    host: str = "127.0.0.1"
    #: A file with one line of 16 characters or more that people type once per browser.
    token_file: Path | None = None

    @field_validator("host")
    @classmethod
    def _is_address(cls, host: str) -> str:
        if host == "localhost":
            return "127.0.0.1"
        try:
            return str(ipaddress.ip_address(host))
        except ValueError as error:
            raise ValueError("must be an IP address of this device, or localhost") from error

    @model_validator(mode="after")
    def _is_guarded(self) -> Self:
        if self.port is not None and self.token_file is None and not self.is_loopback:
            raise ValueError(
                f"host {self.host} shows the page to a network: give token_file,"
                " or leave host at 127.0.0.1"
            )
        return self

    @property
    def is_loopback(self) -> bool:
        """Whether only this device can reach the page."""
        return ipaddress.ip_address(self.host).is_loopback
