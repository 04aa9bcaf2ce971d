"""The settings of `hemowire metrics`; they open nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from dashboard.settings import LogLevel
from service_runtime.broker_settings import BrokerSettings
from service_runtime.settings import Problem, Settings, SettingsError
from wire_protocol.ids import Level

_MEBIBYTE = 1024 * 1024


class InfluxSettings(Settings):
    """A server with InfluxDB 2's write API: InfluxDB 2 or later, VictoriaMetrics."""

    url: str = Field(pattern=r"^https?://\S+$")
    #: VictoriaMetrics knows neither organizations nor buckets and takes any.
    org: str = "hemowire"
    bucket: str = Field(default="hemowire", min_length=1)
    token: SecretStr | None = None
    token_file: Path | None = None
    #: Points in one request, gzipped.
    batch_points: int = Field(default=5000, ge=1, le=50_000)
    timeout_s: float = Field(default=10.0, gt=0, le=120)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.token is not None and self.token_file is not None:
            raise ValueError("give token or token_file, not both")
        return self

    def read_token(self) -> str:
        """The token, from the settings or the first line of its file; raises SettingsError."""
        if self.token_file is not None:
            try:
                text = self.token_file.read_text(encoding="utf-8")
            except OSError as error:
                reason = f"cannot be used: {error.strerror or error}"
                problem = Problem(str(self.token_file), "influx.token_file", reason)
                raise SettingsError([problem]) from error
            return text.partition("\n")[0].strip()
        return "" if self.token is None else self.token.get_secret_value()


class MetricsSettings(Settings):
    """`hemowire metrics --config metrics.toml`."""

    broker: BrokerSettings
    #: The server; without it points stay in the spool's files until the oldest make room.
    influx: InfluxSettings | None = None
    #: Client id; one metrics program runs per broker.
    name: Level = "metrics"
    #: Files of line protocol that wait for the server. One program per folder.
    spool_folder: Path = Path("var/metrics")
    #: All files of the spool together; beyond it the oldest points are dropped and counted.
    spool_max_bytes: int = Field(default=256 * _MEBIBYTE, ge=_MEBIBYTE)
    #: How often files are synced to the disk, and sent.
    flush_s: float = Field(default=1.0, gt=0, le=60)
    #: How often the broker's, the programs' and this program's own counters are written.
    counters_every_s: float = Field(default=10.0, ge=1, le=3600)
    #: How long a trace waits for stages that are missing after its end was seen.
    patience_s: float = Field(default=10.0, gt=0, le=600)
    #: Whether a trace waits for `shown`; false where neither terminal nor page is looked at.
    await_shown: bool = True
    #: Smallest step between two time stamps: "us" for InfluxDB, "ms" for a server that keeps
    #: milliseconds only (VictoriaMetrics).
    time_step: Literal["us", "ms"] = "us"
    log_level: LogLevel = "info"
