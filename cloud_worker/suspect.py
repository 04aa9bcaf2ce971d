"""Opens a suspect image (workers vanished over it) alone in a child process that may die.

The child has a limit of time and memory. It answers with plain numbers and bytes, never with a
pickle: what it was made to run by a hostile file must not run here.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

import numpy as np

from cloud_worker.cells import SeenField
from cloud_worker.decode import DecodeLimits
from cloud_worker.models.card import Preprocessing
from cloud_worker.opening import Opened, OpenRequest, open_image
from cloud_worker.preprocess import Prepared, lay_out
from cloud_worker.refusal import Refusal
from wire_protocol.json_messages import Reason

CHILD: tuple[str, ...] = (sys.executable, "-m", "cloud_worker.suspect")
_WORDS_OF_STDERR = 200


@dataclass(frozen=True, slots=True)
class ChildLimits:
    """What the child may use before it is ended."""

    time_s: float = 30.0
    memory_bytes: int = 4 * 1024**3


def open_suspect(
    data: bytes | bytearray,
    request: OpenRequest,
    child_limits: ChildLimits,
    child: Sequence[str] = CHILD,
) -> Opened:
    """As `open_image`, in a child; if that dies, a refusal with reason `crashes_decoder`. Blocks."""
    facts = {
        "image_id": request.image_id,
        "um_per_px": request.um_per_px,
        "preprocessing": request.preprocessing.model_dump(mode="json"),
        "limits": asdict(request.limits),
        "count_white_cells": request.count_white_cells,
        **asdict(child_limits),
    }
    try:
        ended = subprocess.run(
            child,
            input=json.dumps(facts).encode() + b"\n" + data,
            capture_output=True,
            timeout=child_limits.time_s,
            check=False,
            env=_child_environment(),
        )
    except subprocess.TimeoutExpired:
        return _died(f"no end within {child_limits.time_s:g} s")
    if ended.returncode != 0:
        return _died(_cause(ended.returncode, ended.stderr))
    try:
        return _read_answer(ended.stdout, request.preprocessing)
    except (ValueError, KeyError, TypeError) as error:
        return _died(f"its answer makes no sense ({error})")


def _child_environment() -> dict[str, str]:
    """Ours without our settings (they may hold a password), on one thread."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("HEMOWIRE_")}
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return kept | one_thread | {"PYTHONPATH": os.pathsep.join(sys.path)}


def _died(how: str) -> Opened:
    text = f"workers ended over this image, and so did a process of its own: {how}. Take it again."
    return Opened(None, Refusal(Reason.CRASHES_DECODER, text))


def _cause(code: int, stderr: bytes) -> str:
    if code < 0:
        return f"ended by signal {-code}"
    last = stderr.decode(errors="replace").strip().rpartition("\n")[2]
    return f"exit code {code}" + (f" ({last[:_WORDS_OF_STDERR]})" if last else "")


def _read_answer(answer: bytes, preprocessing: Preprocessing) -> Opened:
    head, _, rest = answer.partition(b"\n")
    facts: dict[str, Any] = json.loads(head)
    thumbnail_bytes, (height, width) = int(facts["thumbnail_bytes"]), facts["field"]
    thumbnail = rest[:thumbnail_bytes] if thumbnail_bytes else None
    seen = _read_seen(facts["seen"])
    if facts["reason"]:
        return Opened(thumbnail, Refusal(Reason(facts["reason"]), str(facts["text"])), seen)
    pixels = np.frombuffer(rest, np.uint8, offset=thumbnail_bytes).reshape(height, width, 3)
    # The child has resampled: this only plans the tiles again.
    return Opened(thumbnail, lay_out(pixels, preprocessing), seen)


def _read_seen(told: dict[str, Any] | None) -> SeenField | None:
    if told is None:
        return None
    boxes = told["boxes"]
    if boxes is not None:
        boxes = tuple((int(x), int(y), int(w), int(h)) for x, y, w, h in boxes)
    areas = tuple(float(area) for area in told["nucleus_um2"])
    return SeenField(int(told["width_px"]), int(told["height_px"]), boxes, areas)


def main(source: BinaryIO, target: BinaryIO) -> None:
    """The child: limits itself, then opens the one image on `source`."""
    facts: dict[str, Any] = json.loads(source.readline())
    memory, seconds = int(facts["memory_bytes"]), int(facts["time_s"]) + 1
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    request = OpenRequest(
        image_id=facts["image_id"],
        um_per_px=facts["um_per_px"],
        preprocessing=Preprocessing.model_validate(facts["preprocessing"]),
        limits=DecodeLimits(**facts["limits"]),
        count_white_cells=bool(facts["count_white_cells"]),
    )
    opened = open_image(source.read(), request)
    thumbnail, prepared = opened.thumbnail or b"", opened.prepared
    if isinstance(prepared, Prepared):
        reason, text, field = "", "", prepared.field
    else:
        reason, text, field = prepared.reason, prepared.text, np.empty((0, 0, 3), np.uint8)
    answer = {
        "thumbnail_bytes": len(thumbnail),
        "field": field.shape[:2],
        "reason": reason,
        "text": text,
        "seen": None if opened.seen is None else asdict(opened.seen),
    }
    target.write(json.dumps(answer).encode() + b"\n")
    target.write(thumbnail)
    target.write(np.ascontiguousarray(field).tobytes())
    target.flush()


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer)
