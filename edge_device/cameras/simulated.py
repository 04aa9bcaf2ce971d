"""The simulator as a camera: renders fields of endless simulated slides; what class they are stays on the device."""

from __future__ import annotations

from collections.abc import Callable

from edge_device.cameras.settings import SimulatedCameraSettings
from edge_device.cameras.shots import Nothing, Pixels, Shot
from edge_device.simulator import Slide, draw_slide, render_field, slide_seed

#: Slides of the camera come from a stream of their own, never from those that models train on.
CAMERA_STREAM = 77


class SimulatedCamera:
    """Frame n is the same in every run, so a restarted agent goes on where it was."""

    def __init__(
        self, settings: SimulatedCameraSettings, is_captured: Callable[[str], bool]
    ) -> None:
        self.poll_s = 1.0
        self.is_live = True
        self.trouble = ""
        self._settings = settings
        self._is_captured = is_captured
        self._frame = 0
        self._slide: tuple[int, Slide] | None = None

    def take(self) -> Shot | Nothing:
        """Renders the next frame that was not captured yet."""
        s = self._settings
        while s.count is None or self._frame < s.count:
            frame = self._frame
            self._frame += 1
            number, field = divmod(frame, s.fields_per_slide)
            kind = s.classes[number % len(s.classes)]
            key = f"simulated:{s.seed}:{kind}:{number}:{field}:{s.width_px}x{s.height_px}@{s.um_per_px}"
            if self._is_captured(key):
                continue
            rendered = render_field(
                self._slide_number(number),
                kind,
                field,
                width_px=s.width_px,
                height_px=s.height_px,
                um_per_px=s.um_per_px,
            )
            source = f"simulated:seed{s.seed}:{kind}:slide{number}:field{field}"
            return Shot(source, key, rendered.image, s.um_per_px)
        return Nothing.EVER

    def preview(self) -> Pixels | None:
        """Nothing before the first field."""
        return None

    def close(self) -> None:
        """Nothing is held open."""

    def _slide_number(self, number: int) -> Slide:
        if self._slide is None or self._slide[0] != number:
            seed = slide_seed(self._settings.seed, CAMERA_STREAM, number)
            self._slide = (number, draw_slide(seed))
        return self._slide[1]
