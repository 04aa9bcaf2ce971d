"""Points and their lines in InfluxDB's line protocol; it writes nothing that a strict reader refuses.

What line protocol cannot carry is left out (an empty tag, NaN, infinity, an integer beyond 64
bits) or replaced: line breaks and control characters by a space, and a backslash in a tag by a
slash, since at a tag's end it would escape what follows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from dashboard.metrics.schema import FieldType, Measurement

FieldValue = float | int | bool | str
MAX_TAG: Final = 128
MAX_STRING: Final = 1024
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_INTEGERS = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class Point:
    """One point; None and empty tags are left out of its line."""

    measurement: Measurement
    tags: Mapping[str, str]
    fields: Mapping[str, FieldValue | None]


def line_of(point: Point, timestamp_ns: int) -> str | None:
    """Its line without a line break, or None where no field is left; KeyError off the schema."""
    measurement = point.measurement
    for name in point.tags:
        if name not in measurement.tags:
            raise KeyError(f"{measurement.name}: tag {name} is not in the schema")
    tags = [f"{name}={_tag(text)}" for name, text in sorted(point.tags.items()) if _tag(text)]
    fields = []
    for name, value in point.fields.items():
        written = None if value is None else _field(value, measurement.type_of(name))
        if written is not None:
            fields.append(f"{name}={written}")
    if not fields:
        return None
    return f"{','.join([measurement.name, *tags])} {','.join(fields)} {timestamp_ns}"


def _tag(text: str) -> str:
    plain = _CONTROL.sub(" ", text)[:MAX_TAG].strip().replace("\\", "/")
    return re.sub(r"([,= ])", r"\\\1", plain)


def _field(value: FieldValue, kind: FieldType) -> str | None:
    match kind:
        case FieldType.FLOAT:
            number = float(value)
            return repr(number) if math.isfinite(number) else None
        case FieldType.INTEGER:
            whole = int(value)
            return f"{whole}i" if whole in _INTEGERS else None
        case FieldType.BOOLEAN:
            return "true" if value else "false"
        case FieldType.STRING:
            plain = _CONTROL.sub(" ", str(value))[:MAX_STRING]
            return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
