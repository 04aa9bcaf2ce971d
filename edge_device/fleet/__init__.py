"""Many light devices in one process, for load: real outboxes, senders and connections, simulated small images.

A light device has no camera, gate, page or commands. Everything from its outbox to `Recorded` is the
agent's own code.
"""

from edge_device.fleet.running import FleetReport, run_devices
from edge_device.fleet.settings import FleetSettings

__all__ = ["FleetReport", "FleetSettings", "run_devices"]
