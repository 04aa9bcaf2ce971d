"""Every command that the README shows is one that exists, with options that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from hemowire.cli import COMMANDS, read_arguments
from hemowire.demo.options import read_options

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
_SHOWN = re.compile(r"^ {4}(?:\.venv/bin/)?hemowire (.+?)(?: {3,}.*)?$", re.MULTILINE)
_MADE = re.compile(r"^ {4}make demo ARGS=\"(.+?)\"", re.MULTILINE)
_LINKS = re.compile(r"\]\((?!https?:)([^)#]+)\)")


@pytest.mark.parametrize("shown", _SHOWN.findall(README))
def test_each_command_of_the_readme_is_understood(shown: str) -> None:
    words = shlex.split(shown)
    assert words[0] in COMMANDS
    read_arguments(words)


@pytest.mark.parametrize("arguments", _MADE.findall(README))
def test_each_demo_of_the_readme_is_understood(arguments: str) -> None:
    words = ["demo", *shlex.split(arguments)]
    read_arguments(words)


def test_the_readme_opens_with_what_it_is_and_says_research_use_only() -> None:
    lines = README.splitlines()
    assert lines[0] == "# hemowire"
    assert "Research use only, not for diagnosis." in README
    assert "<!--" not in README
    assert len(_SHOWN.findall(README)) >= 8
    assert len(_MADE.findall(README)) >= 1


@pytest.mark.parametrize("target", sorted(set(_LINKS.findall(README))))
def test_each_link_of_the_readme_leads_somewhere(target: str) -> None:
    assert (ROOT / target).exists()


def test_the_readme_s_first_demo_options_are_accepted() -> None:
    words = ["demo", "--count", "40", "--exit"]
    options = read_options(read_arguments(words))
    assert options.count == 40
    assert options.exit
