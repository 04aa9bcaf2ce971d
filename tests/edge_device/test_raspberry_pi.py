"""The files that a Raspberry Pi gets: systemd takes them, they lock the agent in, and they agree with the agent."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from edge_device.settings import EdgeSettings
from hemowire.cli import read_arguments
from service_runtime import program
from service_runtime.settings import load_settings

FOLDER = Path(__file__).parents[2] / "edge_device" / "raspberry_pi"
UNIT = FOLDER / "hemowire-edge.service"
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze to ask"
)


def values(key: str) -> list[str]:
    """All values of a key of the unit."""
    return re.findall(rf"^{key}=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)


@needs_systemd
def test_systemd_understands_every_line_of_the_unit(tmp_path: Path) -> None:
    text = UNIT.read_text(encoding="utf-8")
    copy = tmp_path / UNIT.name  # with a program that is here, and a user that is here
    copy.write_text(
        re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE)
        .replace("User=hemowire", "User=root")
        .replace("Group=hemowire", "Group=root")
    )
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert UNIT.name not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr


@needs_systemd
def test_the_agent_is_locked_in() -> None:
    """systemd's own measure of exposure, 0 to 10: an ordinary service has more than 9."""
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNIT)],
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    assert float(found.group(1)) <= 2.5


def test_the_unit_starts_the_agent_as_the_command_line_knows_it() -> None:
    _program, *arguments = shlex.split(values("ExecStart")[0])
    args = read_arguments(arguments)
    assert (args.command, args.job, args.config) == ("edge", "run", Path("/etc/hemowire/edge.toml"))


def test_the_settings_of_a_pi_are_settings_of_an_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("HEMOWIRE_")]:
        monkeypatch.delenv(name)
    settings = load_settings(EdgeSettings, FOLDER / "edge.toml")
    assert settings.camera.kind == "picamera2"
    # Nothing but the data directory may be written to: the unit says so.
    assert settings.data_dir == Path("/var/lib") / values("StateDirectory")[0]
    assert settings.broker.ca_file is not None
    # What `hemowire edge calibrate` learns must not be covered by limits that are written here.
    assert settings.um_per_px is None and settings.gate.model_fields_set == set()


def test_systemd_does_not_start_again_what_a_person_must_mend() -> None:
    kept_down = {int(code) for code in values("RestartPreventExitStatus")[0].split()}
    assert kept_down == {program.WRONG_CONFIGURATION, program.TAKEN_OVER}


def test_the_unit_watches_and_bounds_the_agent() -> None:
    assert values("Type") == ["notify"]
    assert int(values("WatchdogSec")[0]) > 0
    assert values("ProtectSystem") == ["strict"]
    assert values("StateDirectory") == ["hemowire"]
    journal = (FOLDER / "journald@hemowire.conf").read_text(encoding="utf-8")
    assert values("LogNamespace") == ["hemowire"]
    assert re.search(r"^(Runtime|System)MaxUse=\d+M$", journal, re.MULTILINE)
