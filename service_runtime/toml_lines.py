"""The line on which each key of a TOML text stands, for messages; values are tomllib's business."""

from __future__ import annotations

import re

KeyPath = tuple[str, ...]

_TABLE = re.compile(r"^\s*\[\[?\s*(?P<name>[^\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(
    r"""^\s*(?P<name>(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*="""
)
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")
_TRIPLE = re.compile(r'"""|\'\'\'')


def key_lines(text: str) -> dict[KeyPath, int]:
    """Line numbers from 1 of tables and keys; an entry of an array of tables carries its index."""
    lines: dict[KeyPath, int] = {}
    counts: dict[KeyPath, int] = {}
    table: KeyPath = ()
    inside: str | None = None  # the triple quote that is open
    for number, line in enumerate(text.splitlines(), 1):
        was_inside = inside
        for mark in _TRIPLE.findall(line):
            inside = mark if inside is None else (None if mark == inside else inside)
        if was_inside is not None:
            continue
        if match := _TABLE.match(line):
            table = _parts(match["name"])
            if line.lstrip().startswith("[["):
                counts[table] = counts.get(table, -1) + 1
                table = (*table, str(counts[table]))
            lines.setdefault(table, number)
        elif match := _KEY.match(line):
            key = (*table, *_parts(match["name"]))
            for depth in range(len(table) + 1, len(key) + 1):
                lines.setdefault(key[:depth], number)
    return lines


def _parts(name: str) -> KeyPath:
    return tuple(part.strip("\"'") for part in _PART.findall(name))
