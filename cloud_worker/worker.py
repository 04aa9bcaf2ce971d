"""The worker: takes images from microscopes and answers with diagnoses, every stage in order.

    receive -> archive -> decode -> batch -> infer -> explain -> diagnose -> publish

A preview that came ahead of its image takes a short way of its own: `cloud_worker.previews`.
All it holds is soft state: it may be killed at any line. It never says "stored" before the archive
has the bytes, and never publishes a diagnosis of an image that the archive does not have.
Starting and stopping, in order, is `cloud_worker.service`. The page is longer than most so that it
shows every stage.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from cloud_worker.admission import Admission
from cloud_worker.archive import Archive, ArchiveAwayError
from cloud_worker.archiving import Archiving, Image
from cloud_worker.cells import SeenField, look_at
from cloud_worker.decode import DecodeLimits
from cloud_worker.diagnosis_message import Origin, diagnosis_message, picture_of
from cloud_worker.finding import Conclusion, Finding
from cloud_worker.inference import ImageFailedError, Inference
from cloud_worker.intake import Intake
from cloud_worker.offers import Offers
from cloud_worker.opening import Opened, OpenRequest, begin_image, judge_count
from cloud_worker.previews import Previews
from cloud_worker.publishing import Outgoing, Publisher
from cloud_worker.refusal import Refusal
from cloud_worker.settings import LimitSettings
from cloud_worker.stamps import Stamps
from cloud_worker.suspect import ChildLimits, open_suspect
from service_runtime.boot import boot_id
from service_runtime.log import get_log
from wire_protocol import machine_io as io
from wire_protocol.json_messages import Reason
from wire_protocol.trace import Stage

T = TypeVar("T")


class Worker:
    """The stages. `intake`, `offers` and `publisher` are its ends on the wire."""

    def __init__(
        self,
        name: str,
        *,
        archive: Archive,
        conclusion: Conclusion,
        engine_name: str,
        inference: Inference,
        stamps: Stamps,
        limits: LimitSettings,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self.name = name
        self.counts: Counter[str] = Counter()
        self.intake: Intake
        self.offers: Offers
        self.publisher: Publisher
        self._bundle = conclusion.bundle
        self._conclusion = conclusion
        self._engine_name = engine_name
        self._inference = inference
        self._stamps = stamps
        self._limits = limits
        self._tasks = tasks
        self._archiving = Archiving(
            archive,
            limits,
            tell=self._tell,
            on_away=self._archive_failed,
            counts=self.counts,
        )
        self._decode_threads = ThreadPoolExecutor(limits.decode_threads, "decode")
        self._unpublished = Admission(limits.unpublished_images)
        self._decoded = Admission(limits.decoded_images)
        self._one_suspect = asyncio.Lock()
        self.previews = Previews(
            name,
            bundle=conclusion.bundle,
            conclusion=self._conclusion,
            engine_name=engine_name,
            inference=inference,
            limits=limits,
            threads=self._decode_threads,
            tasks=tasks,
            is_short_of_room=lambda: bool(self._unpublished.waiting or self._decoded.waiting),
            counts=self.counts,
        )
        self._in_hand: set[asyncio.Task[Any]] = set()
        self._log = get_log("worker").bind(worker=name)

    # --- receive ------------------------------------------------------------------------------

    def take_image(self, effect: io.Store | io.Fetch) -> None:
        """The receiver has a whole image (or its name in the archive): start its way here."""
        image = Image(
            effect.key,
            effect.site,
            effect.device,
            effect.attempt,
            effect.manifest,
            effect.suspect,
        )
        data = effect.data if isinstance(effect, io.Store) else None
        self.counts["received" if data is not None else "read_back"] += 1
        self.previews.drop(image.manifest.image_id)
        self._start(self._handle(image, data), f"image {image.manifest.image_id}")

    def _start(self, work: Coroutine[None, None, T], name: str) -> asyncio.Task[T]:
        task = self._tasks.create_task(work, name=name)
        self._in_hand.add(task)
        task.add_done_callback(self._in_hand.discard)
        return task

    @property
    def in_hand(self) -> int:
        """Tasks of images between their last byte and the PUBACK of their diagnosis."""
        return len(self._in_hand)

    async def _handle(self, image: Image, data: bytes | bytearray | None) -> None:
        """One image from its bytes to the PUBACK of its diagnosis."""
        if data is None:
            data = await self._archiving.read_back(image)
            if data is None:
                return
            archived = None
        else:
            archived = self._start(
                self._archiving.put(image, data), f"put {image.manifest.image_id}"
            )
        async with self._unpublished.enter(is_urgent=image.is_urgent):
            async with self._decoded.enter(is_urgent=image.is_urgent):
                opened, looking = await self._decode(image, data)
                del data
                self._free(image, archived)
                finding = await self._infer_and_explain(image, opened, looking)
            if archived is not None and not await archived:
                self._stamps.forget(image.manifest.image_id)
                return
            await self._publish(image, opened.thumbnail, finding)

    def _tell(self, event: io.ReceiverEvent) -> None:
        self.intake.tell(event)

    def _archive_failed(self, error: ArchiveAwayError) -> None:
        self.offers.archive_failed(error)

    def _free(self, image: Image, archived: asyncio.Task[bool] | None) -> None:
        """Tells the pool that neither archive nor decoder needs the bytes any more."""
        if archived is None:
            self.intake.tell(io.Freed(image.key))
        else:
            archived.add_done_callback(lambda _: self.intake.tell(io.Freed(image.key)))

    # --- decode -------------------------------------------------------------------------------

    async def _decode(
        self, image: Image, data: bytes | bytearray
    ) -> tuple[Opened, Awaitable[SeenField] | None]:
        """Thumbnail and prepared field, and its white cells, which are counted while the network
        runs; a suspect image alone, in a child process, and counted there."""
        um_per_px, counts = image.manifest.um_per_px, self._limits.count_white_cells
        request = OpenRequest(
            image_id=image.manifest.image_id,
            um_per_px=um_per_px,
            preprocessing=self._bundle.card.preprocessing,
            limits=DecodeLimits(max_pixels=self._limits.max_pixels),
            count_white_cells=counts,
        )
        looking = None
        if image.is_suspect:
            child = ChildLimits(self._limits.suspect_s, self._limits.suspect_bytes)
            async with self._one_suspect:
                opened = await asyncio.to_thread(open_suspect, data, request, child)
        else:
            begin = partial(begin_image, data, request)
            opened, pixels = await self._in_thread(self._decode_threads, begin)
            if pixels is not None:
                look = partial(look_at, pixels, um_per_px, count=counts)
                looking = asyncio.ensure_future(self._in_thread(self._decode_threads, look))
        self._stamps.mark(image.manifest.image_id, Stage.DECODED)
        return opened, looking

    # --- batch, infer, explain, diagnose --------------------------------------------------------

    async def _infer_and_explain(
        self, image: Image, opened: Opened, looking: Awaitable[SeenField] | None
    ) -> Finding:
        """The finding with its map; an image that the network fails on is refused by name."""
        if isinstance(opened.prepared, Refusal):
            seen = opened.seen if looking is None else await looking
            return self._conclusion.refuse(opened.prepared, seen)
        image_id = image.manifest.image_id
        inferring = asyncio.create_task(
            self._inference.infer(opened.prepared, is_urgent=image.is_urgent)
        )
        try:
            seen = opened.seen if looking is None else await looking
            prepared = opened.prepared if seen is None else judge_count(opened.prepared, seen)
            if isinstance(prepared, Refusal):
                return self._conclusion.refuse(prepared, seen)
            inferred = await inferring
        except ImageFailedError as error:
            self._log.error("inference_failed", image_id=image_id, problem=str(error))
            text = "the network could not be run on this image. Take it again; tell the operator."
            return self._conclusion.refuse(Refusal(Reason.INFERENCE_FAILED, text), seen)
        finally:
            inferring.cancel()  # where the count has refused the field: nobody waits for it
        self._stamps.mark(image_id, Stage.BATCHED, inferred.batched_ns)
        self._stamps.mark(image_id, Stage.INFERRED, inferred.inferred_ns)
        finish = partial(self._conclusion.finish, prepared, inferred.tiles, seen)
        finding = await self._in_thread(self._decode_threads, finish)
        self._stamps.mark(image_id, Stage.EXPLAINED)
        return finding

    # --- publish ------------------------------------------------------------------------------

    async def _publish(self, image: Image, thumbnail: bytes | None, finding: Finding) -> None:
        """Thumbnail, then diagnosis, until the broker has it; then this worker's trace."""
        manifest = image.manifest
        published_ns = self._stamps.mark(manifest.image_id, Stage.PUBLISHED)
        latency_ms = None
        if manifest.boot_id == boot_id():  # else the two clocks cannot be compared here
            latency_ms = round((published_ns - manifest.captured_ns) / 1e6, 1)
        diagnosis = diagnosis_message(
            finding.decision,
            manifest,
            self._bundle,
            engine_name=self._engine_name,
            origin=Origin(image.site, image.device, self.name, f"{image.attempt:016x}"),
            picture=picture_of(finding),
            ood_percentile=finding.ood_percentile,
            latency_ms=latency_ms,
        )
        await self.publisher.publish(
            Outgoing(image.site, image.device, manifest.image_id, thumbnail, diagnosis.to_bytes())
        )
        self.counts[diagnosis.outcome.value] += 1
        fragment = self._stamps.take(manifest.image_id, image.attempt, manifest.size_bytes)
        self.publisher.publish_trace(self.name, fragment)
        self._log.info(
            "published",
            image_id=manifest.image_id,
            device=image.device,
            outcome=diagnosis.outcome.value,
            result=diagnosis.result,
            reason=diagnosis.reason,
            latency_ms=latency_ms,
        )

    async def _in_thread(self, threads: ThreadPoolExecutor, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(threads, call)

    def close(self) -> None:
        """Lets what is still in hand go; its device asks for it again."""
        for task in list(self._in_hand):
            task.cancel()
        self.previews.close()
        self._archiving.close()
        self._decode_threads.shutdown(wait=False, cancel_futures=True)
