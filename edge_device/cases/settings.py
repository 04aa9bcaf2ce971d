"""How cases open and close by themselves, and which ids a lab uses; it opens nothing."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from service_runtime.settings import Settings


def _check_pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return text


Pattern = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_check_pattern)]


class CaseSettings(Settings):
    """The table `[cases]`."""

    #: A case without a capture for so long closes by itself.
    idle_close_s: float = Field(default=1800.0, gt=0, le=86_400)
    #: The folder of each file below camera.folder names its case; other files are unfiled.
    from_folder: bool = False
    #: Read barcodes and QR codes of slide labels in the pictures; None: of live cameras only.
    read_codes: bool | None = None
    #: The lab's own form of ids, as "^S[0-9]{6}$"; the whole id must match. It comes on top of the
    #: general form and of what `case_ids` refuses always, and replaces what it refuses by default.
    pattern: Pattern | None = None
    #: No capture without an open case; else such captures are "unfiled".
    required: bool = False
