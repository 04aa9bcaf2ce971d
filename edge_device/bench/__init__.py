"""The local page and socket of a device, for the person at the bench; it does nothing but ask and tell the agent."""

from edge_device.bench.protocol import Answered, Bench, Changes
from edge_device.bench.state import BenchState

__all__ = ["Answered", "Bench", "BenchState", "Changes"]
