"""A strict reader of InfluxDB's line protocol, written from its reference; what is in doubt is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass

FieldValue = float | int | bool | str
_FLOAT = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")
_INTEGER = re.compile(r"-?\d+i")
_BOOLEANS = {"true": True, "false": False}


class LineError(ValueError):
    """The line is not line protocol."""


@dataclass(frozen=True, slots=True)
class Line:
    """One point as it was written."""

    measurement: str
    tags: dict[str, str]
    fields: dict[str, FieldValue]
    timestamp_ns: int

    @property
    def series(self) -> tuple[str, tuple[tuple[str, str], ...], int]:
        """What InfluxDB overwrites by."""
        return self.measurement, tuple(sorted(self.tags.items())), self.timestamp_ns


def read_file(data: bytes) -> list[Line]:
    """Every line of a file; comments and nothing else are passed by."""
    text = data.decode("utf-8")
    if text and not text.endswith("\n"):
        raise LineError("the file ends within a line")
    return [read_line(line) for line in text.split("\n")[:-1] if not line.startswith("#")]


def read_line(line: str) -> Line:
    """One line without its line break; raises LineError."""
    if any(ord(c) < 0x20 or ord(c) == 0x7F for c in line):
        raise LineError("a control character")
    name, at = _word(line, 0, ", ", escapes=", ")
    if not name or name[0] in "_#":
        raise LineError("a measurement must have a name that does not begin with _ or #")
    tags: dict[str, str] = {}
    while line[at : at + 1] == ",":
        key, at = _word(line, at + 1, "=", escapes=",= ")
        value, at = _word(line, at + 1, ", ", escapes=",= ")
        _new(tags, key)
        if not value or value.endswith("\\"):
            raise LineError(f"tag {key}: empty, or a backslash at its end")
        tags[key] = value
    if list(tags) != sorted(tags):
        raise LineError("tags are not in order")  # not required, but what the reference advises
    fields: dict[str, FieldValue] = {}
    separator = " "
    while line[at : at + 1] == separator:
        key, at = _word(line, at + 1, "=", escapes=",= ")
        _new(fields, key)
        fields[key], at = _field(line, at + 1)
        separator = ","
    if line[at : at + 1] != " " or not fields:
        raise LineError(f"no time stamp, or no fields, at {line[at:]!r}")
    stamp = line[at + 1 :]
    if not re.fullmatch(r"-?\d{1,19}", stamp) or not -(2**63) <= int(stamp) < 2**63:
        raise LineError(f"time stamp {stamp!r}")
    return Line(name, tags, fields, int(stamp))


def _word(line: str, at: int, ends: str, *, escapes: str) -> tuple[str, int]:
    """A name or tag value up to one of `ends` that no backslash stands before."""
    found = []
    while at < len(line) and line[at] not in ends:
        if line[at] in ",= " and line[at] in escapes:
            raise LineError(f"{line[at]!r} without a backslash")
        if line[at] == "\\" and line[at + 1 : at + 2] and line[at + 1] in escapes:
            at += 1
        found.append(line[at])
        at += 1
    if at == len(line):
        raise LineError("the line ends too soon")
    return "".join(found), at


def _field(line: str, at: int) -> tuple[FieldValue, int]:
    if line[at : at + 1] == '"':
        return _string(line, at + 1)
    end = at
    while end < len(line) and line[end] not in ", ":
        end += 1
    text = line[at:end]
    if text in _BOOLEANS:
        return _BOOLEANS[text], end
    if _INTEGER.fullmatch(text):
        if not -(2**63) <= int(text[:-1]) < 2**63:
            raise LineError(f"{text}: beyond 64 bits")
        return int(text[:-1]), end
    if _FLOAT.fullmatch(text):
        return float(text), end
    raise LineError(f"field value {text!r}")


def _string(line: str, at: int) -> tuple[str, int]:
    found = []
    while at < len(line) and line[at] != '"':
        if line[at] == "\\":
            at += 1
            if line[at : at + 1] not in ('"', "\\"):
                raise LineError("a backslash before neither a quote nor a backslash")
        found.append(line[at])
        at += 1
    if at == len(line):
        raise LineError("a string without an end")
    return "".join(found), at + 1


def _new(known: dict[str, object] | dict[str, str] | dict[str, FieldValue], key: str) -> None:
    if not key or key[0] == "_" or key in known:
        raise LineError(f"key {key!r}: empty, reserved or twice")
