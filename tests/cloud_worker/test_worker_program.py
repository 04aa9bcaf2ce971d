"""`hemowire worker` as a process: its answers equal `hemowire classify`'s, and it ends as it says."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
from asyncio.subprocess import Process
from pathlib import Path

import pytest

from broker_config.local import HEMATOLOGIST, WORKER, LocalBroker, edge_username
from cloud_worker.classify import Classifier, Picture
from cloud_worker.engines.engine import open_engine
from cloud_worker.models.bundle import Bundle
from cloud_worker.settings import WorkerSettings
from edge_device.simulator.field import encode_field, render_field
from edge_device.simulator.slide import draw_slide
from service_runtime.settings import load_settings
from tests.cloud_worker.device import Device
from tests.cloud_worker.images import a_manifest, real_images
from tests.cloud_worker.watcher import Watcher
from wire_protocol import archive_layout as layout
from wire_protocol.archive_layout import ArchivedImage
from wire_protocol.machine_io import OutboxState
from wire_protocol.topics import Kind

EXAMPLE = Path("cloud_worker/worker.example.toml")
#: Finer than the test bundle's 0.25, within its limits, so that images are resampled.
UM_PER_PX = 0.18

#: Writing the bundle, once per run, counts as part of the first test that needs it.
pytestmark = pytest.mark.timeout(180)


def _config(broker: LocalBroker, bundle: Bundle, folder: Path) -> Path:
    """The shipped example with this test's broker, bundle and archive."""
    text = EXAMPLE.read_text(encoding="utf-8")
    for old, new in (
        ('archive_url = "archive"', f'archive_url = "{folder / "archive"}"'),
        ("port = 1884", f"port = {broker.port}"),
        ('"var/broker/secrets/worker"', f'"{broker.password_file(WORKER)}"'),
        ('bundle = "synthetic5-densenet121"', f'bundle = "{bundle.folder}"'),
        ('engine = "auto"', 'engine = "openvino"'),
        ('precision = "auto"', 'precision = "f32"'),
    ):
        assert old in text, old
        text = text.replace(old, new)
    config = folder / "worker.toml"
    config.write_text(text, encoding="utf-8")
    return config


def _simulated() -> list[bytes]:
    return [
        encode_field(render_field(draw_slide(seed), kind, 0, width_px=360, height_px=270), 88)
        for seed, kind in enumerate(("ALL", "CML", "healthy"))
    ]


def _real() -> list[bytes]:
    files = [*real_images("chula_fields", 1), *real_images("ball4/original", 4)]
    return [file.read_bytes() for file in files]


def test_the_example_file_is_valid_and_shows_the_defaults() -> None:
    shown = load_settings(WorkerSettings, EXAMPLE, environ={})
    assert shown.limits == type(shown.limits)()
    assert shown.batch == type(shown.batch)()
    assert shown.transfer == type(shown.transfer)()


@pytest.mark.parametrize("images", [_simulated, _real], ids=["simulated", "real"])
def test_the_program_archives_diagnoses_and_agrees_with_classify(
    broker: LocalBroker, densenet121_bundle: Bundle, tmp_path: Path, images: object
) -> None:
    assert callable(images)
    pictures: list[bytes] = images()
    manifests = [a_manifest(data, um_per_px=UM_PER_PX) for data in pictures]
    config = _config(broker, densenet121_bundle, tmp_path)

    async def run() -> Watcher:
        watcher = Watcher(broker.settings(HEMATOLOGIST), "phone", (Kind.THUMBNAIL, Kind.DIAGNOSIS))
        device = Device(broker.settings(edge_username("scope-2")), "scope-2")
        program = await _start(config, tmp_path)
        try:
            async with watcher.running(), device.running():
                for manifest, data in zip(manifests, pictures, strict=True):
                    device.send(manifest, data)
                await device.until(OutboxState.STORED, manifests)
                await watcher.until(lambda: len(watcher.of(Kind.DIAGNOSIS)) == len(pictures))
            program.send_signal(signal.SIGTERM)
            assert await program.wait() == 0
        finally:
            if program.returncode is None:
                program.kill()
                await program.wait()
        return watcher

    watcher = asyncio.run(run())
    said = {d.image_id: d for d in watcher.diagnoses()}
    classifier = Classifier(
        densenet121_bundle, open_engine(densenet121_bundle, "openvino", precision="f32")
    )
    findings = classifier.classify(Picture(data, UM_PER_PX) for data in pictures)
    for data, manifest, finding in zip(pictures, manifests, findings, strict=True):
        blob = tmp_path / "archive" / layout.blob_key(hashlib.sha256(data).hexdigest())
        assert blob.read_bytes() == data
        note = tmp_path / "archive" / layout.manifest_key("scope-2", manifest.image_id)
        assert ArchivedImage.from_bytes(note.read_bytes()).manifest == manifest
        diagnosis, decision = said[manifest.image_id], finding.decision
        keys = [c.key for c in densenet121_bundle.card.classes]
        assert decision.probabilities is not None
        assert diagnosis.probabilities() == dict(zip(keys, decision.probabilities, strict=True))
        assert (diagnosis.result, diagnosis.urgency) == (decision.result, decision.urgency)
        assert diagnosis.reason == (decision.reason or "")
        assert diagnosis.p_acute == decision.p_acute
        order = [m for m in watcher.messages if m.correlation == manifest.image_id.encode()]
        assert [m.topic.split("/")[2] for m in order] == ["thumbnail", "diagnosis"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('archive_url = "', 'archive = "'), "archive_url"),
        (("max_wait_s = 0.005", 'max_wait_s = "soon"'), "batch.max_wait_s"),
        (('bundle = "', 'bundle = "/nowhere'), "no bundle"),
        (('archive_url = "', 'archive_url = "/dev/null'), "archive"),
        (('username = "worker"', 'username = "nobody"'), "hemowire worker"),
        (('password_file = "', 'password_file = "/nowhere'), "password_file"),
    ],
)
def test_what_cannot_work_is_said_and_exits_2(
    broker: LocalBroker,
    densenet121_bundle: Bundle,
    tmp_path: Path,
    change: tuple[str, str],
    words: str,
) -> None:
    config = _config(broker, densenet121_bundle, tmp_path)
    text = config.read_text(encoding="utf-8")
    assert change[0] in text
    config.write_text(text.replace(*change), encoding="utf-8")
    ended = subprocess.run(
        _command(config),
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ended.returncode == 2, ended.stderr
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


def _command(config: Path) -> list[str]:
    return [sys.executable, "-m", "hemowire", "worker", "--config", str(config)]


def _environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HEMOWIRE_")}
    return kept | {"PYTHONPATH": os.pathsep.join(sys.path)}


async def _start(config: Path, folder: Path) -> Process:
    with (folder / "worker.log").open("wb") as log:
        return await asyncio.create_subprocess_exec(
            *_command(config), env=_environment(), stdout=log, stderr=log
        )
