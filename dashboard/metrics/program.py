"""The metrics program on one page: listens, joins traces, makes points, spools them, sends them; it publishes nothing.

A point is on disk before anything else happens to it. What a kill -9 takes are traces that were not
yet joined, whose fragments are QoS 0: measurements, not images. (Over 250 lines, to be one page.)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from dashboard.metrics import points, schema
from dashboard.metrics.broker_counters import TOPICS as BROKER_TOPICS
from dashboard.metrics.broker_counters import BrokerCounters
from dashboard.metrics.draining import Draining
from dashboard.metrics.lines import FieldValue, Point, line_of
from dashboard.metrics.places import Places
from dashboard.metrics.server import InfluxServer
from dashboard.metrics.settings import MetricsSettings
from dashboard.metrics.spool import Spool
from dashboard.metrics.spooling import Spooling
from service_runtime.boot import monotonic_s
from service_runtime.log import get_log
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import Connected, Disconnected, Message, MqttError, Subscription
from service_runtime.session_roles import observer_session
from wire_protocol.codec import PeerError
from wire_protocol.joined_trace import JoinedTrace
from wire_protocol.json_messages import (
    Health,
    Presence,
    Status,
    TraceFragment,
    WorkerHealth,
    parse_json,
)
from wire_protocol.presence import PresenceBook
from wire_protocol.topics import Kind, ParsedTopic, Topics
from wire_protocol.trace import Stage
from wire_protocol.trace_join import AWAITED, TraceJoiner

KINDS: Final = (
    Kind.TRACE,
    Kind.DEVICE_HEALTH,
    Kind.DEVICE_STATUS,
    Kind.WORKER_HEALTH,
    Kind.WORKER_STATUS,
    Kind.RECORDS_STATUS,
)
#: A result that nobody has signed after this is written as far as people came with it.
READ_WITHIN_S: Final = 86_400.0


async def run_metrics(settings: MetricsSettings, stop: asyncio.Event) -> None:
    """Runs until `stop`; raises SpoolError and SettingsError."""
    program = Metrics(settings)
    try:
        await program.run(stop)
    finally:
        program.close()


class Metrics:
    """The program around one session, one spool and, where one is named, one server."""

    def __init__(self, settings: MetricsSettings) -> None:
        self._settings = settings
        self._topics = Topics(settings.broker.root)
        self._session = MqttSession(settings.broker, observer_session(settings.name))
        awaited = [s for s in AWAITED if settings.await_shown or s is not Stage.SHOWN]
        self._joiner = TraceJoiner(patience_s=settings.patience_s, awaited=awaited)
        #: What people do with a result comes long after the image's own trace was handed out.
        self._readings = TraceJoiner(patience_s=READ_WITHIN_S, awaited=(Stage.SIGNED,))
        self._places = Places()
        self._presence = PresenceBook()
        self._online: dict[tuple[str, str], Status] = {}
        self._broker = BrokerCounters()
        self._refused_messages = 0
        self._traces = {True: 0, False: 0}
        self._log = get_log("metrics")
        self._spool = Spool(settings.spool_folder, settings.spool_max_bytes)
        self._spooling = Spooling(self._spool, settings.time_step)
        self._server: InfluxServer | None = None
        self._draining: Draining | None = None
        if settings.influx is not None:
            self._server = InfluxServer(settings.influx, self._probe)
            self._draining = Draining(
                self._spool, self._server, settings.influx.batch_points, settings.flush_s
            )

    async def run(self, stop: asyncio.Event) -> None:
        """Listens until `stop`, then spools what is joined and sends what the server takes."""
        where = "files only" if self._settings.influx is None else self._settings.influx.url
        self._log.info("ready", server=where, waiting=self._spool.waiting)
        done = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._session.run(), name="mqtt")
            group.create_task(self._follow(), name="messages")
            ticking = group.create_task(self._tick(), name="tick")
            counting = group.create_task(self._count(), name="counters")
            if self._draining is not None:
                group.create_task(self._draining.run(done), name="drain")
            await stop.wait()
            await self._session.close()
            for task in (ticking, counting):
                task.cancel()
            self._put_away()
            done.set()
        counts = self._spool.counts
        self._log.info("stopped", made=counts.made, waiting=self._spool.waiting)

    def close(self) -> None:
        """Lets go of the spool and the server."""
        self._spool.close()
        if self._server is not None:
            self._server.close()

    # --- in -------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        # Without retain_as_published `retain` says that a status is an old one.
        filters = [
            *(Subscription(self._topics.every(kind), retain_as_published=False) for kind in KINDS),
            *(Subscription(topic, qos=0) for topic in BROKER_TOPICS),
        ]
        async for event in self._session.events():
            match event:
                case Connected():
                    with suppress(MqttError):
                        await self._session.subscribe(filters)
                case Disconnected():
                    self._presence.forget()
                    self._online.clear()
                    self._broker.forget()
                case Message():
                    try:
                        self._take(event)
                    except PeerError as error:
                        self._refused_messages += 1
                        self._log.warning("message_refused", topic=event.topic, problem=str(error))

    def _take(self, message: Message) -> None:
        if message.topic.startswith("$SYS/"):
            self._broker.hear(message.topic, message.payload)
            return
        topic = self._topics.parse(message.topic)
        if topic is None:
            return
        match topic.kind:
            case Kind.TRACE:
                fragment = parse_json(TraceFragment, message.payload)
                self._joiner.add(fragment, monotonic_s())
                self._take_traces(self._joiner.finished(monotonic_s()))
                if fragment.program == "page":
                    self._readings.add(fragment, monotonic_s())
                    self._take_readings(self._readings.finished(monotonic_s()))
            case Kind.DEVICE_HEALTH:
                health = parse_json(Health, message.payload)
                _check(topic, site=health.site, device=health.device)
                self._places.hear_device(health.site, health.device)
                self._spooling.put([points.device_point(health)])
            case Kind.WORKER_HEALTH:
                counted = parse_json(WorkerHealth, message.payload)
                _check(topic, worker=counted.worker)
                self._places.hear_worker(counted)
                self._spooling.put([points.worker_point(counted)])
            case _:
                self._take_status(topic, message)

    def _take_status(self, topic: ParsedTopic, message: Message) -> None:
        status = self._presence.hear(topic, message.payload)
        if status is None:
            return
        if topic.kind is Kind.DEVICE_STATUS:
            self._places.hear_device(topic.levels["site"], topic.levels["device"])
        elif topic.kind is Kind.WORKER_STATUS:
            self._places.hear_worker(status)
        key = (status.program, status.id)
        if status.state is Presence.ONLINE:
            self._online[key] = status
        else:
            self._online.pop(key, None)
            if message.retain:
                return  # gone before we came
        self._spooling.put([points.program_point(status, self._places)])

    def _take_traces(self, traces: Iterable[JoinedTrace]) -> None:
        for trace in traces:
            self._traces[trace.is_complete] += 1
            self._spooling.put(points.trace_points(trace, self._places))

    def _take_readings(self, traces: Iterable[JoinedTrace]) -> None:
        for trace in traces:
            self._spooling.put(points.reading_points(trace, self._places))

    # --- out ------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        """Traces whose patience is over; and what was spooled reaches the disk."""
        while True:
            self._take_traces(self._joiner.finished(monotonic_s()))
            self._take_readings(self._readings.finished(monotonic_s()))
            self._spool.sync()
            await asyncio.sleep(self._settings.flush_s)

    async def _count(self) -> None:
        """The broker's counters, the programs that are there, and our own."""
        while True:
            await asyncio.sleep(self._settings.counters_every_s)
            self._put_counters()

    def _put_counters(self) -> None:
        self._spooling.put([points.broker_point(self._broker.values)])
        for status in self._online.values():
            self._spooling.put([points.program_point(status, self._places)])
        self._spooling.put([self._own_point()])

    def _put_away(self) -> None:
        """At the end: traces that have an end are written; the rest of the others is for nobody."""
        for trace in self._joiner.rest():
            if trace.has(Stage.PUBLISHED) or trace.has(Stage.RECORDED):
                self._take_traces([trace])
            else:
                self._traces[False] += 1
        self._take_readings(self._readings.rest())
        self._put_counters()
        self._spool.sync()

    def _own_point(self) -> Point:
        counts = self._spool.counts
        refused = 0 if self._draining is None else self._draining.refused
        fields: dict[str, FieldValue] = {
            "points_made": counts.made,
            "points_written": counts.committed - refused,
            "points_waiting": self._spool.waiting,
            "points_dropped": counts.dropped,
            "points_refused": refused,
            "blocks_damaged": counts.damaged,
            "write_errors": 0 if self._server is None else self._server.errors,
            "spool_bytes": self._spool.size_bytes,
            "spool_errors": counts.errors,
            "messages_refused": self._refused_messages + self._joiner.refused,
            "messages_dropped": self._session.counters.dropped_qos0,
            "fragments_late": self._joiner.late,
            "traces_complete": self._traces[True],
            "traces_incomplete": self._traces[False],
            "tag_values_folded": self._spooling.folded,
        }
        return Point(schema.METRICS, {}, fields)

    def _probe(self) -> str:
        """A point that the server takes if it takes any; called beside the event loop."""
        fields: dict[str, FieldValue] = {
            "write_errors": 0 if not self._server else self._server.errors
        }
        return f"{line_of(Point(schema.METRICS, {}, fields), time.time_ns())}\n"


def _check(topic: ParsedTopic, **said: str) -> None:
    """Raises PeerError for a message that disagrees with its topic."""
    for name, value in said.items():
        if topic.levels.get(name) != value:
            raise PeerError(f"{topic.kind.value}: {name} {value} disagrees with the topic")
