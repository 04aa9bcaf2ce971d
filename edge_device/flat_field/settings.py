"""What the flat-field correction is told: whether, how white, how much gain, how often it writes; it opens nothing."""

from __future__ import annotations

from pydantic import Field, model_validator

from service_runtime.settings import Settings


class FlatFieldSettings(Settings):
    """The defaults suit a fixed microscope with a lamp that is changed now and then."""

    #: Not given: on for live cameras, off for folders, whose files may come from anywhere.
    enabled: bool | None = None
    #: Level that the empty background gets in each channel; what is brighter by 255/level clips.
    white_level: int = Field(default=220, ge=128, le=245)
    #: No pixel is multiplied by more: where it would need more, it stays darker and that is said.
    max_gain: float = Field(default=3.0, ge=1.0, le=8.0)
    #: Frames of one light that are learned before the first of them is corrected.
    min_frames: int = Field(default=6, ge=2, le=1000)
    #: The field is the median over this many recent frames.
    recent_frames: int = Field(default=24, ge=3, le=200)
    #: A new version is written at most this often, once the first few are there: cards wear.
    write_every_frames: int = Field(default=200, ge=1)
    write_every_s: float = Field(default=900.0, ge=0)
    #: Versions of each light that are kept to go back to.
    kept_versions: int = Field(default=5, ge=2, le=100)
    #: Keeps what the camera gave, as lossless files in data_dir/raw, within these bounds.
    keep_raw: bool = False
    raw_days: float = Field(default=14.0, gt=0, le=3650)
    raw_max_bytes: int = Field(default=4 * 1024**3, ge=1024**2)

    @model_validator(mode="after")
    def _learns_enough(self) -> FlatFieldSettings:
        if self.min_frames > self.recent_frames:
            raise ValueError(
                f"min_frames is {self.min_frames}, more than recent_frames ({self.recent_frames})"
            )
        return self

    def is_on(self, camera_is_live: bool) -> bool:
        """Whether frames of this camera are corrected."""
        return camera_is_live if self.enabled is None else self.enabled
