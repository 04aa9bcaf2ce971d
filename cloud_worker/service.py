"""Starts and stops the worker program, in order; the stages themselves are `cloud_worker.worker`.

Start: model warm, archive probed, `ingest` SUBACKed, status online, then `$share` (where the archive
is away, when it is back: a worker that is started again meanwhile must not stay down). Stop: no more
offers, Busy to stragglers, finish up to `drain_s`, release the rest, status offline, disconnect.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from functools import partial

import cv2

from cloud_worker.archive import Archive, ArchiveAwayError
from cloud_worker.batching import BatchLimits
from cloud_worker.engines.engine import Engine, measure_images_per_s, open_engine
from cloud_worker.finding import Conclusion
from cloud_worker.health import HealthReport
from cloud_worker.inference import Inference
from cloud_worker.intake import Intake
from cloud_worker.models.bundle import Bundle, default_bundle, load_bundle
from cloud_worker.offers import Offers
from cloud_worker.publishing import Publisher
from cloud_worker.settings import BatchSettings, ModelSettings, WorkerSettings
from cloud_worker.stamps import Stamps
from cloud_worker.worker import Worker
from service_runtime.boot import monotonic_s, new_attempt, new_id
from service_runtime.clock_end import ClockEnd
from service_runtime.log import get_log
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import Connected, Disconnected, Message, Presence
from service_runtime.session_roles import worker_session
from wire_protocol import json_messages as jm
from wire_protocol import machine_io as io
from wire_protocol.receiver import Receiver
from wire_protocol.topics import Kind, Topics

#: Messages handled in a row before other tasks get a turn.
_MESSAGES_AT_ONCE = 32
#: How often a stop looks whether all is finished.
_LOOK_S = 0.02


async def run_worker(settings: WorkerSettings, stop: asyncio.Event) -> None:
    """Runs until `stop`; raises what cannot be mended from here (see `hemowire worker`)."""
    cv2.setNumThreads(1)  # several images are decoded at once: a pool would fight with the engine
    name = f"{settings.name}-{secrets.token_hex(4)}"
    log = get_log("worker").bind(worker=name)
    bundle, engine, images_per_s = await asyncio.to_thread(_open_model, settings.model)
    archive = Archive(settings.archive_url, name)
    away = await _probe(archive)
    log.info("ready", bundle=bundle.name, engine=engine.name, images_per_s=round(images_per_s, 1))
    topics = Topics(settings.broker.root)
    status = jm.Status(
        state=jm.Presence.ONLINE,
        incarnation=new_id(),
        program="worker",
        id=name,
        bundle=bundle.name,
        engine=engine.name,
        images_per_s=round(images_per_s, 1),
    )
    presence = Presence(topics.build(Kind.WORKER_STATUS, worker=name), status)
    session = MqttSession(settings.broker, worker_session(name), presence)
    receiver = Receiver(
        worker=name, topics=topics, random64=new_attempt, settings=settings.transfer
    )
    clock = ClockEnd(name, session, topics)
    stamps = Stamps(name, clock.leg)
    conclusion = Conclusion(bundle)
    inference = Inference(engine, _batch_limits(settings.batch, engine), conclusion.read)
    with inference.running():
        async with asyncio.TaskGroup() as tasks:
            worker = Worker(
                name,
                archive=archive,
                conclusion=conclusion,
                engine_name=engine.name,
                inference=inference,
                stamps=stamps,
                limits=settings.limits,
                tasks=tasks,
            )
            worker.intake = Intake(
                name,
                receiver=receiver,
                session=session,
                topics=topics,
                stamps=stamps,
                take_image=worker.take_image,
                take_preview=worker.previews.take,
            )
            worker.publisher = Publisher(session, topics)
            worker.previews.publisher = worker.publisher
            health = HealthReport(worker, session, topics, status)
            probe = partial(asyncio.to_thread, archive.probe)
            worker.offers = Offers(name, session, topics, worker.intake, probe)
            if away is not None:
                worker.offers.archive_failed(away)
            running = [
                tasks.create_task(session.run(), name="session"),
                tasks.create_task(_follow(worker, session, status, clock), name="messages"),
                tasks.create_task(clock.run(), name="clock"),
                tasks.create_task(health.run(), name="health"),
                tasks.create_task(worker.offers.watch_archive(), name="archive watch"),
            ]
            try:
                await stop.wait()
                log.info("stopping", in_hand=worker.in_hand)
                await _drain(worker, settings.limits.drain_s)
                health.tell()
                await session.close()
                worker.intake.stop()
                for task in running:
                    task.cancel()
            finally:
                worker.close()
    log.info("stopped", **worker.counts, **worker.intake.dropped)


async def _follow(worker: Worker, session: MqttSession, status: jm.Status, clock: ClockEnd) -> None:
    """Everything that the broker says, in order."""
    in_a_row = 0
    async for event in session.events():
        match event:
            case Message():
                if not clock.hear(event):
                    worker.intake.receive(event)
            case Connected(limits=limits):
                worker.publisher.connected()
                await worker.offers.connected(limits, status)
                await clock.connected()
            case Disconnected():
                worker.publisher.disconnected()
                clock.disconnected()
                worker.intake.disconnected()
        in_a_row += 1
        if in_a_row % _MESSAGES_AT_ONCE == 0:
            await asyncio.sleep(0)


async def _probe(archive: Archive) -> ArchiveAwayError | None:
    """Why the archive cannot be used now; raises it where no waiting will help."""
    try:
        await asyncio.to_thread(archive.probe)
    except ArchiveAwayError as error:
        if error.is_wrong_place:
            raise
        return error
    return None


async def _drain(worker: Worker, drain_s: float) -> None:
    """Finishes what is here, at most `drain_s`; what is left then is released and let go."""
    await worker.offers.drain(monotonic_s() + drain_s)
    with suppress(TimeoutError):
        async with asyncio.timeout(drain_s):
            while worker.in_hand or worker.intake.unfinished:  # noqa: ASYNC110  # no event tells
                await asyncio.sleep(_LOOK_S)
    worker.intake.tell(io.Tick())


def _open_model(settings: ModelSettings) -> tuple[Bundle, Engine, float]:
    """The bundle, its engine warm, and the tiles a second that it does here."""
    bundle = default_bundle() if settings.bundle is None else load_bundle(settings.bundle)
    engine = open_engine(
        bundle,
        settings.engine,
        device=settings.device,
        threads=settings.threads,
        precision=settings.precision,
    )
    return bundle, engine, measure_images_per_s(engine, bundle)


def _batch_limits(settings: BatchSettings, engine: Engine) -> BatchLimits:
    size = settings.size or engine.batch_size
    return BatchLimits(size, settings.max_wait_s, max(size, settings.waiting_tiles))
