"""Writes plain values as TOML, for the settings files of the demo's programs; it reads nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

Value = str | int | float | bool | Path | None | list[str] | Mapping[str, "Value"]


def toml_text(values: Mapping[str, Value], table: str = "") -> str:
    """TOML for nested tables of plain values; None is left out."""
    own = {k: v for k, v in values.items() if not isinstance(v, Mapping) and v is not None}
    tables = {k: v for k, v in values.items() if isinstance(v, Mapping)}
    lines = [f"{key} = {_scalar(value)}" for key, value in own.items()]
    parts = ["\n".join(([f"[{table}]"] if table else []) + lines)] if lines or table else []
    for key, value in tables.items():
        parts.append(toml_text(value, f"{table}.{key}" if table else key))
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(map(_scalar, value))}]"
    if isinstance(value, int | float):
        return repr(value)
    return json.dumps(str(value), ensure_ascii=False)
