"""The last captures as the person at the bench sees them, from memory; their pictures come from the outbox's files."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import cv2
import numpy as np

from edge_device.bench.state import LAST_CAPTURES, CaptureShown, ScoreShown
from edge_device.capture import Prepared
from edge_device.gate import GateSettings
from edge_device.outbox import DamagedError, Outbox, OutboxRow
from edge_device.outbox.image_files import ImageFiles
from edge_device.outbox_thread import DISK_REFUSES, OutboxThread
from service_runtime.boot import boot_id, monotonic_ns
from wire_protocol.json_messages import Reason
from wire_protocol.machine_io import Persist
from wire_protocol.manifest import UNFILED
from wire_protocol.messages import Outcome

_PICTURE_PX = 480
_PICTURE_QUALITY = 80
#: What the gate refuses, and an operator may send all the same.
_OF_THE_GATE = (Reason.FOCUS, Reason.EXPOSURE, Reason.STAIN, Reason.EMPTY_FIELD)


@dataclass(frozen=True, slots=True)
class _Recent:
    row: OutboxRow
    scores: dict[str, float]
    warnings: tuple[str, ...]


class RecentCaptures:
    """All methods belong to the event loop's thread."""

    def __init__(self, disk: OutboxThread) -> None:
        self._disk = disk
        self._recent: OrderedDict[str, _Recent] = OrderedDict()
        self._pictures: OrderedDict[str, bytes] = OrderedDict()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="pictures")

    def __contains__(self, image_id: str) -> bool:
        return image_id in self._recent

    def kept(self, prepared: Prepared, row: OutboxRow) -> None:
        """A capture is on disk."""
        scores = {} if prepared.scores is None else prepared.scores.by_name()
        words = tuple(warning.text for warning in prepared.warnings)
        self._recent[row.image_id] = _Recent(row, scores, words)
        if len(self._recent) > LAST_CAPTURES:
            gone, _ = self._recent.popitem(last=False)
            self._pictures.pop(gone, None)

    def committed(self, changes: Sequence[Persist]) -> None:
        """These states are on disk."""
        for change in changes:
            known = self._recent.get(change.image_id)
            if known is not None:
                outcome = Outcome(change.outcome) if change.outcome else known.row.outcome
                row = replace(known.row, state=change.state, outcome=outcome)
                self._recent[change.image_id] = replace(known, row=row)

    async def refresh(self) -> None:
        """A person did something to the outbox: the rows are read again."""
        wanted = tuple(self._recent)
        rows = await self._disk.if_possible(lambda outbox: _rows(outbox, wanted))
        for row in rows or ():
            known = self._recent.get(row.image_id)
            if known is not None:
                self._recent[row.image_id] = replace(known, row=row)

    def shown(self, gate: GateSettings) -> tuple[CaptureShown, ...]:
        """Newest first."""
        now_ns = monotonic_ns()
        return tuple(_shown(recent, gate, now_ns) for recent in reversed(self._recent.values()))

    async def picture(self, image_id: str) -> bytes | None:
        """A small JPEG; None where the bytes are gone, damaged, or of no such image."""
        known = self._pictures.get(image_id)
        if known is not None:
            return known
        try:
            row = await self._disk.call(lambda outbox: outbox.row(image_id))
        except (KeyError, *DISK_REFUSES):
            return None
        if not row.bytes_held:
            return None
        files = self._disk.outbox.files
        loop = asyncio.get_running_loop()
        picture = await loop.run_in_executor(self._executor, _small, files, image_id, row.sha256)
        if picture is not None and image_id in self._recent:
            self._pictures[image_id] = picture
        return picture

    def close(self) -> None:
        """Ends the thread that makes pictures."""
        self._executor.shutdown(cancel_futures=True)


def _rows(outbox: Outbox, image_ids: Sequence[str]) -> list[OutboxRow]:
    found = []
    for image_id in image_ids:
        try:
            found.append(outbox.row(image_id))
        except KeyError:
            continue
    return found


def _shown(recent: _Recent, gate: GateSettings, now_ns: int) -> CaptureShown:
    row = recent.row
    refusal = row.refusal
    by_gate = refusal is not None and refusal.reason in _OF_THE_GATE and row.bytes_held
    age_ns = now_ns - row.captured_ns if row.boot_id == boot_id() else 0
    return CaptureShown(
        image_id=row.image_id,
        seq=row.seq,
        taken_s_ago=max(0.0, age_ns / 1e9),
        case_id=None if row.case_id == UNFILED else row.case_id,
        priority=row.priority,
        state=row.state,
        outcome=row.outcome,
        reason=None if refusal is None else refusal.reason,
        verdict="" if refusal is None else refusal.text,
        warnings=recent.warnings,
        scores=tuple(_score(name, value, gate) for name, value in recent.scores.items()),
        has_picture=row.bytes_held,
        gate_override=row.gate_override,
        override_reason=row.override_reason,
        can_send_anyway=by_gate and not row.sent_again_as,
        can_move=refusal is None or refusal.reason is not Reason.SLIDE_LABEL,
    )


def _score(name: str, value: float, gate: GateSettings) -> ScoreShown:
    """With the limits that are named after it: min_focus, max_clipped_white_percent."""
    return ScoreShown(
        name=name,
        value=value,
        at_least=getattr(gate, f"min_{name}", None),
        at_most=getattr(gate, f"max_{name}", None),
    )


def _small(files: ImageFiles, image_id: str, sha256: str) -> bytes | None:
    try:
        data = np.frombuffer(files.read(image_id, sha256), np.uint8)
        bgr = cv2.imdecode(data, cv2.IMREAD_REDUCED_COLOR_2)
    except (OSError, DamagedError, cv2.error):
        return None
    if bgr is None:
        return None
    scale = min(1.0, _PICTURE_PX / bgr.shape[1])
    small = cv2.resize(bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    done, jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _PICTURE_QUALITY])
    return jpeg.tobytes() if done else None
