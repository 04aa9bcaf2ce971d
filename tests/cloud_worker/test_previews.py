"""A preview becomes a draft of its own before the image is there, and nothing else follows from it."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from broker_config.local import HEMATOLOGIST, WORKER, LocalBroker, edge_username
from cloud_worker.batching import BatchLimits
from cloud_worker.engines.engine import open_engine
from cloud_worker.finding import Conclusion
from cloud_worker.inference import Inference
from cloud_worker.models.bundle import Bundle
from cloud_worker.previews import Previews, open_preview
from cloud_worker.publishing import Publisher
from cloud_worker.settings import LimitSettings
from edge_device.encoding.preview import make_preview
from edge_device.simulator import draw_slide, encode_field, render_field
from service_runtime.mqtt_session import MqttSession
from service_runtime.session_roles import worker_session
from tests.cloud_worker.device import Device
from tests.cloud_worker.images import a_field, a_manifest, jpeg
from tests.cloud_worker.test_worker import a_worker, worker_settings
from tests.cloud_worker.watcher import Watcher
from wire_protocol import archive_layout as layout
from wire_protocol import machine_io as io
from wire_protocol.json_messages import DiagnosisStatus
from wire_protocol.machine_io import OutboxState
from wire_protocol.machine_settings import SenderSettings
from wire_protocol.manifest import Manifest
from wire_protocol.messages import Outcome, Preview
from wire_protocol.topics import Kind, Topics

UM_PER_PX = 0.25
MAX_PIXELS = 4_000_000
#: Every image that is not inline is offered with a preview, however quick the link.
ALWAYS = SenderSettings(preview_after_s=1e-9)

#: Writing the bundle, once per run, counts as part of the first test that needs it.
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def image() -> bytes:
    field = render_field(draw_slide(1), "ALL", 0, width_px=1200, height_px=900, um_per_px=UM_PER_PX)
    return encode_field(field, 92)


def _manifest(data: bytes) -> Manifest:
    return a_manifest(data, um_per_px=UM_PER_PX, width_px=1200, height_px=900)


def _preview(data: bytes, most_bytes: int = 24 * 1024) -> Preview:
    made = make_preview(data, UM_PER_PX, most_bytes)
    assert made is not None
    return made


def test_a_draft_of_the_preview_comes_first_and_the_image_replaces_it(
    broker: LocalBroker, resnet34_bundle: Bundle, tmp_path: Path, image: bytes
) -> None:
    manifest, small = _manifest(image), jpeg(a_field(1, 200, 150))

    async def run() -> Watcher:
        kinds = (Kind.THUMBNAIL, Kind.DIAGNOSIS)
        watcher = Watcher(broker.settings(HEMATOLOGIST), "phone", kinds)
        edge = broker.settings(edge_username("scope-1"))
        device = Device(edge, "scope-1", settings=ALWAYS)
        worker = worker_settings(broker, resnet34_bundle, tmp_path)
        async with watcher.running(), device.running(), a_worker(worker):
            # An offer that nobody answers is followed by one without a preview: first, a worker answers.
            device.send(a_manifest(small), small)
            await watcher.until(lambda: len(watcher.of(Kind.DIAGNOSIS)) == 1)
            held = _HeldBack(device)
            device.send(manifest, image)
            await watcher.until(lambda: len(watcher.of(Kind.DIAGNOSIS)) == 2)
            assert device.states[manifest.image_id] is OutboxState.SENDING
            held.let_go()
            await device.until(OutboxState.STORED, [manifest])
            await watcher.until(lambda: len(watcher.of(Kind.DIAGNOSIS)) == 3)
        return watcher

    watcher = asyncio.run(run())
    _, first, second = watcher.diagnoses()
    assert (first.status, second.status) == (DiagnosisStatus.PREVIEW, DiagnosisStatus.DRAFT)
    assert first.text.startswith("PREVIEW ")
    assert "PREVIEW" not in second.text
    assert first.image_id == second.image_id == manifest.image_id
    assert (first.outbox_id, first.seq) == (manifest.outbox_id, manifest.seq)
    assert second.image_sha256 == manifest.sha256 != first.image_sha256
    assert first.um_per_px is not None
    assert first.width_px is not None
    assert first.um_per_px > UM_PER_PX
    assert first.um_per_px * first.width_px == pytest.approx(UM_PER_PX * 1200)
    assert first.outcome is Outcome.DIAGNOSED
    assert len(watcher.of(Kind.THUMBNAIL)) == 3
    assert not (tmp_path / layout.blob_key(first.image_sha256)).exists()


class _HeldBack:
    """The image's chunks stay with the device until they are let go."""

    def __init__(self, device: Device) -> None:
        self._perform = device._perform
        self._waiting: list[io.SenderEffect] = []
        self._is_open = False
        device._perform = self._do  # type: ignore[method-assign]  # for this one device

    def _do(self, effect: io.SenderEffect) -> None:
        if isinstance(effect, io.ReadChunk) and not self._is_open:
            self._waiting.append(effect)
        else:
            self._perform(effect)

    def let_go(self) -> None:
        self._is_open = True
        for effect in self._waiting:
            self._perform(effect)


def test_a_worker_without_room_for_previews_answers_with_the_image_alone(
    broker: LocalBroker, resnet34_bundle: Bundle, tmp_path: Path, image: bytes
) -> None:
    manifests = [_manifest(image) for _ in range(3)]

    async def run() -> Watcher:
        watcher = Watcher(broker.settings(HEMATOLOGIST), "phone", (Kind.DIAGNOSIS,))
        edge = broker.settings(edge_username("scope-1"))
        device = Device(edge, "scope-1", settings=ALWAYS)
        worker = worker_settings(broker, resnet34_bundle, tmp_path, previews=0)
        async with watcher.running(), device.running(), a_worker(worker):
            for manifest in manifests:
                device.send(manifest, image)
            await device.until(OutboxState.STORED, manifests)
            await watcher.until(lambda: len(watcher.of(Kind.DIAGNOSIS)) == len(manifests))
        return watcher

    assert {d.status for d in asyncio.run(run()).diagnoses()} == {DiagnosisStatus.DRAFT}


def test_a_preview_whose_image_came_first_is_dropped(
    broker: LocalBroker, resnet34_bundle: Bundle, image: bytes
) -> None:
    manifest = _manifest(image)
    counts: Counter[str] = Counter()

    async def run() -> None:
        engine = open_engine(resnet34_bundle, "openvino", precision="f32")
        conclusion = Conclusion(resnet34_bundle)
        inference = Inference(engine, BatchLimits(8, 0.001, 64), conclusion.read)
        with inference.running(), ThreadPoolExecutor(1) as threads:
            async with asyncio.TaskGroup() as tasks:
                previews = Previews(
                    "w1",
                    bundle=resnet34_bundle,
                    conclusion=conclusion,
                    engine_name="openvino-f32",
                    inference=inference,
                    limits=LimitSettings(),
                    threads=threads,
                    tasks=tasks,
                    is_short_of_room=lambda: False,
                    counts=counts,
                )
                session = MqttSession(broker.settings(WORKER), worker_session("w1"))
                previews.publisher = Publisher(session, Topics())  # not connected: it waits
                effect = io.ClassifyPreview("lab", "scope-1", 1, manifest, _preview(image))
                previews.take(effect)
                previews.take(effect)
                assert counts["previews_left"] == 1, "twice the same preview"
                await asyncio.sleep(0)
                previews.drop(manifest.image_id)

    asyncio.run(run())
    assert (counts["previews_overtaken"], counts["previews"]) == (1, 0)


def _changed(preview: Preview, **change: object) -> Preview:
    return preview.model_copy(update=change)


def test_only_a_preview_of_that_whole_field_at_the_right_scale_is_opened(
    resnet34_bundle: Bundle, image: bytes
) -> None:
    to = resnet34_bundle.card.preprocessing
    manifest = _manifest(image)
    preview = _preview(image)

    def is_opened(manifest: Manifest, preview: Preview) -> bool:
        return open_preview(manifest, preview, to, MAX_PIXELS) is not None

    assert is_opened(manifest, preview)
    rubbish = b"\xff\xd8 no picture"
    for wrong in (
        _changed(preview, um_per_px=preview.um_per_px * 1.1),
        _changed(preview, width_px=preview.width_px - 1),
        _changed(preview, data=rubbish, sha256=hashlib.sha256(rubbish).hexdigest()),
    ):
        assert not is_opened(manifest, wrong)
    assert not is_opened(manifest.model_copy(update={"um_per_px": None}), preview)
    other_objective = manifest.model_copy(update={"um_per_px": 1.0})
    as_sent = _changed(preview, um_per_px=preview.um_per_px * 4)
    assert not is_opened(other_objective, as_sent), "the image itself will say so"
    assert open_preview(manifest, preview, to, 1000) is None
