"""Fixtures of the desk's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboard.review.desk import Desk
from tests.dashboard.review.desk_for_tests import Lab


@pytest.fixture
def lab(tmp_path: Path, url: str) -> Lab:
    """An empty one."""
    (tmp_path / "archive").mkdir()
    return Lab(tmp_path, url)


@pytest.fixture
def desk(lab: Lab) -> Iterator[Desk]:
    """Its desk, with one case of one field."""
    lab.file(1)
    opened = lab.desk()
    yield opened
    opened.close()
