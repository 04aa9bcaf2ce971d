"""What `hemowire edge` is told: place, camera, gate, encoding, outbox and broker; it opens nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from edge_device.bench.settings import BenchSettings
from edge_device.cameras.settings import CameraSettings
from edge_device.cases.settings import CaseSettings
from edge_device.encoding.encode import EncodeSettings
from edge_device.flat_field.settings import FlatFieldSettings
from edge_device.gate.settings import GateSettings
from edge_device.outbox.settings import OutboxSettings
from service_runtime.broker_settings import BrokerSettings
from service_runtime.settings import Settings
from wire_protocol.ids import Device, Site
from wire_protocol.machine_settings import SenderSettings
from wire_protocol.manifest import UNFILED, CaseId, Priority

Scale = Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]


class EdgeSettings(Settings):
    """The whole file."""

    site: Site
    device: Device
    #: The only folder that the agent writes to; the outbox lies in `outbox` below it.
    data_dir: Path
    camera: CameraSettings
    #: Of the camera's pixels; "estimate" measures red cells; unknown where it is not given.
    um_per_px: Scale | Literal["estimate"] | None = None
    #: Of captures while no case is open.
    case_id: CaseId = UNFILED
    priority: Priority = Priority.ROUTINE
    cases: CaseSettings = CaseSettings()
    flat_field: FlatFieldSettings = FlatFieldSettings()
    gate: GateSettings = GateSettings()
    encode: EncodeSettings = EncodeSettings()
    outbox: OutboxSettings = OutboxSettings()
    transfer: SenderSettings = SenderSettings()
    bench: BenchSettings = BenchSettings()
    health_every_s: float = Field(default=10.0, gt=0, le=3600)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    broker: BrokerSettings
