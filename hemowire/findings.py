"""What this machine has and lacks, each with the command that mends it; it changes nothing."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from broker_config.locate import find_mosquitto
from dashboard.metrics.victoria_metrics import find_victoria_metrics
from service_runtime.boot import clock_is_synced

#: Python packages by extra, as the modules that must import.
EXTRAS: Final[dict[str, tuple[str, ...]]] = {
    "edge": ("numpy", "cv2", "starlette", "uvicorn", "watchdog", "zxingcpp"),
    "worker": ("numpy", "cv2", "fsspec", "openvino", "safetensors"),
    "dashboard": ("fsspec", "influxdb_client", "sqlalchemy"),
    "gpu": ("torch", "torchvision"),
    "training": ("onnx", "onnxscript", "sklearn", "torch", "torchvision"),
    "bench": ("fastapi", "hdrh", "httpx", "psutil"),
    "dev": ("hypothesis", "mypy", "pytest", "ruff"),
}
#: What each use of this machine needs: extras, and whether the broker runs here.
USES: Final[dict[str, tuple[tuple[str, ...], bool]]] = {
    "demo": (("edge", "worker", "dashboard"), True),
    "edge": (("edge",), False),
    "worker": (("worker",), False),
    "records": (("dashboard",), False),
    "broker": ((), True),
    "training": (("edge", "worker", "training"), False),
    "bench": (("edge", "worker", "dashboard", "bench"), True),
    "test": (("edge", "worker", "dashboard", "gpu", "training", "bench", "dev"), True),
}
_OLDEST_PYTHON = (3, 11)
_OLDEST_MOSQUITTO = (2, 0, 11)
_LEAST_FREE_BYTES = 2 * 1024**3
_CONGESTION = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")


class State(StrEnum):
    """Fine, needed and absent, or absent and not needed for this use."""

    OK = "ok"
    MISSING = "missing"
    OPTIONAL = "optional"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing, what was found, and the command that mends it (empty where there is none)."""

    name: str
    state: State
    found: str
    mend: str = ""


def examine(use: str) -> Iterator[Finding]:
    """Findings for one of USES, one by one, since some take a second."""
    extras, needs_broker = USES[use]
    yield _python()
    yield _uv()
    yield _mosquitto(needed=needs_broker)
    if use == "test":
        yield _victoria_metrics()
    for extra in EXTRAS:
        yield _extra(extra, needed=extra in extras)
    yield _gpu()
    if "worker" in extras:
        yield _bundles(needed=use == "demo")
    yield _disk()
    yield _congestion()
    yield _clock()


def _need(needed: bool) -> State:
    return State.MISSING if needed else State.OPTIONAL


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < _OLDEST_PYTHON:
        return Finding("python", State.MISSING, f"{version}, 3.11 needed", "scripts/setup demo")
    return Finding("python", State.OK, f"{version} ({sys.executable})")


def _uv() -> Finding:
    own = Path.home() / ".cache" / "hemowire" / "uv" / "bin" / "uv"
    found = shutil.which("uv") or (str(own) if own.exists() else None)
    if found is None:
        return Finding("uv", State.OPTIONAL, "not found", "scripts/setup demo")
    return Finding("uv", State.OK, found)


def _mosquitto(*, needed: bool) -> Finding:
    found = find_mosquitto()
    if found is None:
        darwin = sys.platform == "darwin"
        mend = "brew install mosquitto" if darwin else "python -m broker_config.install"
        return Finding("mosquitto", _need(needed), "not found", mend)
    version = tuple(int(part) for part in found.version.split("."))
    if version < _OLDEST_MOSQUITTO:
        text = f"{found.version}, 2.0.11 or newer needed"
        return Finding("mosquitto", _need(needed), text, "set HEMOWIRE_MOSQUITTO to a newer one")
    return Finding("mosquitto", State.OK, f"{found.version} ({found.program})")


def _victoria_metrics() -> Finding:
    found = find_victoria_metrics()
    if found is None:
        mend = "python -m dashboard.metrics.victoria_metrics"
        text = "not found: the tests that write points to it are skipped"
        return Finding("VictoriaMetrics", State.OPTIONAL, text, mend)
    return Finding("VictoriaMetrics", State.OK, str(found))


def _extra(extra: str, *, needed: bool) -> Finding:
    name = f"extra {extra}"
    lacking = [module for module in EXTRAS[extra] if not _is_there(module, run=needed)]
    if lacking:
        mend = f"uv sync --locked --inexact --extra {extra}"
        return Finding(name, _need(needed), f"lacks {', '.join(lacking)}", mend)
    return Finding(name, State.OK, ", ".join(_with_version(m) for m in EXTRAS[extra]))


def _is_there(module: str, *, run: bool) -> bool:
    """What is needed is really imported, since a package may be there and not load."""
    try:
        if run:
            importlib.import_module(module)
            return True
        return importlib.util.find_spec(module) is not None
    except (ImportError, OSError, ValueError):
        return False


def _with_version(module: str) -> str:
    distribution = {
        "cv2": "opencv-python-headless",
        "hdrh": "hdrhistogram",
        "sklearn": "scikit-learn",
        "zxingcpp": "zxing-cpp",
    }.get(module, module)
    try:
        return f"{module} {importlib.metadata.version(distribution)}"
    except importlib.metadata.PackageNotFoundError:
        return module


def _gpu() -> Finding:
    smi = shutil.which("nvidia-smi")
    listed = "" if smi is None else _output([smi, "-L"])
    if not listed:
        return Finding("NVIDIA GPU", State.OPTIONAL, "none; the worker uses OpenVINO on the CPU")
    gpu = listed.splitlines()[0].partition(" (UUID")[0]
    mend = "uv sync --locked --inexact --extra gpu"
    if not _is_there("torch", run=False):
        return Finding("NVIDIA GPU", State.OPTIONAL, f"{gpu}, but torch is not installed", mend)
    import torch

    if not torch.cuda.is_available():
        text = f"{gpu}, but torch {torch.__version__} cannot use CUDA"
        return Finding("NVIDIA GPU", State.OPTIONAL, text, mend)
    return Finding("NVIDIA GPU", State.OK, f"{gpu}, CUDA {torch.version.cuda}")


def _output(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _bundles(*, needed: bool) -> Finding:
    train = "hemowire train (see README)"
    try:
        from cloud_worker.models.bundle import list_bundles, refused_bundles

        good, refused = [bundle.name for bundle in list_bundles()], refused_bundles()
    except ImportError as error:
        return Finding("model bundles", _need(needed), f"cannot look: {error}", "see extra worker")
    if refused:
        return Finding("model bundles", _need(needed), str(refused[0]), "hemowire models")
    if not good:
        return Finding("model bundles", _need(needed), "none", train)
    return Finding("model bundles", State.OK, ", ".join(good))


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    text = f"{free / 1024**3:.1f} GiB free here"
    if free < _LEAST_FREE_BYTES:
        return Finding("disk", State.MISSING, f"{text}, 2 GiB needed", "free some space")
    return Finding("disk", State.OK, text)


def _congestion() -> Finding:
    name = "TCP bbr"
    if not _CONGESTION.exists():
        return Finding(name, State.OPTIONAL, "not Linux: lossy links will be slower")
    algorithms = _CONGESTION.read_text(encoding="ascii").split()
    if "bbr" in algorithms:
        return Finding(name, State.OK, "available for devices on lossy links")
    text = f"only {', '.join(algorithms)}: 2-4 times slower on lossy links"
    return Finding(name, State.OPTIONAL, text, "sudo modprobe tcp_bbr")


def _clock() -> Finding:
    if clock_is_synced():
        return Finding("clock", State.OK, "synchronised")
    text = "not known to be synchronised: wall times are shown with that remark"
    return Finding("clock", State.OPTIONAL, text, "sudo timedatectl set-ntp true")
