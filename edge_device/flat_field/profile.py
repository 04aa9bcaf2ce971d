"""What was learned of one light: recent backgrounds, their median, when a version is due; it writes nothing."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from edge_device.flat_field.background import Background, LogField, rms
from edge_device.flat_field.settings import FlatFieldSettings
from edge_device.flat_field.store import FrameKind, Version

#: A frame teaches a light when its shape is this near (rms of the logarithm; one light's frames
#: differ by 0.01 to 0.02), and is corrected by the nearest one when it is that near ...
_TEACHES, _CORRECTS = 0.03, 0.045
#: ... and no channel's level differs by more than this (logarithm): stain tints the plasma a little.
_SAME_LEVEL = 0.25
#: The balance follows a frame's own background by at most this (logarithm): where cells fill the
#: whole field they pass for background, and must not be made white.
_MOST_TINT = 0.15
#: A median that moved by less than this is no new version.
_NEWS = 0.004
#: A full ring's median hardly moves with one frame.
_MEDIAN_EVERY = 8


@dataclass(slots=True, eq=False)
class Profile:
    """One light of one kind of frame. `version` is what corrects; `shape` follows the frames."""

    kind: FrameKind
    settings: FlatFieldSettings
    version: Version | None = None
    learned: int = 0
    #: An operator went back behind its first version: frames of this light stay as they are.
    is_undone: bool = False
    shape: LogField | None = None
    level: npt.NDArray[np.float32] | None = None
    _shapes: deque[LogField] = field(default_factory=deque)
    _levels: deque[npt.NDArray[np.float32]] = field(default_factory=deque)
    _since_version: int = 0

    def restart_from(self, version: Version | None) -> None:
        """Goes on from a version, whose weight is that of half of the recent frames."""
        self.version = version
        self._since_version = 0
        self._shapes.clear()
        self._levels.clear()
        self.learned = 0 if version is None else version.learned
        if version is not None:
            self.shape, self.level = version.shape, version.level
            copies = min(version.learned, self.settings.recent_frames // 2)
            self._shapes.extend([version.shape] * copies)
            self._levels.extend([version.level] * copies)

    def learn(self, background: Background) -> None:
        """Takes one frame into the recent ones."""
        self._shapes.append(background.shape)
        self._levels.append(background.level)
        while len(self._shapes) > self.settings.recent_frames:
            self._shapes.popleft()
            self._levels.popleft()
        self.learned += 1
        self._since_version += 1
        if self.learned <= self.settings.recent_frames or self.learned % _MEDIAN_EVERY == 0:
            self._take_median()

    def distance(self, background: Background) -> float:
        """How far the frame's shape is from this light's (rms of the logarithm)."""
        return np.inf if self.shape is None else rms(background.shape - self.shape)

    def is_taught_by(self, background: Background) -> bool:
        """Whether the frame was taken in this light."""
        return self._is_near(background, _TEACHES)

    def corrects(self, background: Background) -> bool:
        """Whether this light is near enough to the frame's to divide it out."""
        return self._is_near(background, _CORRECTS)

    def _is_near(self, background: Background, limit: float) -> bool:
        if self.level is None or self.distance(background) > limit:
            return False
        return float(np.abs(np.log(background.level / self.level)).max()) <= _SAME_LEVEL

    def balance(self, background: Background | None) -> npt.NDArray[np.float32]:
        """The level to make white: the frame's own, kept near the one learned."""
        assert self.level is not None
        if background is None:
            return self.level
        tint = np.clip(np.log(background.level / self.level), -_MOST_TINT, _MOST_TINT)
        return np.asarray(self.level * np.exp(tint), np.float32)

    def is_due(self, seconds_since_write: float) -> bool:
        """Whether the median is to become a version now: early ones at doubled counts, then rarely."""
        s = self.settings
        if self.version is None:
            return self.learned >= s.min_frames
        if self._since_version < min(s.write_every_frames, self.version.learned):
            return False
        is_early = self.version.learned < s.recent_frames
        return is_early or seconds_since_write >= s.write_every_s

    def next_shape(self) -> LogField | None:
        """The median where it differs from the version enough to be one; None where it does not."""
        self._take_median()
        self._since_version = 0
        assert self.shape is not None
        if self.version is not None and rms(self.shape - self.version.shape) < _NEWS:
            return None
        return self.shape

    def _take_median(self) -> None:
        self.shape = np.median(np.stack(self._shapes), axis=0).astype(np.float32)
        self.level = np.median(np.stack(self._levels), axis=0).astype(np.float32)
