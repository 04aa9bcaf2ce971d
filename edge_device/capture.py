"""One shot becomes one row of the outbox: opened, gated, encoded, with a stamp after each; it keeps nothing itself.

`Pipeline.prepare` runs on the capture thread; what operators change meanwhile are whole frozen
settings, put in from the event loop: a shot sees the old ones or the new ones, never half of each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from edge_device.calibration import Calibration, effective_gate, effective_scale
from edge_device.cameras.shots import Pixels, Shot, Unusable
from edge_device.encode import Encoded, Opened, encode, open_file, open_pixels
from edge_device.gate import GateWarning, Scores, judge, measure
from edge_device.orders import Order
from edge_device.outbox.rows import NewCapture, Refusal
from edge_device.overrides import Overrides, changed
from edge_device.settings import EdgeSettings
from service_runtime.boot import boot_id, clock_is_synced, monotonic_ns, wall_time
from service_runtime.log import get_log
from wire_protocol.manifest import Priority
from wire_protocol.trace import Stage

_PREVIEW_QUALITY = 75


@dataclass(frozen=True, slots=True)
class Prepared:
    """A capture that is ready for the outbox, with its stamps (monotonic ns) and the gate's scores."""

    capture: NewCapture
    stamps_ns: dict[Stage, int]
    scores: Scores | None
    warnings: tuple[GateWarning, ...] = ()
    #: The file's folder, where the camera is one.
    folder: str = ""
    #: Who asked for it, where somebody did.
    order: Order | None = None


@dataclass(frozen=True, slots=True)
class PreviewPicture:
    """What is before the camera, for somebody who looks."""

    jpeg: bytes
    focus: float


class Pipeline:
    """What happens to a shot, in order; what operators override and the calibration may be changed."""

    def __init__(
        self,
        settings: EdgeSettings,
        calibration: Calibration | None = None,
        overrides: Overrides | None = None,
    ) -> None:
        self._settings = settings
        self.recalibrate(calibration)
        self.override(overrides or Overrides())

    def override(self, overrides: Overrides) -> None:
        """How pictures are encoded from the next shot on."""
        self.overrides = overrides
        self.encode = changed(self._settings.encode, overrides)

    def recalibrate(self, calibration: Calibration | None) -> None:
        """The limits and the scale that hold from the next shot on."""
        self.calibration = calibration
        self.gate = effective_gate(self._settings.gate, calibration)
        self._um_per_px = effective_scale(self._settings.um_per_px, calibration)

    def prepare(
        self,
        shot: Shot,
        *,
        scheduled_ns: int,
        case_id: str,
        priority: Priority = Priority.ROUTINE,
        order: Order | None = None,
    ) -> Prepared:
        """Opens, gates and encodes a shot that was just taken; whatever it holds, this does not raise.

        What the gate refuses is encoded all the same: its bytes stay on the device for whoever
        asks why.
        """
        stamps = {Stage.SCHEDULED: scheduled_ns, Stage.CAPTURED: monotonic_ns()}
        captured_at, synced = wall_time(), clock_is_synced()
        opened = self._open(shot)
        scores: Scores | None = None
        refusal: Refusal | None = None
        warnings: tuple[GateWarning, ...] = ()
        encoded: Encoded | Refusal
        if isinstance(opened, Refusal):
            encoded = refusal = opened
        else:
            if self.gate.enabled:
                scores = measure(opened.pixels)
                verdict = judge(scores, self.gate)
                refusal, warnings = verdict.refusal, verdict.warnings
            stamps[Stage.GATED] = monotonic_ns()
            encoded = encode(opened, self.encode)
            if isinstance(encoded, Refusal):
                refusal = encoded
            stamps[Stage.ENCODED] = monotonic_ns()
        is_override = refusal is not None and isinstance(encoded, Encoded) and self.gate.override
        capture = NewCapture(
            source=shot.source,
            source_key=shot.source_key,
            content=_content(shot, encoded),
            captured_at=captured_at,
            captured_ns=stamps[Stage.CAPTURED],
            boot_id=boot_id(),
            clock_synced=synced,
            content_type=encoded.content_type if isinstance(encoded, Encoded) else None,
            width_px=encoded.width_px if isinstance(encoded, Encoded) else 0,
            height_px=encoded.height_px if isinstance(encoded, Encoded) else 0,
            um_per_px=_scale(shot, opened, self._um_per_px),
            case_id=case_id,
            priority=priority,
            gate_override=is_override,
            refusal=None if is_override else refusal,
            sha256=shot.content.sha256 if isinstance(shot.content, Unusable) else "",
            size_bytes=shot.content.size_bytes if isinstance(shot.content, Unusable) else 0,
            warnings=tuple(warning.kind.value for warning in warnings),
        )
        treatment = encoded.treatment if isinstance(encoded, Encoded) else ""
        get_log("edge").debug("prepared", treatment=treatment, refused=refusal is not None)
        return Prepared(capture, stamps, scores, warnings, shot.folder, order)

    def preview(self, rgb: Pixels) -> PreviewPicture | None:
        """A small picture with its focus score."""
        bgr = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), np.uint8)
        done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _PREVIEW_QUALITY])
        return PreviewPicture(data.tobytes(), measure(bgr).focus) if done else None

    def _open(self, shot: Shot) -> Opened | Refusal:
        match shot.content:
            case Unusable(refusal=refusal):
                return refusal
            case bytes():
                return open_file(shot.content, self.encode)
            case _:
                return open_pixels(shot.content)


def _content(shot: Shot, encoded: Encoded | Refusal) -> bytes | None:
    """The bytes to keep: what travels, or the file as it was where nothing can."""
    if isinstance(encoded, Encoded):
        return encoded.data
    if isinstance(shot.content, bytes):
        return shot.content
    if isinstance(shot.content, Unusable):
        return None
    return shot.content.tobytes()


def _scale(
    shot: Shot, opened: Opened | Refusal, setting: float | Literal["estimate"] | None
) -> float | None:
    """The camera's own scale, else the settings' or the calibration's, else the red cells' where
    that is asked for."""
    if shot.um_per_px is not None or isinstance(opened, Refusal):
        return shot.um_per_px
    if setting != "estimate":
        return setting
    from edge_device.calibration.scale import ScaleUnknownError, estimate_um_per_px

    try:
        rgb = np.asarray(cv2.cvtColor(opened.pixels, cv2.COLOR_BGR2RGB), np.uint8)
        return estimate_um_per_px(rgb).um_per_px
    except ScaleUnknownError as error:
        get_log("edge").warning("scale_unknown", reason=str(error))
        return None
