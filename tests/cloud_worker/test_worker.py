"""The whole worker on the real broker: images in, archive, thumbnails, diagnoses and traces out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from broker_config.local import ENGINEER, HEMATOLOGIST, WORKER, LocalBroker, edge_username
from cloud_worker.archive import Archive
from cloud_worker.models.bundle import Bundle
from cloud_worker.service import run_worker
from cloud_worker.settings import LimitSettings, ModelSettings, WorkerSettings
from tests.cloud_worker.device import Device
from tests.cloud_worker.images import a_field, a_manifest, jpeg
from tests.cloud_worker.watcher import Watcher
from wire_protocol.json_messages import Diagnosis
from wire_protocol.machine_io import OutboxState
from wire_protocol.manifest import Priority
from wire_protocol.topics import Kind
from wire_protocol.trace import WORKER_STAGES

UM_PER_PX = 0.25


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
        held = archive.read_manifest("scope-1", manifest.image_id)
        assert held is not None
        assert held.manifest == manifest
        said = diagnoses[manifest.image_id]
        assert (said.site, said.device, said.image_sha256) == ("lab", "scope-1", manifest.sha256)
        assert (said.outbox_id, said.seq) == (manifest.outbox_id, manifest.seq)
        assert said.model.startswith(resnet34_bundle.name + "/openvino-f32")
        assert said.training_data == "synthetic"
        assert "Research use only" in said.text
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
    online = watcher.statuses()[0]
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
