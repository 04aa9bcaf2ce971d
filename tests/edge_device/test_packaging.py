"""The `edge` extra installs from wheels on a 64-bit Raspberry Pi: nothing is ever compiled there."""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

ROOT = Path(__file__).parents[2]
PYTHONS = ((3, 11), (3, 12), (3, 13))
#: Raspberry Pi OS 12 has glibc 2.36.
GLIBC_MINORS = range(28, 16, -1)
#: Some hundred MB that a microscope has no room or use for.
NOT_ON_A_DEVICE = {"torch", "torchvision", "openvino", "sqlalchemy", "onnx", "scikit-learn"}


def locked() -> dict[str, list[dict[str, Any]]]:
    packages: dict[str, list[dict[str, Any]]] = {}
    for package in tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]:
        packages.setdefault(package["name"], []).append(package)
    return packages


def environment(python: tuple[int, int]) -> dict[str, str]:
    version = f"{python[0]}.{python[1]}"
    return {
        "python_version": version,
        "python_full_version": f"{version}.0",
        "platform_machine": "aarch64",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "extra": "",
    }


def applies(dependency: dict[str, Any], python: tuple[int, int]) -> bool:
    return "marker" not in dependency or Marker(dependency["marker"]).evaluate(environment(python))


def resolve(extra: str, python: tuple[int, int]) -> dict[str, dict[str, Any]]:
    """Every locked package that `hemowire[extra]` needs there, by name."""
    packages, found = locked(), {}
    own = packages["hemowire"][0]
    waiting = [*own["dependencies"], *own["optional-dependencies"][extra]]
    while waiting:
        wanted = waiting.pop()
        if wanted["name"] in found or not applies(wanted, python):
            continue
        versions = packages[wanted["name"]]
        package = next(
            one for one in versions if wanted.get("version", one["version"]) == one["version"]
        )
        found[wanted["name"]] = package
        waiting += package.get("dependencies", [])
    return found


def tags_of_a_pi(python: tuple[int, int]) -> frozenset[Tag]:
    platforms = [f"manylinux_2_{minor}_aarch64" for minor in GLIBC_MINORS]
    platforms += ["manylinux2014_aarch64"]
    interpreter = f"cp{python[0]}{python[1]}"

    def every() -> Iterator[Tag]:
        yield from cpython_tags(python, platforms=platforms)
        yield from compatible_tags(python, interpreter=interpreter, platforms=platforms)

    return frozenset(every())


@pytest.mark.parametrize("python", PYTHONS)
def test_every_package_of_the_device_has_a_wheel_for_aarch64(python: tuple[int, int]) -> None:
    wanted = resolve("edge", python)
    assert {"numpy", "opencv-python-headless", "paho-mqtt", "pydantic-core"} <= set(wanted)
    fitting = tags_of_a_pi(python)
    without = [
        name
        for name, package in wanted.items()
        if not any(
            parse_wheel_filename(wheel["url"].rsplit("/", 1)[1])[3] & fitting
            for wheel in package.get("wheels", [])
        )
    ]
    assert without == []


def test_the_check_notices_a_package_that_has_no_such_wheel() -> None:
    """OpenVINO's own list of wheels for Windows stands for any package that a Pi cannot install."""
    wheel = "openvino-2026.4.0-1-cp311-cp311-win_amd64.whl"
    assert not parse_wheel_filename(wheel)[3] & tags_of_a_pi((3, 11))


def test_the_device_needs_no_classifier_and_no_database_server() -> None:
    for python in PYTHONS:
        assert NOT_ON_A_DEVICE.isdisjoint(resolve("edge", python))


@pytest.mark.slow
@pytest.mark.parametrize("python", PYTHONS)
def test_uv_resolves_the_extra_for_a_pi_from_wheels_only(python: tuple[int, int]) -> None:
    uv = shutil.which("uv")
    if uv is None or subprocess.run([uv, "--version"], capture_output=True, check=False).returncode:
        pytest.skip("no uv on the path")
    done = subprocess.run(
        [uv, "pip", "compile", "--no-python-downloads", "--only-binary", ":all:",
         "--python-platform", "aarch64-manylinux_2_28",
         "--python-version", f"{python[0]}.{python[1]}", "--extra", "edge", "pyproject.toml"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "dns error" in done.stderr or "Connect" in done.stderr:
        pytest.skip("no network to the package index")
    assert done.returncode == 0, done.stderr
    assert "opencv-python-headless==" in done.stdout
