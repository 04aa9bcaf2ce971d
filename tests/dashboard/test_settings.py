"""The example configurations load, and wrong ones are refused with every problem."""

from __future__ import annotations

from pathlib import Path

import pytest

import dashboard
from dashboard.engine import StoreError, open_engine
from dashboard.settings import RecordsSettings, WatchSettings
from service_runtime.settings import SettingsError, load_settings

EXAMPLES = Path(dashboard.__file__).parent


def test_the_example_of_records_loads_and_states_the_defaults() -> None:
    settings = load_settings(RecordsSettings, EXAMPLES / "records.example.toml", environ={})
    assert settings == RecordsSettings(broker=settings.broker, archive_url="archive")
    assert settings.broker.username == "records"


def test_the_example_of_watch_loads() -> None:
    settings = load_settings(WatchSettings, EXAMPLES / "watch.example.toml", environ={})
    assert settings.name == "ward-3"
    assert settings.rows == WatchSettings(broker=settings.broker).rows


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("mysql://x/y", "sqlite:/// or postgresql://"),
        ("sqlite://", "memory is not durable"),
        ("nonsense", "not a usable database URL"),
    ],
)
def test_a_database_that_cannot_serve_is_refused_by_line(
    url: str, problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "records.toml"
    path.write_text(
        f'database_url = "{url}"\nbatch_max = 0\narchive_url = "archive"\n[broker]\nusername = "records"\n'
    )
    with pytest.raises(SettingsError) as caught:
        load_settings(RecordsSettings, path, environ={})
    shown = str(caught.value)
    assert f"{path}:1: database_url" in shown
    assert problem in shown
    assert f"{path}:2: batch_max" in shown


@pytest.mark.parametrize("url", ["postgres://u:secretpw@h/db", "oracle://u:secretpw@h/db"])
def test_a_password_of_the_database_is_never_printed(url: str, tmp_path: Path) -> None:
    path = tmp_path / "records.toml"
    path.write_text(f'database_url = "{url}"\narchive_url = "a"\n[broker]\nusername = "records"\n')
    with pytest.raises(SettingsError) as caught:
        load_settings(RecordsSettings, path, environ={})
    assert "secretpw" not in str(caught.value)
    with pytest.raises(StoreError) as refused:
        open_engine(url)
    assert "secretpw" not in str(refused.value)
    assert "secretpw" not in str(StoreError(f"records database {url}: away"))
