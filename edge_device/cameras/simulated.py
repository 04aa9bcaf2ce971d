"""The simulator as a camera: renders fields of endless simulated slides; what class they are stays on the device.

It is a live camera like those of glass: a preview of the field under the objective, a stage that
needs a moment to come to rest, frames of which some are sharper. Rendering a field takes long, so
only a picture that is asked for costs one; previews and bursts are made from it.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from edge_device.cameras.sequence import Focus, take_sequence
from edge_device.cameras.settings import SimulatedCameraSettings
from edge_device.cameras.shots import Nothing, Pixels, Shot, at_most_preview
from edge_device.simulator import Slide, draw_slide, render_field, slide_seed

#: Slides of the camera come from a stream of their own, never from those that models train on.
CAMERA_STREAM = 77
#: Where the stage still is, in pixels from rest, on the frames after a move.
_COMING_TO_REST_PX = (24.0, 12.0, 6.0)
#: Sigma of the worst blur of a frame in a burst.
_UNSHARPEST_PX = 2.0
#: Grey levels by which the preview's noise goes up and down.
_PREVIEW_NOISE = 4


@dataclass(frozen=True, slots=True)
class _Frame:
    """A field under the objective."""

    number: int
    source: str
    key: str
    #: The slide, as a folder of files would name it: with `cases.from_folder` it is the case.
    folder: str
    picture: Pixels
    small: Pixels


class SimulatedCamera:
    """Frame n is the same in every run, so a restarted agent goes on where it was."""

    def __init__(
        self,
        settings: SimulatedCameraSettings,
        is_captured: Callable[[str], bool],
        focus: Focus,
    ) -> None:
        self.poll_s = 1.0
        self.is_live = True
        self.trouble = ""
        self._settings = settings
        self._is_captured = is_captured
        self._focus = focus
        self._number = 0
        self._slide: tuple[int, Slide] | None = None
        self._before_camera: _Frame | None = None
        self._is_taken = True
        self._noise = np.random.default_rng(settings.seed)

    def take(self) -> Shot | Nothing:
        """The next field that was not captured yet, in the sequence that the settings ask for."""
        frame = self._look()
        if frame is None:
            return Nothing.EVER
        self._is_taken = True
        s = self._settings
        if s.burst == 1 and not s.settle_frames:
            return Shot(frame.source, frame.key, frame.picture, s.um_per_px, folder=frame.folder)
        over_s = time.monotonic() + s.settle_s
        picture, sequence = take_sequence(
            self._frames_after_a_move(frame),
            settle_frames=s.settle_frames,
            is_over=lambda: time.monotonic() >= over_s,
            burst=s.burst,
            focus=self._focus,
        )
        return Shot(
            frame.source, frame.key, picture, s.um_per_px, folder=frame.folder, sequence=sequence
        )

    def preview(self) -> Pixels | None:
        """The field under the objective, small, with noise of its own; the last one at the end."""
        frame = self._before_camera or self._look()
        if frame is None:
            return None
        up = self._noise.integers(0, 2 * _PREVIEW_NOISE + 1, frame.small.shape, np.uint8)
        noisy = cv2.subtract(cv2.add(frame.small, up), np.full(3, _PREVIEW_NOISE, np.float64))
        return np.asarray(noisy, np.uint8)

    def close(self) -> None:
        """Nothing is held open."""

    def _look(self) -> _Frame | None:
        """The field under the objective if it is not taken yet, else the next; None at the end."""
        s = self._settings
        if not self._is_taken:
            return self._before_camera
        while s.count is None or self._number < s.count:
            number = self._number
            self._number += 1
            slide, field = divmod(number, s.fields_per_slide)
            kind = s.classes[slide % len(s.classes)]
            key = f"simulated:{s.seed}:{kind}:{slide}:{field}:{s.width_px}x{s.height_px}@{s.um_per_px}"
            if self._is_captured(key):
                continue
            picture = render_field(
                self._slide_number(slide),
                kind,
                field,
                width_px=s.width_px,
                height_px=s.height_px,
                um_per_px=s.um_per_px,
            ).image
            source = f"simulated:seed{s.seed}:{kind}:slide{slide}:field{field}"
            folder = f"S{s.seed}-{slide:03}"
            small = at_most_preview(picture)
            self._before_camera = _Frame(number, source, key, folder, picture, small)
            self._is_taken = False
            return self._before_camera
        return None

    def _frames_after_a_move(self, frame: _Frame) -> Callable[[], Pixels]:
        """Frames as a camera gives them: the first ones move, each has its own sharpness and noise."""
        rng = np.random.default_rng([self._settings.seed, frame.number])
        height, width = frame.picture.shape[:2]
        away_px = itertools.chain(_COMING_TO_REST_PX, itertools.repeat(0.0))

        def next_frame() -> Pixels:
            seen = frame.picture
            if self._settings.settle_frames and (by_px := next(away_px)):
                shift = np.array([[1, 0, by_px], [0, 1, by_px / 2]], np.float32)
                seen = np.asarray(
                    cv2.warpAffine(seen, shift, (width, height), borderMode=cv2.BORDER_REFLECT),
                    np.uint8,
                )
            if self._settings.burst > 1:
                sigma = max(0.3, float(rng.uniform(0, _UNSHARPEST_PX)))
                seen = np.asarray(cv2.GaussianBlur(seen, (0, 0), sigma), np.uint8)
            noise = rng.standard_normal(seen.shape, dtype=np.float32)
            return np.asarray(np.clip(seen + noise + np.float32(0.5), 0, 255), np.uint8)

        return next_frame

    def _slide_number(self, number: int) -> Slide:
        if self._slide is None or self._slide[0] != number:
            seed = slide_seed(self._settings.seed, CAMERA_STREAM, number)
            self._slide = (number, draw_slide(seed))
        return self._slide[1]
