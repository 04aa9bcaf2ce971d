"""The settings files of a run's programs, as a lab would write them, and the links they are behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.links.profile import Direction, LinkProfile
from cloud_worker.models.bundle import default_bundle
from hemowire.chaos.pictures import UM_PER_PX
from hemowire.demo.toml_text import Value

SITE: Final = "lab"
Table = Mapping[str, Value]
#: Slow enough that faults find images under way, fast enough for the rate of a run.
LINK: Final = LinkProfile(
    name="chaos",
    title="16 Mbit/s, 5 ms each way",
    up=Direction(rate_bit_per_s=16e6, delay_ms=5),
    down=Direction(rate_bit_per_s=16e6, delay_ms=5),
)
#: What a poor radio link loses on top of that, each way.
LOSSY_LINK: Final = LinkProfile(
    name="chaos-lossy",
    title="16 Mbit/s, 5 ms each way, 2 % of packets lost",
    up=Direction(rate_bit_per_s=16e6, delay_ms=5, loss_percent=2),
    down=Direction(rate_bit_per_s=16e6, delay_ms=5, loss_percent=2),
)
#: Of the device's timers, for runs of a minute: what takes half a minute takes seconds.
_BRISK: Final[dict[str, Value]] = {
    "stored_wait_s": 3.0,
    "reoffer_after_s": 3.0,
    "inquire_after_s": 1.0,
    "inquiry_first_s": 1.0,
    "inquiry_max_s": 4.0,
    "answer_wait_s": 2.0,
    "retry_max_s": 3.0,
    "backoff_first_s": 1.0,
    "backoff_max_s": 5.0,
}
#: So slow that a field takes seconds, and the worst that a device's timers are made for.
SLOW_LINK: Final = LinkProfile(
    name="chaos-slow",
    title="256 kbit/s, 150 ms each way",
    up=Direction(rate_bit_per_s=256e3, delay_ms=150),
    down=Direction(rate_bit_per_s=256e3, delay_ms=150),
)


@dataclass(frozen=True, slots=True)
class Size:
    """How many there are of what."""

    devices: int
    workers: int
    #: Shorter timers on the devices, for short runs.
    is_brisk: bool
    #: Small disks that can be filled, and wall clocks that can be stepped.
    has_disks: bool
    has_clocks: bool
    #: The last device is behind a link that loses packets: needs network namespaces.
    has_loss: bool = False
    #: The workers' decoder dies of marked pictures.
    has_deadly: bool = False


def records_settings(database: Path, archive_url: Path, broker: Table) -> dict[str, Value]:
    """records.toml."""
    return {
        "database_url": f"sqlite:///{database}",
        "archive_url": str(archive_url),
        "broker": broker,
    }


def worker_settings(name: str, archive_url: Path, broker: Table) -> dict[str, Value]:
    """A worker on one thread: there are several, and the machine is small."""
    bundle = str(default_bundle().folder)
    return {
        "name": name,
        "archive_url": str(archive_url),
        "broker": broker,
        "model": {"bundle": bundle, "engine": "openvino", "threads": 1},
    }


def edge_settings(
    device: str, *, data_dir: Path, camera_folder: Path, is_brisk: bool, broker: Table
) -> dict[str, Value]:
    """An agent that watches a folder for files that are renamed into it."""
    return {
        "site": SITE,
        "device": device,
        "data_dir": data_dir,
        "um_per_px": UM_PER_PX,
        "health_every_s": 2.0,
        "camera": {"kind": "folder", "folder": camera_folder, "mode": "watch", "settle_s": 0},
        "outbox": {"min_free_bytes": 0},
        "transfer": _BRISK if is_brisk else {},
        "broker": broker,
    }
