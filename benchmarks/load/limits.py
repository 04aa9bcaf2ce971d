"""What no software could beat: the links' arithmetic and the engine alone; each says its sum."""

from __future__ import annotations

from benchmarks.links.profile import LOOPBACK, LinkProfile, find_profile
from benchmarks.load.result import Engine, PhysicalLimit
from benchmarks.load.scenario import Scenario
from wire_protocol.machine_settings import SenderSettings

_CHUNK_BYTES = SenderSettings().chunk_max_bytes


def physical_limits(
    scenario: Scenario, mean_bytes: float, engine: Engine
) -> tuple[PhysicalLimit, ...]:
    """The limits that this scenario has."""
    found = []
    device = find_profile(scenario.link.device)
    worker = find_profile(scenario.link.worker)
    if LOOPBACK not in (device, worker) or device != worker:
        found.append(_link_limit(device, worker, round(mean_bytes)))
    if engine.images_per_s is not None:
        tiles = engine.tiles_per_image or 1
        found.append(
            PhysicalLimit(
                name="the engine alone",
                applies_to="images_per_s",
                value=engine.images_per_s,
                unit="images/s",
                formula=f"measured beside the run, {tiles} tile{'s' * (tiles > 1)} an image",
            )
        )
    return tuple(found)


def _link_limit(device: LinkProfile, worker: LinkProfile, size: int) -> PhysicalLimit:
    """All bytes over the slower hop, one chunk over the other, and both delays."""
    hops = [(device, device.up), (worker, worker.down)]
    whole = [profile.transfer_s(size, way) - way.delay_ms / 1000 for profile, way in hops]
    chunk = [
        profile.transfer_s(min(size, _CHUNK_BYTES), way) - way.delay_ms / 1000
        for profile, way in hops
    ]
    delay_s = sum(way.delay_ms for _, way in hops) / 1000
    first, second = whole[0] + chunk[1], whole[1] + chunk[0]
    slow = 0 if first >= second else 1
    profile, way = hops[slow]
    text = f"{profile.wire_bytes(size):,} bytes / {(way.rate_bit_per_s or 0) / 1e6:g} Mbit/s"
    if delay_s:
        text += f" + {delay_s * 1000:g} ms"
    if chunk[1 - slow]:
        text += f" + a chunk of {min(size, _CHUNK_BYTES):,} bytes on the other link"
    return PhysicalLimit(
        name="the link",
        applies_to="offered_to_stored",
        value=(max(first, second) + delay_s) * 1000,
        unit="ms",
        formula=text,
    )
