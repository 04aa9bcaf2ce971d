"""`hemowire edge calibrate` on the files of a device: what it learns, shows and takes back, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
import structlog

from edge_device.calibration import load_calibration
from hemowire.cli import main
from tests.edge_device.calibration.frames import blurred, field, micrometer

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """The job configures logging onto this test's own stdout, which is closed after it."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_config(tmp_path)


def write_config(folder: Path, um_per_px: str = "", gate: str = "") -> Path:
    (folder / "password").write_text("x", encoding="utf-8")
    path = folder / "edge.toml"
    path.write_text(
        f"""
site = "lab"
device = "scope-1"
data_dir = "{folder / "data"}"
{um_per_px}
[camera]
kind = "folder"
folder = "{folder}"
[gate]
{gate}
[broker]
host = "127.0.0.1"
port = 1
username = "edge-scope-1"
password_file = "{folder / "password"}"
""",
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """good/ and bad/ with three simulated fields each, sharp and out of focus."""
    folder = tmp_path_factory.mktemp("frames")
    for name in ("good", "bad", "empty"):
        (folder / name).mkdir()
    for index in range(3):
        image = field(index)
        cv2.imwrite(str(folder / "good" / f"{index}.png"), image)
        cv2.imwrite(str(folder / "bad" / f"{index}.png"), blurred(image))
    return folder


def job(config: Path, *words: str | Path) -> int:
    given = [str(word) for word in words]
    return main(["edge", "calibrate", "--config", str(config), "--operator", "lab.jane", *given])


def learn(config: Path, frames: Path, *more: str | Path) -> int:
    return job(config, "--good", frames / "good", "--bad", frames / "bad", *more)


def test_good_and_bad_frames_give_limits_and_red_cells_the_scale_at_once(
    config: Path, frames: Path, capsys: Capture
) -> None:
    assert learn(config, frames, "--red-cells", frames / "good") == 0
    out = capsys.readouterr().out
    assert "Calibration 1, made 20" in out and "by lab.jane" in out
    assert "pass 3 of the 3 good frames and refuse 3 of the 3 bad ones" in out
    assert "No agent runs here now; its next start uses this." in out
    made = load_calibration(config.parent / "data")
    assert made is not None and made.scale is not None
    assert made.scale.um_per_px == pytest.approx(0.2, rel=0.15) and made.scale.pictures == 3
    assert f"{made.scale.um_per_px:.4f} um per pixel, from {made.scale.count} red cells" in out
    # Frames were scored at the new scale: at an unknown one the same frames give another limit.
    other = write_config(config.parent)
    job(other, "--undo")
    assert learn(other, frames) == 0
    without = load_calibration(config.parent / "data")
    assert without is not None
    assert without.limits["min_focus"].limit != made.limits["min_focus"].limit


def test_show_changes_nothing_and_says_what_edge_toml_wins_over(
    config: Path, frames: Path, capsys: Capture
) -> None:
    assert job(config, "--show") == 0
    assert "No calibration" in capsys.readouterr().out
    assert not (config.parent / "data").exists()
    assert learn(config, frames, "--red-cells", frames / "good") == 0
    own = write_config(config.parent, "um_per_px = 0.3", "min_focus = 4")
    before = (config.parent / "data" / "calibration.json").read_bytes()
    capsys.readouterr()
    assert job(own, "--show") == 0
    out = capsys.readouterr().out
    assert "edge.toml, wins over" in out
    assert "Scale: 0.3000 um per pixel, as edge.toml says. Not used: 0." in out
    assert (config.parent / "data" / "calibration.json").read_bytes() == before


def test_a_limit_of_edge_toml_that_passes_a_bad_frame_is_told(
    tmp_path: Path, frames: Path, capsys: Capture
) -> None:
    assert learn(write_config(tmp_path, gate="min_focus = 0"), frames) == 0
    out = capsys.readouterr().out
    assert "refuse 0 of the 3 bad ones" in out and "bad, but passed: 0.png, 1.png, 2.png" in out


def test_a_micrometer_gives_the_scale_and_keeps_no_limits_of_another(
    config: Path, frames: Path, tmp_path: Path, capsys: Capture
) -> None:
    picture = tmp_path / "micrometer.png"
    cv2.imwrite(str(picture), micrometer(50, 20))
    assert learn(config, frames, "--micrometer", picture) == 0
    assert job(config, "--micrometer", picture) == 0
    out = capsys.readouterr().out
    assert "divisions of a micrometer" in out and "the limits learned at the old one" not in out
    assert job(config, "--micrometer", picture, "--division-um", "100") == 0
    out = capsys.readouterr().out
    assert "The scale is another: the limits learned at the old one are dropped." in out
    made = load_calibration(config.parent / "data")
    assert made is not None and made.scale is not None and made.limits == {}
    assert made.scale.um_per_px == pytest.approx(2.0, rel=0.005)


def test_undo_takes_the_last_one_back_and_says_when_there_is_none(
    config: Path, frames: Path, capsys: Capture
) -> None:
    assert learn(config, frames) == 0
    assert job(config, "--undo") == 0
    assert "No calibration" in capsys.readouterr().out
    assert job(config, "--undo") == 1
    assert "there is no calibration to take back" in capsys.readouterr().err


def test_a_damaged_file_is_named_and_undo_gets_rid_of_it(
    config: Path, frames: Path, capsys: Capture
) -> None:
    assert learn(config, frames) == 0
    assert learn(config, frames) == 0
    (config.parent / "data" / "calibration.json").write_text('{"version": 1', encoding="utf-8")
    assert job(config, "--show") == 1
    error = capsys.readouterr().err
    assert "calibration.json cannot be used" in error and "--undo" in error
    assert learn(config, frames) == 1, "what is damaged is not written over"
    assert job(config, "--undo") == 0
    assert "Calibration 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "nothing to learn from"),
        (["--good", "good"], 2, "--good and --bad go together"),
        (["--good", "nowhere", "--bad", "bad"], 2, "nowhere is no folder"),
        (["--micrometer", "good"], 2, "good is no file"),
        (["--micrometer", "good/0.png", "--red-cells", "good"], 2, "choose one"),
        (["--micrometer", "good/0.png", "--division-um", "0"], 2, "--division-um is 0"),
        (["--show", "--undo"], 2, "do one at a time"),
        (["--undo", "--red-cells", "good"], 2, "do one at a time"),
        (["--red-cells", "good", "--operator", "Jane Doe"], 2, "'Jane Doe' is no operator's name"),
        (["--good", "empty", "--bad", "bad"], 1, "empty holds no pictures"),
        (["--good", "good", "--bad", "two"], 1, "3 good and 2 bad frames: at least 3"),
        (["--good", "good", "--bad", "good"], 1, "overlap: 3 of 3 bad frames"),
        (["--good", "good", "--bad", "torn"], 1, "torn/0.png cannot be read as a picture"),
        (["--red-cells", "flat"], 1, "no field shows clear red cells"),
        (["--micrometer", "good/0.png"], 1, "micrometer"),
    ],
)
def test_what_cannot_be_learned_from_is_refused_in_words_and_changes_nothing(
    config: Path,
    frames: Path,
    capsys: Capture,
    *,
    words: list[str],
    code: int,
    said: str,
) -> None:
    for name in ("two", "torn", "flat"):
        (frames / name).mkdir(exist_ok=True)
    for index in range(2):
        cv2.imwrite(str(frames / "two" / f"{index}.png"), blurred(field(index)))
    (frames / "torn" / "0.png").write_bytes((frames / "good" / "0.png").read_bytes()[:100])
    cv2.imwrite(str(frames / "flat" / "0.png"), blurred(field(0), 20))
    at = [str(frames / w) if i and words[i - 1] in _TAKE_PATHS else w for i, w in enumerate(words)]
    assert job(config, *at) == code
    assert said in capsys.readouterr().err
    assert not (config.parent / "data" / "calibration.json").exists()


_TAKE_PATHS = {"--good", "--bad", "--micrometer", "--red-cells"}


def test_wrong_settings_are_exit_2(tmp_path: Path, capsys: Capture) -> None:
    assert job(tmp_path / "none.toml", "--show") == 2
    assert "none.toml" in capsys.readouterr().err


def test_an_old_measures_focus_limit_is_shown_not_to_hold(config: Path, capsys: Capture) -> None:
    data = config.parent / "data"
    data.mkdir()
    (data / "calibration.json").write_text(
        '{"version": 1, "limits": {"min_focus": {"limit": 17.5, "worst_good": 25, "best_bad": 12}}}'
    )
    assert main(["edge", "calibrate", "--config", str(config), "--show"]) == 0
    out = capsys.readouterr().out
    assert "focus limit 17.5 was learned with an older measure of focus and does not hold" in out
    [row] = [line for line in out.splitlines() if line.strip().startswith("min_focus")]
    assert row.endswith("default")
