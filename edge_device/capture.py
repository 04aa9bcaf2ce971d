"""One shot becomes one row of the outbox: opened, evened, gated, encoded, stamped; it keeps nothing itself.

    open -> slide label? -> flat field -> region -> gate -> encode

`Pipeline.prepare` runs on the capture thread. What operators change meanwhile are whole frozen
settings, put in from the event loop: a shot sees the old ones or the new ones, never half of each.
Longer than most files: it is one image's whole way, which reads best in one piece.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from edge_device.calibration import Calibration, effective_gate, effective_scale
from edge_device.cameras.shots import Pixels, Shot, Unusable
from edge_device.cases import CodeKind, CodeRead, read_code
from edge_device.encoding.colour_profile import ColourProfile
from edge_device.encoding.encode import (
    Encoded,
    Opened,
    crop,
    encode,
    open_file,
    open_pixels,
    reworked,
)
from edge_device.flat_field import FlatField, RawFiles
from edge_device.gate import Gate, GateSettings, GateWarning, Scores, measure
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
    #: The slide's label that the picture shows; then the capture has no bytes.
    label: CodeRead | None = None
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
        *,
        calibration: Calibration | None = None,
        overrides: Overrides | None = None,
        is_live: bool = False,
        reads_codes: bool = False,
    ) -> None:
        self._settings = settings
        self._reads_codes = reads_codes
        self._gate = Gate(settings.gate)
        self._other_colours = 0
        self.recalibrate(calibration)
        self.override(overrides or Overrides())
        flat = settings.flat_field
        #: Belongs to the capture thread; None where frames are taken as they are.
        self.flat_field: FlatField | None = None
        self._raw_files: RawFiles | None = None
        if flat.is_on(is_live):
            self.flat_field = FlatField(settings.data_dir / "flat_field", flat)
            if flat.keep_raw:
                self._raw_files = RawFiles(
                    settings.data_dir / "raw",
                    max_days=flat.raw_days,
                    max_bytes=flat.raw_max_bytes,
                )

    def recalibrate(self, calibration: Calibration | None) -> None:
        """The limits and the scale that hold from the next shot on."""
        self.calibration = calibration
        self._gate.limits = effective_gate(self._settings.gate, calibration)
        self._um_per_px = effective_scale(self._settings.um_per_px, calibration)
        if calibration is not None and calibration.outdated_min_focus is not None:
            get_log("edge").warning(
                "focus_limit_outdated",
                learned=calibration.outdated_min_focus,
                holds=self._gate.limits.min_focus,
                problem="it belongs to an older measure of focus; calibrate again",
            )

    @property
    def gate(self) -> GateSettings:
        """The limits that hold."""
        return self._gate.limits

    def override(self, overrides: Overrides) -> None:
        """How pictures are encoded from the next shot on."""
        self.overrides = overrides
        self.encode = changed(self._settings.encode, overrides)

    def prepare(
        self,
        shot: Shot,
        *,
        scheduled_ns: int,
        priority: Priority = Priority.ROUTINE,
        order: Order | None = None,
    ) -> Prepared:
        """From a shot that was just taken to its capture, which has no case yet; whatever it holds,
        this does not raise.

        What the gate refuses is encoded all the same: its bytes stay on the device for whoever
        asks why.
        """
        stamps = {Stage.SCHEDULED: scheduled_ns, Stage.CAPTURED: monotonic_ns()}
        captured_at, synced = wall_time(), clock_is_synced()
        opened = self._open(shot)
        self._note_colours(opened)
        if self._reads_codes and isinstance(opened, Opened):
            label = read_code(opened.pixels)
            if label.kind is not CodeKind.NONE:
                self._gate.new_slide()
                capture = _label(shot, stamps[Stage.CAPTURED], captured_at, synced, priority)
                return Prepared(capture, stamps, None, (), shot.folder, label, order)
        raw = opened.pixels if isinstance(opened, Opened) else None
        flat_field = 0
        if isinstance(opened, Opened):
            opened, flat_field = self._even(opened)
            opened = crop(opened, self.encode)
        um_per_px = shot.um_per_px
        scores: Scores | None = None
        refusal: Refusal | None = None
        warnings: tuple[GateWarning, ...] = ()
        encoded: Encoded | Refusal
        if isinstance(opened, Refusal):
            encoded = refusal = opened
        else:
            um_per_px = _scale(shot, opened, self._um_per_px)
            if self.gate.enabled:
                examined = self._gate.examine(opened.pixels, um_per_px)
                scores, verdict = examined.scores, examined.verdict
                refusal, warnings = verdict.refusal, verdict.warnings
            stamps[Stage.GATED] = monotonic_ns()
            encoded = encode(opened, self.encode)
            if isinstance(encoded, Refusal):
                refusal = encoded
            stamps[Stage.ENCODED] = monotonic_ns()
        if self._raw_files is not None and raw is not None and isinstance(encoded, Encoded):
            self._raw_files.keep(hashlib.sha256(encoded.data).hexdigest(), raw)
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
            um_per_px=um_per_px,
            priority=priority,
            gate_override=is_override,
            refusal=None if is_override else refusal,
            sha256=shot.content.sha256 if isinstance(shot.content, Unusable) else "",
            size_bytes=shot.content.size_bytes if isinstance(shot.content, Unusable) else 0,
            warnings=tuple(warning.kind.value for warning in warnings),
            flat_field=flat_field,
        )
        treatment = encoded.treatment if isinstance(encoded, Encoded) else ""
        get_log("edge").debug("prepared", treatment=treatment, refused=refusal is not None)
        return Prepared(capture, stamps, scores, warnings, shot.folder, None, order)

    def preview(self, rgb: Pixels) -> PreviewPicture | None:
        """A small picture with its focus score."""
        bgr = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), np.uint8)
        done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _PREVIEW_QUALITY])
        return PreviewPicture(data.tobytes(), measure(bgr).focus) if done else None

    def _note_colours(self, opened: Opened | Refusal) -> None:
        """A profile does not travel; that one was not sRGB is said at 1, 2, 4, 8, ... pictures."""
        if isinstance(opened, Opened) and opened.profile is ColourProfile.OTHER:
            self._other_colours += 1
            if self._other_colours & (self._other_colours - 1) == 0:
                get_log("edge").warning("colour_profile_dropped", count=self._other_colours)

    def _open(self, shot: Shot) -> Opened | Refusal:
        match shot.content:
            case Unusable(refusal=refusal):
                return refusal
            case bytes():
                return open_file(shot.content, self.encode)
            case _:
                return open_pixels(shot.content)

    def _even(self, opened: Opened) -> tuple[Opened, int]:
        """The frame with the flat field divided out, and the version of it; 0: as it was."""
        if self.flat_field is None:
            return opened, 0
        self.flat_field.learn(opened.pixels)
        # A file's own bytes travel unless its pixels are others: those are not overwritten.
        in_place = opened.content_type is None and self._raw_files is None
        even = self.flat_field.correct(opened.pixels, in_place=in_place)
        return reworked(opened, even), self.flat_field.version


def _label(
    shot: Shot, captured_ns: int, captured_at: str, synced: bool, priority: Priority
) -> NewCapture:
    """A slide's label may show a name: its bytes and its source's name are not kept."""
    assert not isinstance(shot.content, Unusable)
    content = shot.content if isinstance(shot.content, bytes) else shot.content.tobytes()
    return NewCapture(
        source="",
        source_key=shot.source_key,
        content=None,
        captured_at=captured_at,
        captured_ns=captured_ns,
        boot_id=boot_id(),
        clock_synced=synced,
        priority=priority,
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
    )


def _content(shot: Shot, encoded: Encoded | Refusal) -> bytes | None:
    """The bytes to keep: what travels, or the file as it was where nothing can."""
    if isinstance(encoded, Encoded):
        return encoded.data
    if isinstance(shot.content, bytes):
        return shot.content
    if isinstance(shot.content, Unusable):
        return None
    return shot.content.tobytes()


def _scale(shot: Shot, opened: Opened, setting: float | Literal["estimate"] | None) -> float | None:
    """The camera's own scale, else the settings' or the calibration's, else the red cells' where
    that is asked for."""
    if shot.um_per_px is not None:
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
