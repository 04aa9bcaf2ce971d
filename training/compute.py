"""Which device trains and in which precision; it never falls back from what was asked for.

bfloat16 keeps float32's range, so no loss scaling is needed on a GPU, and none is done.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from typing import Literal

import cv2
import torch

Precision = Literal["auto", "bfloat16", "float32"]


@dataclass(frozen=True, slots=True)
class Compute:
    """A device, whether convolutions run in bfloat16, and both in words."""

    device: torch.device
    bfloat16: bool
    said: str

    def autocast(self) -> torch.autocast:
        """The context that forward passes run in."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)


def choose_compute(precision: Precision = "auto") -> Compute:
    """CUDA where there is a GPU, else the cores of this process; `auto` is bfloat16 where it is fast."""
    if torch.cuda.is_available():
        bfloat16 = precision != "float32"
        said = f"{torch.cuda.get_device_name()}, {_word(bfloat16)}"
        return Compute(torch.device("cuda"), bfloat16, said)
    bfloat16 = precision == "bfloat16" or (precision == "auto" and _cpu_is_fast_in_bfloat16())
    cores = use_cores()
    said = f"{_processor()}, {cores} {'core' if cores == 1 else 'cores'}, {_word(bfloat16)}"
    return Compute(torch.device("cpu"), bfloat16, said)


def use_cores() -> int:
    """Let torch use the cores of this process and OpenCV one; returns their number.

    OMP_NUM_THREADS limits them: where other work shares the cores, threads that wait for each other
    at every layer are slower than one thread alone.
    """
    cores = len(os.sched_getaffinity(0))
    limit = os.environ.get("OMP_NUM_THREADS", "")
    cores = min(cores, int(limit)) if limit.isdigit() and int(limit) > 0 else cores
    torch.set_num_threads(cores)
    cv2.setNumThreads(1)
    return cores


def _word(bfloat16: bool) -> str:
    return "bfloat16 with float32 weights" if bfloat16 else "float32"


def _cpu_is_fast_in_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself; where it must convert, float32 is as fast."""
    ask = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(ask()) if ask else platform.machine() != "x86_64"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123  # not a data file
            names = [
                line.partition(":")[2].strip() for line in file if line.startswith("model name")
            ]
    except OSError:
        names = []
    return names[0] if names else platform.machine()
