"""The two ends of a way as its programs run them; one module beside this one for each way."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ConfigDict

from benchmarks.baselines.baseline import Engine, Facts, Method
from benchmarks.baselines.storing import Keeper
from service_runtime.broker_settings import BrokerSettings
from service_runtime.congestion import BBR, BY_LOSS
from service_runtime.mqtt_types import SessionOptions
from service_runtime.session_roles import device_session


class EndSettings(BaseModel):
    """What an end is told at its start."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Method
    broker: BrokerSettings
    site: str
    device: str
    #: The receiver's: where images are stored, on which address a server of its own listens.
    folder: Path
    listen_host: str = "127.0.0.1"
    engine: Engine | None = None
    #: The sender's: where the receiver's own server is found.
    server_host: str = ""
    server_port: int = 0
    #: Of the sender's socket.
    congestion: str

    def device_session(self) -> SessionOptions:
        """How the real agent connects, but for the congestion control where that is the question."""
        return device_session(self.site, self.device, congestion=self.congestion)


def usual_congestion(method: Method) -> str:
    """What a real device of hemowire's does, and for the other ways what they are best with on bad links."""
    return BY_LOSS if method is Method.HEMOWIRE else BBR


@dataclass(frozen=True, slots=True)
class Sent:
    """What sending one image took."""

    sent_bytes: int
    attempts: int
    failure: str = ""


class Sending(Protocol):
    """The device's end."""

    def running(self) -> AbstractAsyncContextManager[None]:
        """Connected within this block."""

    async def send(self, image: bytes) -> Sent:
        """Sends one image, beside others; ends when this way believes that it arrived, or gives up."""


class Receiving(Protocol):
    """The other end; it gives each whole image to its Keeper."""

    def running(self) -> AbstractAsyncContextManager[int]:
        """Ready within this block, which is given the port of its own server, 0 where it has none."""


class Way(Protocol):
    """A module of a way."""

    FACTS: Facts

    def sending(self, settings: EndSettings) -> Sending:
        """The device's end."""

    def receiving(self, settings: EndSettings, keeper: Keeper) -> Receiving:
        """The other end."""


def way_of(method: Method) -> Way:
    """The module of a way; the others, and what they need, are not imported."""
    found: Way
    match method:
        case Method.SINGLE:
            from benchmarks.baselines import single as found
        case Method.BASE64:
            from benchmarks.baselines import base64_json as found
        case Method.HTTP:
            from benchmarks.baselines import http_upload as found
        case Method.SEGMENTS:
            from benchmarks.baselines import segments as found
        case Method.HEMOWIRE:
            from benchmarks.baselines import hemowire_path as found
    return found
