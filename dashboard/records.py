"""The records program: reports come in, their blobs are looked for, they are committed, and only then answered.

    MQTT -> read -> look for blobs -> commit (one transaction for all that wait) -> Recorded -> PUBACK -> trace
               `-> what needs no blob ---^                                       `-> teller: cases, reviews

A report is acknowledged to the broker after its commit and its answer: a process that dies earlier
gets it again, finds its own row and answers again. While the database is away everything waits,
here and in the broker, and nothing is answered; while the archive is away or hangs, the reports
that need a blob wait, and nothing else does. (Over 250 lines: one page shows the whole program.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

from dashboard.blobs import ArchiveAway, BlobArchive
from dashboard.identity import NEEDS_BLOB, SET_ASIDE, Verdict
from dashboard.intake import KINDS, Intake
from dashboard.refiles import RefileVerdict
from dashboard.settings import RecordsSettings
from dashboard.store import Asked, Committed, Filed, Judged, RecordsStore, Result, StoreAway, Work
from dashboard.teller import Teller
from service_runtime.boot import boot_id, monotonic_ns, new_id, wall_time
from service_runtime.log import get_log
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import (
    LOST,
    Connected,
    Disconnected,
    Message,
    MqttError,
    Presence,
    Subscription,
)
from service_runtime.session_roles import records_session
from service_runtime.trace_fragments import fragment_of, own_leg
from wire_protocol.codec import PeerError, encode
from wire_protocol.json_messages import Presence as PresenceState
from wire_protocol.json_messages import Refile, Status
from wire_protocol.messages import ClockReply, ClockRequest, InquiryAnswer, Recorded, Refiled
from wire_protocol.topics import RECORDS, Kind, Topics
from wire_protocol.trace import Stage

#: A worker publishes a diagnosis when its put is durable, but a shared folder may show it late.
BLOB_LOOKS_AFTER_S: Final = (0.05, 0.2, 1.0, 3.0)
AWAY_RETRY_S: Final = (0.2, 5.0)
#: Work held at once, as a multiple of batch_max. More is let go: devices inquire and bring it again.
HELD_BATCHES: Final = 10


@dataclass(slots=True, eq=False)
class Waiting:
    """Work that is not answered yet, and the message that brought it on the present connection."""

    work: Work
    key: tuple[str, bytes]
    message: Message | None
    looks: int = 0

    def ack(self) -> None:
        """Tells the broker that this is done; without a message it comes again, and is known."""
        if self.message is not None:
            self.message.ack()


@dataclass(slots=True)
class RecordsCounters:
    """Totals since the start of the program."""

    verdicts: dict[Verdict, int] = field(default_factory=dict)
    commits: int = 0
    inquiries: int = 0
    refused: int = 0
    #: Let go because too much waited.
    let_go: int = 0


async def run_records(settings: RecordsSettings, stop: asyncio.Event) -> None:
    """Opens the store and the archive and runs until `stop`; raises StoreError, FatalMqttError."""
    store = RecordsStore(settings.database_url, wall_time(), settings.cases)
    archive = BlobArchive(settings.archive_url)
    try:
        await Records(settings, store, archive).run(stop)
    finally:
        archive.close()
        store.close()


class Records:
    """The program around one store, one archive and one session."""

    def __init__(
        self, settings: RecordsSettings, store: RecordsStore, archive: BlobArchive
    ) -> None:
        self.counters = RecordsCounters()
        self._settings = settings
        self._store = store
        self._archive = archive
        self._topics = Topics(settings.broker.root)
        self._intake = Intake(self._topics)
        self._log = get_log("records")
        #: Both are bounded by _held.
        self._unseen: asyncio.Queue[Waiting] = asyncio.Queue()
        self._queue: asyncio.Queue[Waiting] = asyncio.Queue()
        self._held: set[Waiting] = set()
        #: Held work whose connection ended: the broker will bring its message again.
        self._bereft: dict[tuple[str, bytes], Waiting] = {}
        self._database = ThreadPoolExecutor(1, "records-database")
        #: Of its own, so that a look that hangs keeps nobody else's thread.
        self._looking = ThreadPoolExecutor(1, "records-look")
        status = Status(
            state=PresenceState.ONLINE,
            incarnation=new_id(),
            program="records",
            id=settings.name,
            store_id=store.store_id,
        )
        self._status = status
        self._session = MqttSession(
            settings.broker,
            replace(records_session(settings.name), receive_maximum=settings.batch_max),
            Presence(self._topics.build(Kind.RECORDS_STATUS), status),
        )
        self._teller = Teller(settings.database_url, self._session, self._topics)

    @property
    def held(self) -> int:
        """Reports and inquiries that are not answered yet."""
        return len(self._held)

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop` is set; what is not answered by then comes again at the next start."""
        try:
            async with asyncio.TaskGroup() as group:
                looking = group.create_task(self._look_for_blobs(), name="look for blobs")
                recording = group.create_task(self._record(), name="record")
                group.create_task(self._session.run(), name="mqtt")
                group.create_task(self._receive(), name="receive")
                telling = group.create_task(self._teller.run(), name="tell")
                await stop.wait()
                looking.cancel()
                recording.cancel()
                telling.cancel()
                await self._session.close()
        finally:
            self._looking.shutdown(wait=False, cancel_futures=True)
            self._database.shutdown()

    # --- in -------------------------------------------------------------------------------------

    async def _receive(self) -> None:
        async for event in self._session.events():
            match event:
                case Connected():
                    with suppress(MqttError):
                        await self._session.subscribe(self._subscriptions())
                        await self._session.announce(self._status)
                        self._teller.connected()
                        self._log.info("records_online", store_id=self._store.store_id)
                case Disconnected(reason=reason):
                    self._intake.disconnected()
                    for waiting in self._held:
                        waiting.message = None
                    self._bereft = {waiting.key: waiting for waiting in self._held}
                    self._log.info("records_disconnected", reason=reason)
                case Message():
                    self._take(event)

    def _subscriptions(self) -> list[Subscription]:
        clock = self._topics.build(Kind.CLOCK, peer=RECORDS)
        return [
            *(Subscription(self._topics.every(kind)) for kind in KINDS),
            Subscription(clock, qos=0),
        ]

    def _take(self, message: Message) -> None:
        try:
            work = self._intake.read(message.topic, message.payload)
        except PeerError as error:
            self.counters.refused += 1
            self._log.warning("message_refused", topic=message.topic, problem=str(error))
            message.ack()
            return
        if isinstance(work, ClockRequest):
            self._answer_clock(work, message.received_at_ns)
        elif work is not None:
            self._hold(work, message)
            return
        message.ack()

    def _hold(self, work: Work, message: Message) -> None:
        key = (message.topic, message.payload)
        again = self._bereft.pop(key, None)
        if again is not None:
            again.message = message
        elif len(self._held) < HELD_BATCHES * self._settings.batch_max:
            waiting = Waiting(work, key, message)
            self._held.add(waiting)
            needs_blob = isinstance(work, Filed) and work.report.mode in NEEDS_BLOB
            (self._unseen if needs_blob else self._queue).put_nowait(waiting)
        else:
            self.counters.let_go += 1
            self._log.error("report_let_go", held=len(self._held), topic=message.topic)
            message.ack()

    def _answer_clock(self, asked: ClockRequest, received_ns: int) -> None:
        reply = ClockReply(
            boot_id=asked.boot_id,
            records_boot_id=boot_id(),
            sent_ns=asked.sent_ns,
            received_ns=received_ns,
            replied_ns=monotonic_ns(),
        )
        self._session.send(
            self._topics.build(Kind.CLOCK, peer=asked.requester), encode(reply), qos=0
        )

    # --- recording ------------------------------------------------------------------------------

    async def _record(self) -> None:
        while True:
            batch = await self._next_batch(self._queue)
            committed = await self._commit(batch)
            recorded_ns = monotonic_ns()
            await self._notice_store_id(committed.store_id)
            for waiting, result in zip(batch, committed.results, strict=True):
                self._held.discard(waiting)
                self._bereft.pop(waiting.key, None)
                self._answer(waiting, result, committed.store_id, recorded_ns)
            self._teller.poke()

    async def _next_batch(self, queue: asyncio.Queue[Waiting]) -> list[Waiting]:
        """All that waits now, at least one: what comes during a commit shares the next one."""
        batch = [await queue.get()]
        while len(batch) < self._settings.batch_max and not queue.empty():
            batch.append(queue.get_nowait())
        return batch

    async def _look_for_blobs(self) -> None:
        """Passes on each report whose blob was seen, or was looked for often enough."""
        loop = asyncio.get_running_loop()
        while True:
            batch = await self._next_batch(self._unseen)
            filed = [(w, w.work) for w in batch if isinstance(w.work, Filed)]
            present = await self._present({work.report.identity.sha256 for _, work in filed})
            for waiting, work in filed:
                if present is None:
                    loop.call_later(AWAY_RETRY_S[1], self._unseen.put_nowait, waiting)
                elif work.report.identity.sha256 in present:
                    waiting.work = replace(work, blob_seen=True)
                    self._queue.put_nowait(waiting)
                elif waiting.looks < len(BLOB_LOOKS_AFTER_S):
                    delay_s = BLOB_LOOKS_AFTER_S[waiting.looks]
                    waiting.looks += 1
                    loop.call_later(delay_s, self._unseen.put_nowait, waiting)
                else:
                    self._queue.put_nowait(waiting)

    async def _present(self, digests: set[str]) -> set[str] | None:
        """Which of these the archive holds; None while it is away or does not answer in time.

        A look that hangs keeps the one thread: the looks after it wait for it and time out too.
        """
        loop = asyncio.get_running_loop()
        look = loop.run_in_executor(self._looking, self._archive.present, digests)
        try:
            return await asyncio.wait_for(look, self._settings.archive_s)
        except ArchiveAway as error:
            problem = str(error)
        except TimeoutError:
            problem = f"no answer within {self._settings.archive_s:g} s"
        self._log.error("archive_away", problem=problem, waiting=len(digests))
        return None

    async def _commit(self, batch: Sequence[Waiting]) -> Committed:
        """Commits, waiting as long as the database is away."""
        loop = asyncio.get_running_loop()
        pause_s, longest_s = AWAY_RETRY_S
        work = [waiting.work for waiting in batch]
        while True:
            try:
                committed = await loop.run_in_executor(
                    self._database, self._store.commit, work, wall_time()
                )
            except StoreAway as error:
                self._log.error("database_away", problem=str(error), waiting=len(batch))
                await asyncio.sleep(pause_s)
                pause_s = min(longest_s, pause_s * 2)
            else:
                self.counters.commits += 1
                return committed

    async def _notice_store_id(self, store_id: str) -> None:
        if store_id == self._status.store_id:
            return
        self._log.warning("store_id_changed", store_id=store_id)
        self._status = self._status.model_copy(update={"store_id": store_id})
        with suppress(MqttError):
            await self._session.announce(self._status)

    # --- answers --------------------------------------------------------------------------------

    def _answer(self, waiting: Waiting, result: Result, store_id: str, recorded_ns: int) -> None:
        match waiting.work, result:
            case Filed(report=report), Judged(verdict=verdict, outcome=outcome):
                self.counters.verdicts[verdict] = self.counters.verdicts.get(verdict, 0) + 1
                log = self._log.bind(device=report.device, image_id=report.identity.image_id)
                if verdict in SET_ASIDE or verdict is Verdict.UNSTORABLE:
                    identity = report.identity
                    log.error(
                        f"report_{verdict.value}",
                        sha256=identity.sha256,
                        outbox_id=identity.outbox_id,
                        seq=identity.seq,
                    )
                if outcome is None:
                    waiting.ack()
                    return
                log.info("report_recorded", verdict=verdict.value, outcome=outcome.value)
                recorded = Recorded(
                    image_id=report.identity.image_id,
                    sha256=report.identity.sha256,
                    outcome=outcome,
                    store_id=store_id,
                )
                self._send(report.device, recorded, waiting)
                if verdict is Verdict.FIRST:
                    self._trace(report.identity.image_id, report.attempt, recorded_ns)
            case Refile() as refile, RefileVerdict() as verdict:
                self._tell_of_refile(refile, verdict)
                refiled = Refiled(
                    refile_id=refile.refile_id, image_id=refile.image_id, store_id=store_id
                )
                self._send(refile.device, refiled, waiting)
            case Asked(device=device), InquiryAnswer():
                self.counters.inquiries += 1
                self._send(device, result, waiting)
            case _:
                waiting.ack()

    def _tell_of_refile(self, refile: Refile, verdict: RefileVerdict) -> None:
        is_wrong = verdict is RefileVerdict.CONFLICT
        (self._log.error if is_wrong else self._log.info)(
            f"refile_{verdict.value}",
            device=refile.device,
            image_id=refile.image_id,
            number=refile.number,
            from_case=refile.from_case,
            to_case=refile.to_case,
            operator=refile.operator,
        )

    def _send(
        self, device: str, answer: Recorded | InquiryAnswer | Refiled, waiting: Waiting
    ) -> None:
        """Answers; the report is done when the broker has the answer, else it comes again."""

        def done(code: int) -> None:
            if code != LOST:
                waiting.ack()
            if code >= 0x80 or code < LOST:
                self._log.error("answer_refused", device=device, code=code)

        self._session.send(self._topics.build(Kind.RECORDED, device=device), encode(answer), done)

    def _trace(self, image_id: str, attempt: str, recorded_ns: int) -> None:
        fragment = fragment_of(
            "records",
            self._settings.name,
            image_id,
            attempt,
            stamps_ns={Stage.RECORDED: recorded_ns},
            leg=own_leg(),
        )
        topic = self._topics.build(Kind.TRACE, program=self._settings.name)
        self._session.send(topic, fragment.to_bytes(), qos=0)
