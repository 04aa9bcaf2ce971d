"""Finds VictoriaMetrics on this machine or unpacks Debian's package; it starts no server (the tests do).

    python -m dashboard.metrics.victoria_metrics

A small server with InfluxDB 2's write API, for tests and for a laptop. Needs nothing but the
standard library; nothing of the system is changed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from service_runtime.debian_packages import last_line, unpack_package

PACKAGE: Final = "victoria-metrics"
#: Names a program that is to be used.
VARIABLE: Final = "HEMOWIRE_VICTORIA_METRICS"


class VictoriaMetricsMissingError(Exception):
    """VictoriaMetrics is nowhere; the message says how to get it."""


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the Debian package is unpacked."""
    base = environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "hemowire" / PACKAGE


def find_victoria_metrics(environ: Mapping[str, str] = os.environ) -> Path | None:
    """The program that VARIABLE names, else one on PATH, else the unpacked one; None if absent."""
    named = environ.get(VARIABLE)
    if named:
        return _that_runs(Path(named))
    for name in (PACKAGE, "victoria-metrics-prod"):
        found = shutil.which(name, path=environ.get("PATH", ""))
        if found is not None and _that_runs(Path(found)):
            return Path(found)
    return _that_runs(_unpacked(cache_folder(environ)))


def install_victoria_metrics() -> Path:
    """The program that is there, or is there now; raises VictoriaMetricsMissingError."""
    found = find_victoria_metrics()
    if found is not None:
        return found
    if os.environ.get(VARIABLE):
        raise VictoriaMetricsMissingError(f"{VARIABLE}={os.environ[VARIABLE]} does not run")
    if shutil.which("apt-get") is None:
        raise VictoriaMetricsMissingError(
            "VictoriaMetrics was not found, and neither was apt-get. Install it from "
            f"https://github.com/VictoriaMetrics/VictoriaMetrics and set {VARIABLE} to its program."
        )
    try:
        unpack_package(
            PACKAGE,
            cache_folder(),
            lambda part: _that_runs(_unpacked(part)) is not None,
            with_libraries=("libzstd1",),
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise VictoriaMetricsMissingError(
            f"VictoriaMetrics could not be unpacked ({last_line(error)}). Try: "
            f"apt-get download {PACKAGE}"
        ) from error
    return _unpacked(cache_folder())


def _unpacked(folder: Path) -> Path:
    return folder / "usr/bin" / PACKAGE


def _that_runs(program: Path) -> Path | None:
    """The program if it is one; 1.79 of Debian tells no version, its help tells what it is."""
    try:
        done = subprocess.run(
            [str(program), "-help"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return program if "-storageDataPath" in done.stdout + done.stderr else None


def main() -> int:
    """Prints where it is; 1 with the reason where it could not be had."""
    try:
        found = install_victoria_metrics()
    except VictoriaMetricsMissingError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"victoria-metrics: {found}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
