"""What `hemowire fleet` is told: how many devices, what they capture and when, and their broker; it opens nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from edge_device.cameras.settings import SimulatedCameraSettings
from edge_device.outbox.settings import OutboxSettings
from edge_device.settings import EdgeSettings
from service_runtime.broker_settings import BrokerSettings
from service_runtime.settings import Settings
from wire_protocol.ids import Site
from wire_protocol.machine_settings import SenderSettings

#: Stands for the device's name in `broker`.
DEVICE: Final = "{device}"
MOST_DEVICES: Final = 5000


class FleetImageSettings(Settings):
    """The simulated fields: a few are rendered in each process, and each capture gets bytes of its own."""

    width_px: int = Field(default=320, ge=64, le=4096)
    height_px: int = Field(default=240, ge=64, le=4096)
    um_per_px: float = Field(default=0.3, gt=0.02, le=2)
    jpeg_quality: int = Field(default=92, ge=1, le=100)
    distinct: int = Field(default=4, ge=1, le=64)
    #: false: the scale is withheld, so that the worker refuses each image when it has decoded it and
    #: no engine runs: what the path costs by itself.
    classified: bool = True


class FleetSettings(Settings):
    """The whole file."""

    site: Site
    #: Devices are called so, with a number behind it: fleet-1, fleet-2, ...
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,48}$")] = "fleet"
    devices: int = Field(default=20, ge=1, le=MOST_DEVICES)
    processes: int = Field(default=2, ge=1, le=64)
    #: Each device's outbox lies in a folder of its name below it.
    data_dir: Path
    #: Between two captures of one device; the devices take turns within it.
    every_s: float = Field(default=10.0, gt=0, le=86_400)
    #: All devices capture at the same moment instead.
    at_once: bool = False
    #: Of each device, earlier runs with the same data_dir included; for ever where it is not given.
    captures: int | None = Field(default=None, ge=1)
    images: FleetImageSettings = FleetImageSettings()
    outbox: OutboxSettings = OutboxSettings(max_bytes=64 * 1024**2)
    transfer: SenderSettings = SenderSettings()
    health_every_s: float = Field(default=30.0, gt=1, le=3600)
    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    #: "{device}" in username, password_file, cert_file and key_file is the device's name.
    broker: BrokerSettings

    @model_validator(mode="after")
    def _devices_differ(self) -> Self:
        if self.devices > 1 and DEVICE not in self.broker.username:
            raise ValueError(
                f"broker.username must hold {DEVICE}: the access rules bind each device to its account"
            )
        return self

    def name_of(self, number: int) -> str:
        """The name of device `number`, from 1."""
        return f"{self.name}-{number}"

    def share_of(self, process: int) -> range:
        """The numbers of a process's devices; processes count from 0."""
        each, more = divmod(self.devices, self.processes)
        first = process * each + min(process, more) + 1
        return range(first, first + each + (process < more))

    def device(self, number: int) -> EdgeSettings:
        """One device as an agent would be told."""
        name = self.name_of(number)
        images = self.images
        return EdgeSettings(
            site=self.site,
            device=name,
            data_dir=self.data_dir / name,
            camera=SimulatedCameraSettings(
                kind="simulated",
                width_px=images.width_px,
                height_px=images.height_px,
                um_per_px=images.um_per_px,
                count=self.captures,
            ),
            um_per_px=images.um_per_px if images.classified else None,
            outbox=self.outbox,
            transfer=self.transfer,
            health_every_s=self.health_every_s,
            log_level=self.log_level,
            broker=_of_device(self.broker, name),
        )


def _of_device(broker: BrokerSettings, name: str) -> BrokerSettings:
    def named(path: Path | None) -> Path | None:
        return None if path is None else Path(str(path).replace(DEVICE, name))

    return broker.model_copy(
        update={
            "username": broker.username.replace(DEVICE, name),
            "password_file": named(broker.password_file),
            "cert_file": named(broker.cert_file),
            "key_file": named(broker.key_file),
        }
    )
