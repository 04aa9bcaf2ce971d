"""The command line names what it can do and loads only what was asked for."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from hemowire.cli import COMMANDS, main
from hemowire.demo.options import OptionsError, add_arguments, read_options


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_prints_its_help_and_says_research_use_only(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert "Research use only" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_module_has_the_two_functions(command: str) -> None:
    module = importlib.import_module(f"hemowire.commands.{command}")
    assert callable(module.add_arguments)
    assert callable(module.run)


def test_asking_for_help_imports_no_heavy_package() -> None:
    script = (
        "import sys\nfrom hemowire.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'cv2', 'numpy', 'openvino', 'sqlalchemy', 'paho'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--devices", "0"], "--devices 0"),
        (["--count", "0"], "--count 0"),
        (["--images", "/no/such/folder"], "/no/such/folder"),
        (["--exit"], "--exit"),
        (["--rate", "fast"], "--rate fast"),
        (["--um-per-px", "-1"], "--um-per-px -1"),
    ],
)
def test_a_wrong_demo_option_is_named_with_its_limit(arguments: list[str], names: str) -> None:
    import argparse

    parser = argparse.ArgumentParser()
    add_arguments(parser)
    with pytest.raises(OptionsError, match=names):
        read_options(parser.parse_args(arguments))
