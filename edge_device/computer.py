"""What the kernel says of this computer and of the agent on it: memory and heat; None where it does not say."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path

_PROC = Path("/proc")
_THERMAL = Path("/sys/class/thermal")
#: Words in a zone's type that mean the processor, on a Pi ("cpu-thermal") and elsewhere.
_PROCESSOR = ("cpu", "soc", "x86_pkg")


def memory_bytes() -> int | None:
    """Resident memory of this process."""
    with suppress(OSError, ValueError, IndexError):
        pages = int((_PROC / "self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return None


def memory_available_bytes() -> int | None:
    """What the computer can still give to programs without swapping."""
    with suppress(OSError, ValueError, IndexError):
        for line in (_PROC / "meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def cpu_temperature_c(zones: Path = _THERMAL) -> float | None:
    """The processor's temperature."""
    for zone in sorted(zones.glob("thermal_zone*")):
        with suppress(OSError, ValueError):
            kind = (zone / "type").read_text().strip().lower()
            if any(word in kind for word in _PROCESSOR):
                return int((zone / "temp").read_text()) / 1000
    return None


@cache
def software_version() -> str:
    """The version of the installed package, "" where it runs uninstalled."""
    try:
        return metadata.version("hemowire")
    except metadata.PackageNotFoundError:
        return ""
