"""The numbers of a review: the table `[review]` of dashboard.toml; it decides nothing."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from service_runtime.settings import Settings

LONGEST_COMMENT: Final = 4000


class ReviewSettings(Settings):
    """How long an answer can be taken back, and how long a comment may be."""

    #: An answer is signed when so many seconds have passed without its undo.
    undo_s: float = Field(default=10.0, ge=0, le=600)
    #: Characters of a comment; more are refused, not cut.
    comment_max: int = Field(default=500, ge=0, le=LONGEST_COMMENT)
    #: A microscope that does not answer a retake command within so long is said to be silent.
    retake_wait_s: float = Field(default=15.0, gt=0, le=300)
