"""What `hemowire edge` is told: place, camera, gate, encoding, outbox and broker; it opens nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from edge_device.cameras.settings import CameraSettings
from edge_device.encode import EncodeSettings
from edge_device.gate.settings import GateSettings
from service_runtime.broker_settings import BrokerSettings
from service_runtime.settings import Settings
from wire_protocol.ids import Device, Site
from wire_protocol.machine_settings import SenderSettings
from wire_protocol.manifest import UNFILED, CaseId, Priority

Scale = Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]


class OutboxSettings(Settings):
    """Bounds of the outbox; at a bound the capture stops and says so."""

    #: Bytes that the records store does not have yet; recorded ones are freed before this is reached.
    max_bytes: int = Field(default=8 * 1024**3, ge=1024**2)
    max_images: int = Field(default=20_000, ge=1)
    #: Free space that is left to the rest of the device.
    min_free_bytes: int = Field(default=512 * 1024**2, ge=0)


class EdgeSettings(Settings):
    """The whole file."""

    site: Site
    device: Device
    #: The outbox lies in `outbox` below it.
    data_dir: Path
    camera: CameraSettings
    #: Of the camera's pixels; "estimate" measures red cells; unknown where it is not given.
    um_per_px: Scale | Literal["estimate"] | None = None
    case_id: CaseId = UNFILED
    priority: Priority = Priority.ROUTINE
    gate: GateSettings = GateSettings()
    encode: EncodeSettings = EncodeSettings()
    outbox: OutboxSettings = OutboxSettings()
    transfer: SenderSettings = SenderSettings()
    health_every_s: float = Field(default=10.0, gt=0, le=3600)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    broker: BrokerSettings
