"""The hematologist's terminal: shows diagnoses as they come and stamps each as shown; it answers and changes nothing.

Its session is kept by the broker: what comes while it is away is shown when it is back. A result
is acknowledged after it was drawn, or counted in the line about what does not fit; it is stamped as
shown when it was drawn. Each (same image and model) is shown once by one running terminal.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from dashboard.settings import WatchSettings
from dashboard.watch_list import Entry, WatchList
from dashboard.watch_screen import WatchScreen, moved_line, plain_line
from dashboard.watch_terminal import Terminal
from service_runtime.boot import monotonic_ns, monotonic_s
from service_runtime.clock_end import ClockEnd
from service_runtime.log import get_log
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import Connected, Disconnected, Message, MqttError, Subscription
from service_runtime.session_roles import watch_session
from service_runtime.trace_fragments import fragment_of
from wire_protocol.codec import PeerError
from wire_protocol.json_messages import Diagnosis, Refile, parse_json
from wire_protocol.topics import Kind, Topics
from wire_protocol.trace import Stage
from wire_protocol.words import RESEARCH_USE_ONLY

#: Between two drawings: what comes meanwhile waits for the next one.
LEAST_REST_S: Final = 0.002
AGES_EVERY_S: Final = 1.0


class Form(StrEnum):
    """How results are shown."""

    LIVE = "live"
    PLAIN = "plain"
    JSON = "json"


class Watch:
    """The program around one session and one screen."""

    def __init__(self, settings: WatchSettings, form: Form, count: int | None) -> None:
        self._settings = settings
        self._form = form
        self._count = count
        self._topics = Topics(settings.broker.root)
        self._session = MqttSession(settings.broker, watch_session(settings.name))
        account = settings.broker.username  # the access rules give it a clock and a trace topic
        self._clock = ClockEnd(account, self._session, self._topics)
        self._trace_topic = self._topics.build(Kind.TRACE, program=account)
        self._list = WatchList(settings.rows)
        self._link = "connecting"
        self._undrawn: list[tuple[Entry, Message]] = []
        self._changed = asyncio.Event()
        self._finished = asyncio.Event()
        self._log = get_log("watch")
        self.refused = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Shows results until `stop`, or until `count` of them came."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._session.run(), name="mqtt")
            group.create_task(self._receive(), name="receive")
            clock = group.create_task(self._clock.run(), name="clock")
            drawing = group.create_task(self._draw(), name="draw") if self._is_live else None
            enough = group.create_task(self._finished.wait(), name="enough")
            stopped = group.create_task(stop.wait(), name="stop")
            await asyncio.wait((enough, stopped), return_when=asyncio.FIRST_COMPLETED)
            for task in (enough, stopped, drawing, clock):
                if task is not None:
                    task.cancel()
            await self._session.close()
        if self._is_live:
            sys.stdout.write(f"{self._list.total} results. {RESEARCH_USE_ONLY}\n")

    @property
    def _is_live(self) -> bool:
        return self._form is Form.LIVE

    # --- in -------------------------------------------------------------------------------------

    async def _receive(self) -> None:
        site = self._settings.site or "+"
        kinds = (Kind.DIAGNOSIS, Kind.REFILE)
        topics = [self._topics.build(kind, site=site, device="+") for kind in kinds]
        async for event in self._session.events():
            match event:
                case Connected():
                    with suppress(MqttError):
                        await self._session.subscribe([Subscription(topic) for topic in topics])
                        self._say("connected")
                        await self._clock.connected()
                case Disconnected(reason=reason):
                    self._clock.disconnected()
                    self._say(f"NOT CONNECTED, trying again ({reason})")
                case Message():
                    if not self._clock.hear(event):
                        self._take(event)

    def _say(self, link: str) -> None:
        self._link = link
        self._changed.set()
        self._log.info("watch_link", state=link)

    def _take(self, message: Message) -> None:
        if self._finished.is_set():
            return  # enough was shown: not acknowledged, so the next terminal of this name gets it
        try:
            parsed = self._topics.parse(message.topic)
            is_refile = parsed is not None and parsed.kind is Kind.REFILE
            kind: type[Refile | Diagnosis] = Refile if is_refile else Diagnosis
            told = parse_json(kind, message.payload)
            if parsed is None or (told.site, told.device) != (
                parsed.levels.get("site"), parsed.levels.get("device")
            ):  # fmt: skip
                raise PeerError(f"{told.SCHEMA} disagrees with its topic")
        except PeerError as error:
            self.refused += 1
            self._log.warning("message_refused", topic=message.topic, problem=str(error))
            message.ack()
            return
        if isinstance(told, Refile):
            self._move(told, message)
        else:
            self._add(told, message)

    def _move(self, refile: Refile, message: Message) -> None:
        """A field belongs to another case: what stands on the screen says so from now on."""
        if self._list.move(refile):
            self._changed.set()
            if not self._is_live:
                is_plain = self._form is Form.PLAIN
                line = moved_line(refile) if is_plain else refile.to_bytes().decode()
                sys.stdout.write(line + "\n")
                sys.stdout.flush()
        message.ack()

    def _add(self, diagnosis: Diagnosis, message: Message) -> None:
        entry = self._list.add(diagnosis, diagnosis.site, diagnosis.device, monotonic_s())
        if entry is None:
            message.ack()
        elif self._is_live:
            self._undrawn.append((entry, message))
            self._changed.set()
        else:
            line = plain_line(entry) if self._form is Form.PLAIN else diagnosis.to_bytes().decode()
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
            self._stamp(entry)
            self._done(entry, message)

    # --- out ------------------------------------------------------------------------------------

    async def _draw(self) -> None:
        """Redraws as soon as something changed, at most half of the time, and each second for the ages."""
        terminal, screen = Terminal(), WatchScreen()
        with terminal.open():
            while True:
                began_s = monotonic_s()
                undrawn, self._undrawn = self._undrawn, []
                self._changed.clear()
                size = terminal.size
                drawn = screen.draw(self._list, self._link, began_s, datetime.now(UTC), size)
                terminal.show(drawn, size)
                for entry in self._list.note_drawn(drawn.entries):
                    self._stamp(entry)
                for entry, message in undrawn:
                    self._done(entry, message)  # it is on the screen, or counted there
                await asyncio.sleep(max(LEAST_REST_S, monotonic_s() - began_s))
                with suppress(TimeoutError):
                    async with asyncio.timeout(AGES_EVERY_S):
                        await self._changed.wait()

    def _done(self, entry: Entry, message: Message) -> None:
        """Acknowledges; a result that waits for lines must not keep back the urgent one after it."""
        message.ack()
        is_enough = self._count is not None and entry.results >= self._count
        if is_enough and not entry.is_preview:
            self._finished.set()

    def _stamp(self, entry: Entry) -> None:
        """Tells when it was shown; the trace may be lost, it is a measurement, of the image's result."""
        if entry.is_preview:
            return
        fragment = fragment_of(
            "watch",
            self._settings.name,
            entry.message.image_id,
            entry.message.attempt,
            stamps_ns={Stage.SHOWN: monotonic_ns()},
            leg=self._clock.leg(),
        )
        self._session.send(self._trace_topic, fragment.to_bytes(), qos=0)
