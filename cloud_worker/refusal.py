"""Why an image gets no class, with the words a person reads; refuses nothing by itself.

`text` gives value, limit and next step, as in "3 white cells, at least 50 needed. Capture more
fields."; the diagnosis puts "Cannot say: " in front of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from wire_protocol.json_messages import Reason


@dataclass(frozen=True, slots=True)
class Refusal:
    """A named reason and a sentence of value, limit and next step."""

    reason: Reason
    text: str
