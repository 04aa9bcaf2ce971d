"""The tables of docs/latency.md from the schema: `python -m tests.dashboard.metrics.schema_page` writes them."""

from __future__ import annotations

import re
from pathlib import Path

from dashboard.metrics.schema import MEASUREMENTS, Measurement

PAGE = Path(__file__).parents[3] / "docs" / "latency.md"
_PART = re.compile(r"(### Measurements\n.*?\n\n)(\| measurement.*?)(?=\n### Queries)", re.DOTALL)


def tables() -> str:
    """One row for each measurement."""
    rows = ["| measurement | tags | fields |", "|---|---|---|", *map(_row, MEASUREMENTS)]
    return "\n".join(rows) + "\n"


def refreshed(page: str) -> str:
    """The page with the tables as they are now."""
    found = _PART.search(page)
    assert found is not None, "the page has lost its table of measurements"
    return page[: found.start(2)] + tables() + page[found.end(2) :]


def _row(measurement: Measurement) -> str:
    by_type: dict[str, list[str]] = {}
    for name, kind in measurement.fields.items():
        by_type.setdefault(kind.value, []).append(f"`{name}`")
    fields = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in by_type.items())
    tags = ", ".join(f"`{tag}`" for tag in measurement.tags) or "none"
    return f"| `{measurement.name}`: {measurement.meaning} | {tags} | {fields} |"


if __name__ == "__main__":
    PAGE.write_text(refreshed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
