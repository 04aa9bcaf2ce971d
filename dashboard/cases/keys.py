"""How a case is named in the database, in links and in the change feed; pure.

A case id is the site's own, so the site belongs to its name: `lab.C7F3K2`. A field that was filed
under no case stands for itself (`lab.unfiled.<image_id>`): two unfiled fields may be two people's,
they are never combined.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from wire_protocol.ids import CASE_PATTERN, HEX128_PATTERN, LEVEL_PATTERN
from wire_protocol.manifest import UNFILED

_SITE = re.compile(LEVEL_PATTERN)
_CASE = re.compile(CASE_PATTERN)
_IMAGE = re.compile(HEX128_PATTERN)


@dataclass(frozen=True, slots=True, order=True)
class CaseKey:
    """A case of a site, or one unfiled field of it."""

    site: str
    case_id: str
    #: Of an unfiled field only.
    image_id: str = ""

    @property
    def text(self) -> str:
        """As it stands in links and in the feed."""
        parts = (self.site, self.case_id, self.image_id)
        return ".".join(part for part in parts if part)

    @property
    def is_filed(self) -> bool:
        """Whether it is a case that a lab opened."""
        return self.case_id != UNFILED


def case_key(site: str, case_id: str, image_id: str) -> CaseKey:
    """The case that an image belongs to."""
    return CaseKey(site, case_id, image_id if case_id == UNFILED else "")


def parse_case_key(text: str) -> CaseKey | None:
    """The key in a link, or None where it is none: nothing else of a link reaches a query."""
    parts = text.split(".")
    if len(parts) not in (2, 3) or not _SITE.fullmatch(parts[0]) or not _CASE.fullmatch(parts[1]):
        return None
    if (parts[1] == UNFILED) != (len(parts) == 3):
        return None
    if len(parts) == 3 and not _IMAGE.fullmatch(parts[2]):
        return None
    return CaseKey(*parts)
