"""What compose.yaml says, read as data, with its merge keys resolved; it starts nothing."""

from __future__ import annotations

import functools
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
#: Services whose program is one of ours, with the settings model's name and the file's name.
PROGRAMS = {
    "records": "records.toml",
    "worker": "worker.toml",
    "worker-gpu": "worker.toml",
    "scope-1": "edge.toml",
    "scope-2": "edge.toml",
    "watch": "watch.toml",
    "metrics": "metrics.toml",
}


@functools.cache
def compose() -> dict[str, Any]:
    """The whole file; skips the test where there is no PyYAML."""
    return load_yaml(ROOT / "compose.yaml")


def load_yaml(path: Path) -> dict[str, Any]:
    """A YAML file; skips the test where there is no PyYAML."""
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed: YAML files are not read")
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


def services() -> dict[str, dict[str, Any]]:
    """All services, those of profiles included."""
    return dict(compose()["services"])


def stays(service: dict[str, Any]) -> bool:
    """Whether it runs on; the others do one thing and end."""
    return service["restart"] != "no" or "profiles" in service


@functools.cache
def project() -> dict[str, Any]:
    """pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def mounts(service: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """Source, target and whether it is read-only, of each of its volumes."""
    found = []
    for text in service.get("volumes", []):
        source, target, *mode = text.split(":")
        found.append((source, target, mode == ["ro"]))
    return found
