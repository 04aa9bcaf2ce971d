"""compose.yaml: what its tools accept, and what we promise of every service in it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.deploy.compose_tools import find_compose_tools
from tests.deploy.deployment import ROOT, compose, mounts, project, services, stays


def test_the_compose_programs_of_this_machine_accept_the_file() -> None:
    tools = find_compose_tools()
    if not tools:
        pytest.skip(
            "neither docker compose nor docker-compose is here (apt install docker-compose)"
        )
    for tool in tools:
        done = tool.run("--profile", "gpu", "--profile", "watch", "config", "--quiet", cwd=ROOT)
        assert (done.returncode, done.stderr) == (0, ""), tool.command


def test_a_compose_program_refuses_what_is_no_compose_file(tmp_path: Path) -> None:
    tools = find_compose_tools()
    if not tools:
        pytest.skip(
            "neither docker compose nor docker-compose is here (apt install docker-compose)"
        )
    (tmp_path / "compose.yaml").write_text("services: {broker: {imago: eclipse-mosquitto:2.1.2}}\n")
    for tool in tools:
        assert tool.run("config", "--quiet", cwd=tmp_path).returncode != 0


def test_every_service_that_stays_has_a_health_check_and_every_other_one_is_waited_for() -> None:
    waited_for = {
        name
        for service in services().values()
        for name, what in service.get("depends_on", {}).items()
        if what["condition"] == "service_completed_successfully"
    }
    for name, service in services().items():
        if stays(service):
            check = service["healthcheck"]
            assert check["test"][0] in ("CMD", "CMD-SHELL"), name
            assert {"interval", "timeout", "retries", "start_period"} <= set(check), name
        else:
            assert name in waited_for


def test_nobody_waits_for_a_service_whose_profile_is_off() -> None:
    for name, service in services().items():
        for other in service.get("depends_on", {}):
            assert "profiles" not in services()[other], name


def test_images_of_others_have_exact_versions() -> None:
    others = {s["image"] for s in services().values() if not s["image"].startswith("hemowire-")}
    for image in others:
        assert re.fullmatch(r"[a-z/-]+:\d+\.\d+\.\d+(-[a-z]+)?", image), image
    wanted = {"eclipse-mosquitto:2.1", "influxdb:2", "grafana/grafana:"}
    assert all(any(image.startswith(start) for image in others) for start in wanted)


def test_each_of_our_images_has_our_version_and_is_built_once() -> None:
    version = project()["project"]["version"]
    ours = [s for s in services().values() if s["image"].startswith("hemowire-")]
    assert {s["image"].partition(":")[2] for s in ours} == {version}
    for image in {s["image"] for s in ours}:
        builds = [s["build"] for s in ours if s["image"] == image and "build" in s]
        assert len(builds) == 1, image
        # The recipe has a stage of that name.
        dockerfile = (ROOT / builds[0]["dockerfile"]).read_text(encoding="utf-8")
        assert re.search(rf"^FROM program AS {builds[0]['target']}$", dockerfile, re.MULTILINE)


def test_every_container_is_confined() -> None:
    for name, service in services().items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["user"].partition(":")[0] not in ("", "0", "root"), name
        assert {"mem_limit", "pids_limit", "init", "logging", "tmpfs"} <= set(service), name
        assert not {"privileged", "cap_add", "devices", "pid", "ipc"} & set(service), name


def test_what_is_kept_is_in_named_volumes_and_all_else_is_read_only() -> None:
    used = set()
    for name, service in services().items():
        for source, target, is_read_only in mounts(service):
            assert target.startswith("/"), name
            if source.startswith("."):
                assert is_read_only, f"{name}: {source}"
                assert (ROOT / source).exists(), f"{name}: {source}"
            else:
                used.add(source)
    assert used == set(compose()["volumes"])


def test_folders_that_images_of_others_declare_as_volumes_are_named_or_in_memory() -> None:
    declared = {
        "broker": {"/mosquitto/data", "/mosquitto/log"},
        "influxdb": {"/var/lib/influxdb2", "/etc/influxdb2"},
    }
    for name, folders in declared.items():
        service = services()[name]
        covered = {target for _, target, _ in mounts(service)}
        covered |= {text.partition(":")[0] for text in service["tmpfs"]}
        assert folders <= covered


def test_a_volume_is_written_by_one_service_and_the_archive_by_workers_only() -> None:
    writers: dict[str, set[str]] = {}
    for name, service in services().items():
        for source, _, is_read_only in mounts(service):
            if not (is_read_only or source.startswith(".")):
                writers.setdefault(source, set()).add(name)
    assert writers.pop("archive") == {"worker", "worker-gpu"}
    assert all(len(names) == 1 for names in writers.values()), writers


def test_ports_are_bound_to_loopback_and_programs_have_no_way_out() -> None:
    networks = compose()["networks"]
    open_networks = {name for name, what in networks.items() if not what.get("internal")}
    for name, service in services().items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), name
        if open_networks & set(service.get("networks", [])):
            assert "ports" in service, f"{name} can reach out and offers nothing"
    assert {name for name, s in services().items() if "ports" in s} == {"broker", "grafana"}


def test_no_secret_is_in_the_file_and_git_ignores_the_folder() -> None:
    default = re.compile(r"\$\{HEMOWIRE_SECRETS:-\./deploy/secrets\}/([a-z0-9-]+)")
    for name, what in compose()["secrets"].items():
        match = default.fullmatch(what["file"])
        assert match and match[1] == name
    for name, service in services().items():
        for key, value in service.get("environment", {}).items():
            if re.search("PASSWORD|TOKEN|SECRET", key):
                assert str(value).startswith("/run/secrets/"), f"{name}: {key}"
    used = {secret for s in services().values() for secret in s.get("secrets", [])}
    assert used == set(compose()["secrets"])
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    ignored = subprocess.run(
        ["git", "check-ignore", "--quiet", "deploy/secrets/worker"], cwd=ROOT, check=False
    )
    assert ignored.returncode == 0


def test_a_service_is_given_no_secret_that_it_does_not_name() -> None:
    for name, service in services().items():
        if name == "broker-settings":  # it hashes all of them
            continue
        texts = [str(service.get(k, "")) for k in ("environment", "healthcheck", "command")]
        for source, _, _ in mounts(service):
            path = ROOT / source
            if path.is_file():
                texts.append(path.read_text(encoding="utf-8"))
        for secret in service.get("secrets", []):
            assert any(f"/run/secrets/{secret}" in text for text in texts), f"{name}: {secret}"


def test_the_gpu_worker_is_a_profile_with_a_reserved_device() -> None:
    service = services()["worker-gpu"]
    assert service["profiles"] == ["gpu"]
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert service["build"]["args"]["ENGINE"] in project()["project"]["optional-dependencies"]
    assert "profiles" not in services()["worker"]


def test_only_docker_yaml_names_are_used_that_both_generations_of_compose_know() -> None:
    # docker-compose 1.29 knows no top-level `name`, and ignores `configs`.
    extensions = {key for key in compose() if key.startswith("x-")}
    assert set(compose()) - extensions == {"services", "networks", "volumes", "secrets"}
    assert not any("configs" in service for service in services().values())


def test_the_compose_tests_script_says_why_it_cannot_run(tmp_path: Path) -> None:
    fake = tmp_path / "docker"
    fake.write_text("#!/bin/sh\nexit 1\n")
    fake.chmod(0o755)
    done = subprocess.run(
        [ROOT / "deploy" / "test-compose"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "no container engine answers here" in done.stderr
