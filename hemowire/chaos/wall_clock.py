"""A wall clock for real programs that is stepped while they run, by a library that any user may load; needs `cc`.

Monotonic clocks are left alone, as when NTP or a person sets a machine's clock.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

_SOURCE = Path(__file__).with_name("stepped_clock.c")


def why_no_clock() -> str:
    """What is missing here; empty where clocks can be stepped."""
    if not sys.platform.startswith("linux"):
        return "LD_PRELOAD is Linux's"
    return "" if shutil.which("cc") else "no C compiler (cc) to build the clock with"


class WallClock:
    """The wall time of all programs that are started with its environment; its files lie in `folder`."""

    def __init__(self, folder: Path, name: str = "wall-clock-step") -> None:
        self._file = folder / name
        self.step_to(0)
        library = folder / "stepped_clock.so"
        if not library.exists():
            compiler = ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(library)]
            subprocess.run([*compiler, str(_SOURCE)], check=True)
        self.environment = {
            "LD_PRELOAD": str(library),
            "HEMOWIRE_TEST_CLOCK_STEP": str(self._file),
        }

    def step_to(self, ahead_s: int) -> None:
        """So many seconds ahead from now on; in place, as the programs have it mapped."""
        file = os.open(self._file, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(file, struct.pack("=q", ahead_s * 1_000_000_000), 0)
        finally:
            os.close(file)
