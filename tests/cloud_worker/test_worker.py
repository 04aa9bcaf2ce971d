"""The whole worker on the real broker: images in, archive, thumbnails, diagnoses and traces out.

Longer than most: all of it needs one worker with its broker.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from broker_config.local import ENGINEER, HEMATOLOGIST, WORKER, LocalBroker, edge_username
from cloud_worker.archive import Archive
from cloud_worker.models.bundle import Bundle
from cloud_worker.service import run_worker
from cloud_worker.settings import LimitSettings, ModelSettings, WorkerSettings
from tests.cloud_worker.bad_images import BAD_IMAGES
from tests.cloud_worker.device import Device
from tests.cloud_worker.images import a_field, a_manifest, jpeg
from tests.cloud_worker.watcher import Watcher
from wire_protocol import archive_layout as layout
from wire_protocol.archive_layout import ArchivedImage
from wire_protocol.json_messages import Diagnosis, Reason, Urgency
from wire_protocol.machine_io import OutboxState
from wire_protocol.manifest import Priority
from wire_protocol.messages import (
    Offer,
    Outcome,
    Stored,
    Unknown,
    WorkerRelease,
)
from wire_protocol.topics import Kind
from wire_protocol.trace import WORKER_STAGES

UM_PER_PX = 0.25

#: Writing the bundle, once per run, counts as part of the first test that needs it.
pytestmark = pytest.mark.timeout(180)


def worker_settings(
    broker: LocalBroker, bundle: Bundle, archive: Path, **limits: float
) -> WorkerSettings:
    return WorkerSettings(
        name="tested",
        archive_url=str(archive),
        broker=broker.settings(WORKER),
        model=ModelSettings(bundle=str(bundle.folder), engine="openvino", precision="f32"),
        limits=LimitSettings.model_validate(limits),
    )


@contextlib.asynccontextmanager
async def a_worker(settings: WorkerSettings) -> AsyncIterator[None]:
    """The worker in this process, stopped cleanly at the end."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run_worker(settings, stop))
        try:
            yield
        finally:
            stop.set()


@contextlib.asynccontextmanager
async def a_watcher(broker: LocalBroker) -> AsyncIterator[Watcher]:
    kinds = (Kind.THUMBNAIL, Kind.DIAGNOSIS, Kind.WORKER_STATUS)
    async with Watcher(broker.settings(HEMATOLOGIST), "phone", kinds).running() as watcher:
        yield watcher


def test_images_come_out_as_archived_bytes_thumbnails_and_diagnoses(
    broker: LocalBroker, resnet34_bundle: Bundle, tmp_path: Path
) -> None:
    images = [jpeg(a_field(seed, 400, 300)) for seed in range(6)]
    manifests = [
        a_manifest(data, um_per_px=UM_PER_PX, priority=Priority.STAT if n == 5 else "routine")
        for n, data in enumerate(images)
    ]

    async def run() -> tuple[Watcher, Watcher]:
        traces = Watcher(broker.settings(ENGINEER), "engineer", (Kind.TRACE,))
        device = Device(broker.settings(edge_username("scope-1")), "scope-1")
        async with a_watcher(broker) as watcher, traces.running(), device.running():
            async with a_worker(worker_settings(broker, resnet34_bundle, tmp_path)):
                for manifest, data in zip(manifests, images, strict=True):
                    device.send(manifest, data)
                await device.until(OutboxState.STORED, manifests)
                await watcher.until(lambda: len(watcher.of(Kind.DIAGNOSIS)) == len(images))
                await traces.until(lambda: len(traces.messages) == len(images))
            await watcher.until(lambda: watcher.statuses()[-1].state == "offline")
        return watcher, traces

    watcher, traces = asyncio.run(run())
    archive = Archive(str(tmp_path), "test")
    diagnoses = {d.image_id: d for d in watcher.diagnoses()}
    for manifest, data in zip(manifests, images, strict=True):
        assert archive.read(manifest.sha256) == data
        note = tmp_path / layout.manifest_key("scope-1", manifest.image_id)
        assert ArchivedImage.from_bytes(note.read_bytes()).manifest == manifest
        said = diagnoses[manifest.image_id]
        assert (said.site, said.device, said.image_sha256) == ("lab", "scope-1", manifest.sha256)
        assert (said.outbox_id, said.seq) == (manifest.outbox_id, manifest.seq)
        assert said.model.startswith(resnet34_bundle.name + "/openvino-f32")
        assert said.training_data == "synthetic"
        assert "Research use only" in said.text
        assert (said.width_px, said.height_px, said.um_per_px) == (400, 300, UM_PER_PX)
        assert said.white_cell_boxes is not None  # 6 nuclei were drawn, some on each other
        assert len(said.white_cell_boxes) == said.white_cells
        assert 4 <= len(said.white_cell_boxes) <= 6
        assert f"{said.white_cells} white cells" in said.text
        assert said.latency_ms is not None
        assert said.latency_ms > 0
    for message in watcher.of(Kind.THUMBNAIL):
        assert message.payload[:2] == b"\xff\xd8"
        assert not message.retain
        image_id = message.topic.rpartition("/")[2]
        assert message.correlation == image_id.encode()
        seen = [m.correlation for m in watcher.messages if m.correlation == image_id.encode()]
        assert len(seen) == 2  # the picture, then its diagnosis
        assert watcher.messages.index(message) < next(
            i
            for i, m in enumerate(watcher.messages)
            if "/diagnosis/" in m.topic and Diagnosis.from_bytes(m.payload).image_id == image_id
        )
    assert len(watcher.of(Kind.THUMBNAIL)) == len(images)
    # The broker keeps the last words of earlier tests' workers: this one is known by its id.
    [worker] = {diagnosis.worker for diagnosis in diagnoses.values()}
    online = next(status for status in watcher.statuses() if status.id == worker)
    assert online.state == "online"
    assert (online.bundle, online.engine) == (resnet34_bundle.name, "openvino-f32")
    assert online.images_per_s is not None
    assert online.images_per_s > 0
    for trace in traces.traces():
        stages = [stage.value for stage in WORKER_STAGES]
        stamps = [trace.stamps_ns[stage] for stage in stages if stage != "archived"]
        assert stamps == sorted(stamps)
        assert trace.stamps_ns["completed"] < trace.stamps_ns["archived"]
        assert trace.size_bytes in {len(data) for data in images}
        assert trace.id == online.id


def test_a_field_without_a_white_cell_is_refused_whatever_the_network_made_of_it(
    broker: LocalBroker, resnet34_bundle: Bundle, tmp_path: Path
) -> None:
    """It is counted while the network runs."""
    empty = jpeg(np.full((300, 400, 3), 225, np.uint8))
    images = [empty, jpeg(a_field(1, 400, 300))]
    manifests = [a_manifest(data, um_per_px=UM_PER_PX) for data in images]

    async def run() -> dict[str, Diagnosis]:
        device = Device(broker.settings(edge_username("scope-1")), "scope-1")
        settings = worker_settings(broker, resnet34_bundle, tmp_path)
        async with a_watcher(broker) as watcher, device.running(), a_worker(settings):
            for manifest, data in zip(manifests, images, strict=True):
                device.send(manifest, data)
            await watcher.until(lambda: len(watcher.of(Kind.DIAGNOSIS)) == len(images))
        return {diagnosis.image_id: diagnosis for diagnosis in watcher.diagnoses()}

    said = asyncio.run(run())
    without, with_cells = (said[manifest.image_id] for manifest in manifests)
    assert without.reason is Reason.TOO_FEW_WHITE_CELLS
    assert without.white_cell_boxes == ()
    assert set(without.probabilities().values()) == {None}
    assert with_cells.reason is not Reason.TOO_FEW_WHITE_CELLS
    assert with_cells.white_cells


def test_every_bad_image_ends_as_a_diagnosis_or_a_named_rejection(
    broker: LocalBroker, resnet34_bundle: Bundle, tmp_path: Path
) -> None:
    manifests = {
        name: a_manifest(data, um_per_px=UM_PER_PX) for name, (data, _) in BAD_IMAGES.items()
    }
    manifests["no_scale"] = a_manifest(jpeg(a_field(20)), um_per_px=None)

    async def run() -> Watcher:
        device = Device(broker.settings(edge_username("scope-1")), "scope-1")
        async with a_watcher(broker) as watcher, device.running():
            async with a_worker(worker_settings(broker, resnet34_bundle, tmp_path)):
                for name, manifest in manifests.items():
                    data = jpeg(a_field(20)) if name == "no_scale" else BAD_IMAGES[name][0]
                    device.send(manifest, data)
                await device.until(OutboxState.STORED, list(manifests.values()))
                await watcher.until(lambda: len(watcher.of(Kind.DIAGNOSIS)) == len(manifests))
            assert not device.rejected
        return watcher

    watcher = asyncio.run(run())
    said = {d.image_id: d for d in watcher.diagnoses()}
    pictures = {m.topic.rpartition("/")[2] for m in watcher.of(Kind.THUMBNAIL)}
    archive = Archive(str(tmp_path), "test")
    for name, (data, can_be_decoded) in BAD_IMAGES.items():
        diagnosis = said[manifests[name].image_id]
        assert archive.read(manifests[name].sha256) == data, name
        assert (diagnosis.image_id in pictures) == can_be_decoded, name
        if can_be_decoded:
            assert diagnosis.outcome is Outcome.DIAGNOSED, name
        else:
            assert diagnosis.outcome is Outcome.REJECTED, name
            reason = "too_large" if name == "bomb" else "decode"
            assert (diagnosis.result, diagnosis.reason) == ("cannot_say", reason), name
            assert diagnosis.urgency is Urgency.RETAKE, name
            assert set(diagnosis.probabilities().values()) == {None}, name
    no_scale = said[manifests["no_scale"].image_id]
    assert (no_scale.outcome, no_scale.reason) == (Outcome.DIAGNOSED, "magnification")
    assert no_scale.urgency is Urgency.CANNOT_SAY
    assert no_scale.image_id in pictures


@pytest.mark.parametrize("survives", [True, False])
def test_a_suspect_image_is_handled_alone_and_its_crash_is_a_rejection(
    broker: LocalBroker, resnet34_bundle: Bundle, tmp_path: Path, survives: bool
) -> None:
    data = jpeg(a_field(21))
    suspect, other = (a_manifest(data, um_per_px=UM_PER_PX) for _ in range(2))
    # No child ends within a hundredth of a second: it is killed.
    settings = worker_settings(
        broker, resnet34_bundle, tmp_path, suspect_s=60 if survives else 0.01
    )

    async def run() -> Watcher:
        device = Device(broker.settings(edge_username("scope-1")), "scope-1")
        async with a_watcher(broker) as watcher, device.running(), a_worker(settings):
            device.send(suspect, data, vanished=2)
            device.send(other, data)
            await device.until(OutboxState.STORED, [suspect, other])
            await watcher.until(lambda: len(watcher.of(Kind.DIAGNOSIS)) == 2)
        return watcher

    said = {d.image_id: d for d in asyncio.run(run()).diagnoses()}
    assert said[other.image_id].outcome is Outcome.DIAGNOSED
    if survives:
        assert said[suspect.image_id].outcome is Outcome.DIAGNOSED
        assert said[suspect.image_id].probabilities() == said[other.image_id].probabilities()
    else:
        assert said[suspect.image_id].outcome is Outcome.REJECTED
        assert said[suspect.image_id].reason == "crashes_decoder"


def test_a_stored_offer_is_read_from_the_archive_and_classified_again(
    broker: LocalBroker, resnet34_bundle: Bundle, tmp_path: Path
) -> None:
    data = jpeg(a_field(23))
    there, missing = a_manifest(data, um_per_px=UM_PER_PX), a_manifest(b"never put")
    Archive(str(tmp_path), "another").put("lab", "scope-1", there, data)

    async def run() -> Watcher:
        device = Device(broker.settings(edge_username("scope-1")), "scope-1")
        settings = worker_settings(broker, resnet34_bundle, tmp_path)
        async with a_watcher(broker) as watcher, device.running(), a_worker(settings):
            for attempt, manifest in ((1, there), (2, missing)):
                offer = Offer(attempt=attempt, manifest=manifest, stored=True)
                await device.publish_until_heard(offer)
            await watcher.until(lambda: bool(watcher.of(Kind.DIAGNOSIS)))
            await device.until_heard(Stored, 1)
            await device.until_heard(Unknown, 2)
        return watcher

    watcher = asyncio.run(run())
    (diagnosis,) = watcher.diagnoses()
    assert diagnosis.image_id == there.image_id
    assert diagnosis.outcome is Outcome.DIAGNOSED
    assert len(watcher.of(Kind.THUMBNAIL)) == 1


def test_while_the_archive_is_away_nothing_is_called_stored_or_diagnosed(
    broker: LocalBroker, resnet34_bundle: Bundle, tmp_path: Path
) -> None:
    data = jpeg(a_field(24))
    before, during = (a_manifest(data, um_per_px=UM_PER_PX) for _ in range(2))
    folder, away = tmp_path / "archive", tmp_path / "away"

    async def run() -> None:
        device = Device(broker.settings(edge_username("scope-1")), "scope-1")
        settings = worker_settings(broker, resnet34_bundle, folder)
        async with a_watcher(broker) as watcher, device.running(), a_worker(settings):
            device.send(before, data)
            await watcher.until(lambda: len(watcher.of(Kind.DIAGNOSIS)) == 1)
            folder.rename(away)
            folder.write_text("no folder")
            device.send(during, data)
            await device.until_heard(WorkerRelease)
            assert len(watcher.of(Kind.DIAGNOSIS)) == 1
            assert device.states[during.image_id] is not OutboxState.STORED
            folder.unlink()
            away.rename(folder)
            await device.until(OutboxState.STORED, [during])
            await watcher.until(lambda: len(watcher.of(Kind.DIAGNOSIS)) == 2)

    asyncio.run(run())
    assert (folder / layout.manifest_key("scope-1", during.image_id)).is_file()


def test_a_worker_that_is_started_while_the_archive_is_away_waits_for_it(
    broker: LocalBroker, resnet34_bundle: Bundle, tmp_path: Path
) -> None:
    data = jpeg(a_field(26))
    manifest = a_manifest(data, um_per_px=UM_PER_PX)
    archive = tmp_path / "archive"
    archive.symlink_to(archive)  # whatever is asked of it, the answer is ELOOP

    async def run() -> None:
        device = Device(broker.settings(edge_username("scope-1")), "scope-1")
        settings = worker_settings(broker, resnet34_bundle, archive)
        async with a_watcher(broker) as watcher, device.running(), a_worker(settings):
            await watcher.until(lambda: bool(watcher.of(Kind.WORKER_STATUS)))
            device.send(manifest, data)
            archive.unlink()
            archive.mkdir()
            await device.until(OutboxState.STORED, [manifest])
            await watcher.until(lambda: bool(watcher.of(Kind.DIAGNOSIS)))

    asyncio.run(run())
    assert Archive(str(archive), "test").read(manifest.sha256) == data


def test_an_archive_that_hangs_is_away_too(
    broker: LocalBroker, resnet34_bundle: Bundle, tmp_path: Path
) -> None:
    data = jpeg(a_field(25))
    manifest = a_manifest(data, um_per_px=UM_PER_PX)
    hanging = tmp_path / layout.blob_key(manifest.sha256)
    hanging.parent.mkdir(parents=True)
    os.mkfifo(hanging)  # whoever opens it to see whether the blob is there waits for a writer

    async def run() -> None:
        device = Device(broker.settings(edge_username("scope-1")), "scope-1")
        settings = worker_settings(broker, resnet34_bundle, tmp_path, archive_s=0.3)
        async with a_watcher(broker) as watcher, device.running(), a_worker(settings):
            device.send(manifest, data)
            await device.until_heard(WorkerRelease)
            assert not watcher.of(Kind.DIAGNOSIS)
            writer = os.open(hanging, os.O_RDWR)  # lets every reader go, now and later
            hanging.unlink()
            os.close(writer)
            await device.until(OutboxState.STORED, [manifest])
            await watcher.until(lambda: bool(watcher.of(Kind.DIAGNOSIS)))

    asyncio.run(run())
    assert Archive(str(tmp_path), "test").read(manifest.sha256) == data


def test_a_stop_finishes_what_is_in_hand(
    broker: LocalBroker, resnet34_bundle: Bundle, tmp_path: Path
) -> None:
    images = [jpeg(a_field(seed, 700, 500)) for seed in range(5)]
    manifests = [a_manifest(data, um_per_px=UM_PER_PX) for data in images]

    async def run() -> Watcher:
        device = Device(broker.settings(edge_username("scope-1")), "scope-1")
        async with a_watcher(broker) as watcher, device.running():
            settings = worker_settings(broker, resnet34_bundle, tmp_path, drain_s=30)
            async with a_worker(settings):
                for manifest, data in zip(manifests, images, strict=True):
                    device.send(manifest, data)
                await device.until(OutboxState.STORED, manifests)
                assert len(watcher.of(Kind.DIAGNOSIS)) < len(images)
            await watcher.until(lambda: watcher.statuses()[-1].state == "offline")
        return watcher

    watcher = asyncio.run(run())
    assert {d.image_id for d in watcher.diagnoses()} == {m.image_id for m in manifests}
    assert "/status" in watcher.messages[-1].topic


def test_the_broker_may_be_killed_and_every_image_still_gets_its_diagnosis(
    own_broker: LocalBroker, resnet34_bundle: Bundle, tmp_path: Path
) -> None:
    images = [jpeg(a_field(seed, 700, 500)) for seed in range(6)]
    manifests = [a_manifest(data, um_per_px=UM_PER_PX) for data in images]

    async def run() -> Watcher:
        device = Device(own_broker.settings(edge_username("scope-1")), "scope-1")
        settings = worker_settings(own_broker, resnet34_bundle, tmp_path)
        async with a_watcher(own_broker) as watcher, device.running(), a_worker(settings):
            for manifest, data in zip(manifests, images, strict=True):
                device.send(manifest, data)
            await watcher.until(lambda: bool(watcher.of(Kind.DIAGNOSIS)))
            own_broker.process.kill()
            own_broker.process.start()
            await device.until(OutboxState.STORED, manifests)
            await watcher.until(lambda: len({d.image_id for d in watcher.diagnoses()}) == 6)
        return watcher

    watcher = asyncio.run(run())
    assert {d.image_id for d in watcher.diagnoses()} == {m.image_id for m in manifests}
