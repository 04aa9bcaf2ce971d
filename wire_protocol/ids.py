"""Names of things on the wire, checked wherever they enter; nothing here invents an id."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

LEVEL_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
OPERATOR_PATTERN = r"^[a-z][a-z0-9._-]{0,31}$"
HEX128_PATTERN = r"^[0-9a-f]{32}$"
SHA256_PATTERN = r"^[0-9a-f]{64}$"
#: Case ids are opaque: 4 to 16 capitals, digits and dashes with at least one digit, or "unfiled".
CASE_PATTERN = r"^(unfiled|(?=[A-Z-]*[0-9])[A-Z0-9][A-Z0-9-]{3,15})$"
#: RFC 3339 in UTC; nothing else fits, so no free text can travel as a time.
WALL_TIME_PATTERN = (
    r"^[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9](\.[0-9]{1,9})?(Z|\+00:00)$"
)
ATTEMPT_MAX = 2**64 - 1

Level = Annotated[str, StringConstraints(pattern=LEVEL_PATTERN)]
Hex128 = Annotated[str, StringConstraints(pattern=HEX128_PATTERN)]
WallTime = Annotated[str, StringConstraints(pattern=WALL_TIME_PATTERN)]
Sha256 = Annotated[str, StringConstraints(pattern=SHA256_PATTERN)]
#: A level of a topic (site, device, worker): pydantic's regex engine has no look-ahead, so the
#: case pattern is checked by `wire_protocol.manifest`.
Site = Level
Device = Level
Worker = Level
#: Who did something: an account of the lab's own list, never a person's own name: no blank and no
#: capital fits.
Operator = Annotated[str, StringConstraints(pattern=OPERATOR_PATTERN)]
ImageId = Hex128
OutboxId = Hex128
StoreId = Hex128
Incarnation = Hex128
#: 64 random bits, one per offer, compared for equality only.
Attempt = Annotated[int, Field(ge=1, le=ATTEMPT_MAX)]
