"""A laboratory with an archive, and a dashboard.toml over it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.dashboard.review.desk_for_tests import KEY, Lab


@pytest.fixture
def lab(tmp_path: Path, url: str) -> Lab:
    (tmp_path / "archive").mkdir()
    return Lab(tmp_path, url)


@pytest.fixture
def config(lab: Lab) -> str:
    path = lab.folder / "dashboard.toml"
    (lab.folder / "audit.key").write_text(KEY.hex())
    path.write_text(
        f'database_url = "{lab.url}"\narchive_url = "{lab.folder}/archive"\n'
        f'[accounts]\naudit_key_file = "{lab.folder}/audit.key"\n'
    )
    return str(path)
