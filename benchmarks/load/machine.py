"""The facts of this machine that a result must carry, and their fingerprint; it changes nothing."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from benchmarks.load.result import Machine
from broker_config.locate import require_mosquitto

_CPU_INFO = Path("/proc/cpuinfo")


def describe_machine() -> Machine:
    """Where this runs; raises MosquittoMissingError."""
    cores = len(psutil.Process().cpu_affinity()) if hasattr(os, "sched_getaffinity") else None
    memory_bytes = psutil.virtual_memory().total
    facts = {
        "cpu": _cpu(),
        "cores": cores or os.cpu_count() or 1,
        "memory_gib": round(memory_bytes / 1024**3),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "gpu": _gpu(),
    }
    digest = hashlib.sha256("\n".join(f"{k}={v}" for k, v in sorted(facts.items())).encode())
    return Machine(
        cpu=str(facts["cpu"]),
        cores=int(facts["cores"]),
        memory_bytes=memory_bytes,
        kernel=str(facts["kernel"]),
        python=str(facts["python"]),
        mosquitto=require_mosquitto().version,
        gpu=str(facts["gpu"]),
        fingerprint=digest.hexdigest()[:12],
        load_before=round(os.getloadavg()[0], 2),
    )


def _cpu() -> str:
    if _CPU_INFO.exists():
        for line in _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _gpu() -> str:
    smi = shutil.which("nvidia-smi")
    if smi is None:
        return ""
    query = [smi, "--query-gpu=name", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    return done.stdout.strip().splitlines()[0] if done.returncode == 0 and done.stdout else ""
