"""A scenario as the TOML file that would ask for it again, with every default written out; pure."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.load.scenario import Scenario


def scenario_toml(scenario: Scenario) -> str:
    """Text that load_scenario reads back as the same scenario."""
    content = scenario.model_dump(mode="json", exclude_none=True)
    lines: list[str] = []
    _write(content, "", lines)
    return "\n".join(lines).strip() + "\n"


def _write(content: dict[str, Any], prefix: str, lines: list[str]) -> None:
    tables = {key: value for key, value in content.items() if isinstance(value, dict)}
    lists = {
        key: value
        for key, value in content.items()
        if isinstance(value, list) and value and isinstance(value[0], dict)
    }
    for key, value in content.items():
        if key not in tables and key not in lists:
            lines.append(f"{key} = {_value(value)}")
    for key, value in tables.items():
        lines += ["", f"[{prefix}{key}]"]
        _write(value, f"{prefix}{key}.", lines)
    for key, several in lists.items():
        for value in several:
            lines += ["", f"[[{prefix}{key}]]"]
            _write(value, f"{prefix}{key}.", lines)


def _value(value: Any) -> str:
    """JSON's strings, numbers, booleans and lists of them are TOML's."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
