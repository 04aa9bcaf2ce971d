"""`hemowire edge flat-field` on the files of a device where no agent runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
import structlog

from edge_device.flat_field import FlatField, FlatFieldSettings, FlatFieldStore
from hemowire.cli import main
from tests.edge_device.flat_field.pictures import frame


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """The job configures logging onto this test's own stdout, which is closed after it."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "password").write_text("x", encoding="utf-8")
    path = tmp_path / "edge.toml"
    path.write_text(
        f"""
site = "lab"
device = "scope-1"
data_dir = "{tmp_path / "data"}"
[camera]
kind = "folder"
folder = "{tmp_path}"
[flat_field]
min_frames = 3
[broker]
host = "127.0.0.1"
port = 1
username = "edge-scope-1"
password_file = "{tmp_path / "password"}"
""",
        encoding="utf-8",
    )
    return path


def learn(data_dir: Path, frames: int = 3) -> None:
    field = FlatField(data_dir / "flat_field", FlatFieldSettings(min_frames=3))
    for seed in range(frames):
        field.learn(frame(seed))


def job(config: Path, *words: str) -> int:
    return main(["edge", "flat-field", "--config", str(config), *words])


def test_show_says_that_nothing_is_learned(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert job(config, "show") == 0
    assert "nothing is learned" in capsys.readouterr().out
    assert not (config.parent / "data").exists()


def test_show_undo_resume_and_reset(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    learn(config.parent / "data")
    store = FlatFieldStore(config.parent / "data" / "flat_field")
    assert job(config, "show") == 0
    assert "in force" in capsys.readouterr().out
    assert job(config, "undo") == 0
    assert "frames stay as they are" in capsys.readouterr().out
    assert store.state().undone == (1,)
    assert job(config, "show") == 0
    assert "undone" in capsys.readouterr().out
    assert job(config, "resume") == 0
    assert not store.state().held
    assert job(config, "reset") == 0
    assert store.versions() == []


def test_report_draws_before_and_after(config: Path, tmp_path: Path) -> None:
    images, out = tmp_path / "images", tmp_path / "out"
    images.mkdir()
    for seed in range(5):
        assert cv2.imwrite(str(images / f"{seed}.png"), frame(seed))
    assert job(config, "report", "--images", str(images), "--out", str(out)) == 0
    text = (out / "report.md").read_text(encoding="utf-8")
    assert "5 of 5 frames corrected" in text
    assert "Research use only" in text
    sheet = cv2.imread(str(out / "contact_sheet.jpg"))
    assert sheet is not None
    # The right one of a pair is white where the left one is not.
    left, right = sheet[20:240, :360], sheet[20:240, 360:720]
    assert right.mean() > left.mean() + 40
    assert (out / "background_maps.png").stat().st_size > 1000


def test_report_without_images_says_where_they_would_be(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert job(config, "report", "--out", str(tmp_path / "out")) == 2
    assert "keep_raw = true" in capsys.readouterr().err
    assert job(config, "report") == 2
    assert "needs --out" in capsys.readouterr().err
