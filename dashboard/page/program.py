"""The page's program: opens the store and the archive, watches for changes, serves until it is told to stop.

It writes nothing but signatures, and subscribes to nothing but the microscopes' answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from dashboard.blobs import BlobArchive
from dashboard.exchange.patient_links import PatientLinks
from dashboard.exchange.sender import FhirSender
from dashboard.page.app import PageApp
from dashboard.page.broker import PageBroker
from dashboard.page.door import Door
from dashboard.page.models import Models
from dashboard.page.reading_trace import ReadingTrace
from dashboard.page.server import PageServer
from dashboard.page.settings import DashboardSettings
from dashboard.page.watching import ChangeWatch
from dashboard.push.notifier import Push
from dashboard.review.desk import Desk
from dashboard.store import StoreAway
from service_runtime.log import get_log

#: An answer whose time for an undo has passed is signed at most this much later.
SETTLE_EVERY_S: Final = 0.5


async def run_dashboard(
    settings: DashboardSettings,
    desk: Desk,
    door: Door,
    models: Models,
    stop: asyncio.Event,
    *,
    told: Callable[[str], None] = lambda url: None,
) -> None:
    """Serves until `stop`; `told` hears where. Raises PageError, ArchiveAway, FatalMqttError."""
    archive = BlobArchive(settings.archive_url)
    server = PageServer(settings.page)
    watch = ChangeWatch(desk, settings.database_url)
    broker = None if settings.broker is None else PageBroker(settings.broker)
    traces = None if broker is None else ReadingTrace(desk, broker)
    push = Push.open(settings.push, settings.database_url) if settings.push.is_on else None
    patients = PatientLinks(settings.database_url, archive, desk.book, settings.patient)
    sender = None
    if settings.fhir.sends:
        sender = FhirSender(
            settings.fhir,
            settings.database_url,
            archive=archive,
            models=models,
            book=desk.book,
            watch=watch,
        )
    app = PageApp(
        desk,
        archive,
        door,
        watch,
        models=models,
        retakes=None if broker is None else broker.retakes,
        traces=traces,
        push=push,
        patients=patients,
        patient_contact=settings.patient.contact,
        is_tls=settings.page.is_tls,
        ca_file=settings.page.ca_file,
        names=settings.page.names,
    )
    told(server.url)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(watch.run(), name="watch"),
                group.create_task(_settle(desk, watch), name="settle"),
                group.create_task(server.run(app), name="page"),
            ]
            if push is not None:
                notifier = push.notifier(desk, watch)
                tasks.append(group.create_task(notifier.run(), name="notify"))
            if sender is not None:
                tasks.append(group.create_task(sender.run(), name="fhir"))
            if broker is not None:
                tasks.append(group.create_task(broker.run(), name="broker"))
            if traces is not None:
                tasks.append(group.create_task(traces.run(watch), name="traces"))
            await stop.wait()
            for task in tasks:
                task.cancel()
    finally:
        archive.close()
        patients.close()
        if push is not None:
            push.close()
        if sender is not None:
            sender.close()


async def _settle(desk: Desk, watch: ChangeWatch) -> None:
    """Signs what nobody took back in time."""
    log = get_log("dashboard")
    while True:
        try:
            if await asyncio.to_thread(desk.settle):
                await watch.look()
        except StoreAway as error:
            log.error("store_away", problem=str(error))
        await asyncio.sleep(SETTLE_EVERY_S)
