"""Learns a device's uneven light from its frames and divides it out; a frame that no learned light fits stays as it is.

For one frame call `learn` (once the gate accepted the exposure of the raw frame), then `correct`.
Both belong to the capture thread. What corrects is always a stored version, so that the number that
travels with an image names the field that was divided out; the frame's own background then sets the
three gains of the white balance. Frames of another light (lamp, filter, objective or exposure
changed) go to a profile of their own, which corrects after `min_frames`; until then they are left
as they are, for another light's field would paint them. A light that comes back is known again.
Longer than most files: learning, choosing a profile and correcting read and write one state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_device.flat_field.background import Background, Pixels, Unfit, look
from edge_device.flat_field.gain import gains, multiply
from edge_device.flat_field.profile import Profile
from edge_device.flat_field.settings import FlatFieldSettings
from edge_device.flat_field.store import FlatFieldStore, FrameKind, State, Version
from service_runtime.boot import monotonic_s, wall_time
from service_runtime.log import get_log

#: Lights that are remembered at once; the one not seen for longest makes room.
_MOST_PROFILES = 8
_CLIPPED = 255


@dataclass(frozen=True, slots=True)
class FlatFieldState:
    """What is said of the correction, for the page, health and the command line."""

    #: Divided out of the last frame; 0: it was left as it was.
    version: int
    #: Frames learned of the light of the last frame, and how many a new light needs.
    learned_frames: int
    needed_frames: int
    held: bool
    #: In words: what happens now and why.
    said: str
    #: Of the last corrected frame: pixels that became 255 and were not, and nodes at the most gain.
    clipped_percent: float
    gain_limited_percent: float


class FlatField:
    """The correction of one camera; `folder` is data_dir/flat_field and need not exist."""

    def __init__(
        self,
        folder: Path,
        settings: FlatFieldSettings,
        camera: str = "",
        *,
        now_s: Callable[[], float] = monotonic_s,
    ) -> None:
        self._settings = settings
        self._camera = camera
        self._now_s = now_s
        self._store = FlatFieldStore(folder)
        self._state = self._store.state()
        self._log = get_log("edge")
        #: Least recently seen first.
        self._profiles: list[Profile] = []
        self._written_s = now_s()
        self._last: tuple[bytes, Background | Unfit] | None = None
        self._version = 0
        self._said = "no frame yet"
        self._light: Profile | None = None
        self._clipped_percent = 0.0
        self._limited_percent = 0.0
        self._load()

    @property
    def version(self) -> int:
        """The version that the last `correct` divided out; 0: it left the frame as it was."""
        return self._version

    @property
    def state(self) -> FlatFieldState:
        """What is said of the correction."""
        return FlatFieldState(
            version=self._version,
            learned_frames=0 if self._light is None else self._light.learned,
            needed_frames=self._settings.min_frames,
            held=self._state.held,
            said=self._said,
            clipped_percent=round(self._clipped_percent, 3),
            gain_limited_percent=round(self._limited_percent, 2),
        )

    def correct(self, bgr: Pixels, *, in_place: bool = False) -> Pixels:
        """The frame (H, W, 3) with an even, neutral background, or the frame itself where no field fits.

        `in_place` overwrites the frame: with 12 megapixels that saves 36 MB.
        """
        found = self._look_once(bgr)
        self._last = None
        profile = self._choose(_kind(self._camera, bgr), found)
        if profile is None or profile.version is None:
            self._version = 0
            return bgr
        version = profile.version
        at_nodes, limited = gains(
            version.shape,
            profile.balance(found if isinstance(found, Background) else None),
            white_level=self._settings.white_level,
            max_gain=self._settings.max_gain,
        )
        # Every 8th pixel of every 8th row tells the share well enough.
        was_below = bgr[::8, ::8] < _CLIPPED
        out = bgr if in_place else np.empty_like(bgr)
        multiply(bgr, at_nodes, out=out)
        clipped = (out[::8, ::8] == _CLIPPED) & was_below
        self._clipped_percent = 100 * float(clipped.any(axis=2).mean())
        self._limited_percent = 100 * limited
        if limited:
            self._said += f"; {100 * limited:.0f} % of the frame would need more than the most gain"
        self._version = version.number
        return out

    def learn(self, bgr: Pixels) -> None:
        """Takes a raw frame into what is known of its light; call it before `correct`."""
        found = look(bgr)
        self._last = (_sample(bgr), found)
        if isinstance(found, Background):
            self.teach(bgr.shape[1], bgr.shape[0], found)

    def teach(self, width_px: int, height_px: int, found: Background) -> None:
        """Learns from a background that was looked at before, as a replay of frames has it."""
        if self._state.held:
            return
        profile = self._light_of(FrameKind(self._camera, width_px, height_px), found)
        profile.learn(found)
        if profile.is_due(self._now_s() - self._written_s):
            self._publish(profile)

    def undo(self) -> int:
        """Goes back to the version before the one in force, and learns no more until `resume` or `reset`.

        Returns the version now in force; 0 where there is none before it. Raises OSError.
        """
        profile = self._light or next(
            (p for p in reversed(self._profiles) if p.version is not None), None
        )
        undone = self._state.undone
        if profile is not None and profile.version is not None:
            undone = (*undone, profile.version.number)
        state = self._state.model_copy(update={"held": True, "undone": undone})
        self._store.write_state(state)
        self._state = state
        self._drop_candidates()
        if profile is None or profile.version is None:
            return 0
        gone = profile.version.number
        profile.restart_from(self._before(profile))
        profile.is_undone = profile.version is None
        self._version = 0 if profile.version is None else profile.version.number
        self._said = f"version {gone} undone; learning is held"
        self._log.info("flat_field_undone", undone=gone, version=self._version)
        return self._version

    def resume(self) -> None:
        """Learns again, from the versions in force. Raises OSError."""
        state = self._state.model_copy(update={"held": False})
        self._store.write_state(state)
        self._state = state
        for profile in self._profiles:
            profile.is_undone = False
        self._said = "learning goes on"
        self._log.info("flat_field_resumed")

    def reset(self) -> None:
        """Forgets every light of every camera and starts to learn afresh. Raises OSError."""
        state = State(least_number=self._store.next_number())
        self._store.write_state(state)
        self._store.remove_all()
        self._state = state
        self._profiles.clear()
        self._light, self._version = None, 0
        self._said = "reset: nothing is learned"
        self._log.info("flat_field_reset")

    def _look_once(self, bgr: Pixels) -> Background | Unfit:
        """The look that `learn` took of the same frame, else a new one."""
        if self._last is not None and self._last[0] == _sample(bgr):
            return self._last[1]
        return look(bgr)

    def _choose(self, kind: FrameKind, found: Background | Unfit) -> Profile | None:
        """The profile that corrects this frame, and in words why or why not."""
        usable = [
            p for p in self._profiles if p.kind == kind and (p.version is not None or p.is_undone)
        ]
        if isinstance(found, Unfit):
            last = usable[-1] if usable else None
            is_cells = found is Unfit.NO_BACKGROUND and last is not None
            self._said = f"{found.value}: " + ("the last light's field" if is_cells else "as it is")
            return last if is_cells else None
        near = [p for p in self._profiles if p.kind == kind and p.is_taught_by(found)]
        self._light = min(near, key=lambda p: p.distance(found), default=None)
        learned = 0 if self._light is None else self._light.learned
        so_far = f"{learned} frames of this light learned, {self._needed} needed"
        nearest = min(usable, key=lambda p: p.distance(found), default=None)
        if nearest is None:
            self._said = f"{so_far}: as it is"
        elif not nearest.corrects(found):
            self._said = f"the light changed: {so_far}: as it is"
            nearest = None
        elif nearest.is_undone:
            self._said = "undone: as it is"
        elif self._light is None or self._light is nearest:
            self._light = nearest
            self._said = f"corrected; {nearest.learned} frames of this light learned"
            self._saw(nearest)
        else:
            self._said = f"corrected by a light near it; {so_far}"
        return nearest

    @property
    def _needed(self) -> int:
        return self._settings.min_frames

    def _light_of(self, kind: FrameKind, background: Background) -> Profile:
        """The nearest light that the frame can be of; a new one where there is none."""
        same = [p for p in self._profiles if p.kind == kind and p.is_taught_by(background)]
        if same:
            profile = min(same, key=lambda p: p.distance(background))
            self._saw(profile)
        else:
            profile = Profile(kind, self._settings)
            known = sum(p.kind == kind for p in self._profiles)
            self._log.info("flat_field_new_light", known_lights=known)
            if len(self._profiles) >= _MOST_PROFILES:
                self._forget_one()
            self._profiles.append(profile)
        return profile

    def _saw(self, profile: Profile) -> None:
        self._profiles.remove(profile)
        self._profiles.append(profile)

    def _forget_one(self) -> None:
        """Makes room: the candidate that was not seen for longest, else the light."""
        profile = next((p for p in self._profiles if p.version is None), self._profiles[0])
        self._profiles.remove(profile)
        if profile.version is not None:
            number = profile.version.profile
            self._store.remove([v.number for v in self._store.versions() if v.profile == number])
            self._log.info("flat_field_light_forgotten", profile=number)

    def _drop_candidates(self) -> None:
        self._profiles = [p for p in self._profiles if p.version is not None or p.is_undone]

    def _publish(self, profile: Profile) -> None:
        """Makes the median a version; where it cannot be written the former one goes on."""
        shape = profile.next_shape()
        if shape is None:
            return
        assert profile.level is not None
        number = self._store.next_number()
        first = number if profile.version is None else profile.version.profile
        version = Version(
            number, first, profile.kind, shape, profile.level, profile.learned, wall_time()
        )
        self._written_s = self._now_s()
        try:
            self._store.write(version)
        except OSError as error:
            self._log.warning("flat_field_not_written", version=number, reason=str(error))
            return
        profile.version = version
        self._log.info("flat_field_version", version=number, learned=profile.learned)
        mine = [v.number for v in self._store.versions() if v.profile == first]
        self._store.remove(mine[: -self._settings.kept_versions])

    def _before(self, profile: Profile) -> Version | None:
        assert profile.version is not None
        older = [
            v
            for v in self._store.versions()
            if v.profile == profile.version.profile and v.number not in self._state.undone
        ]
        return older[-1] if older else None

    def _load(self) -> None:
        by_profile: dict[int, list[Version]] = {}
        for version in self._store.versions():
            if version.kind.camera == self._camera:
                by_profile.setdefault(version.profile, []).append(version)
        newest = sorted(by_profile.values(), key=lambda versions: versions[-1].number)
        for versions in newest[-_MOST_PROFILES:]:
            in_force = [v for v in versions if v.number not in self._state.undone]
            profile = Profile(versions[-1].kind, self._settings)
            if in_force:
                profile.restart_from(in_force[-1])
            elif self._state.held:
                profile.shape, profile.level = versions[0].shape, versions[0].level
                profile.is_undone = True
            else:
                continue
            self._profiles.append(profile)


def _kind(camera: str, bgr: Pixels) -> FrameKind:
    return FrameKind(camera, bgr.shape[1], bgr.shape[0])


def _sample(bgr: Pixels) -> bytes:
    """Enough of the pixels to know a frame again within one capture."""
    sampled: npt.NDArray[np.uint8] = bgr[::61, ::67]
    return f"{bgr.shape}".encode() + sampled.tobytes()
