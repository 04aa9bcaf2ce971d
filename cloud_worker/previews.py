"""The preview stage: a first draft of an image that is still on its way, where that keeps no whole image waiting.

A preview is in no archive, is owed to nobody and frees nothing: what goes wrong with it is counted and
the preview left, for the image follows. It is dropped when its image is here first.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from cloud_worker.cells import SeenField, look_at
from cloud_worker.decode import DecodeLimits, decode
from cloud_worker.diagnosis_message import Origin, diagnosis_message, picture_of
from cloud_worker.finding import Conclusion
from cloud_worker.inference import ImageFailedError, Inference
from cloud_worker.models.bundle_folder import Bundle
from cloud_worker.models.card import Preprocessing
from cloud_worker.preprocess import Prepared, lay_out, resample, resampling_factor
from cloud_worker.publishing import Outgoing, Publisher
from cloud_worker.refusal import Refusal
from cloud_worker.settings import LimitSettings
from cloud_worker.thumbnail import make_thumbnail
from service_runtime.boot import boot_id, monotonic_ns
from service_runtime.log import get_log
from wire_protocol import machine_io as io
from wire_protocol.manifest import Manifest, Priority
from wire_protocol.messages import Preview

#: A preview shows the whole field: its sides in um may differ so much from the image's, by rounding.
MOST_OFF = 0.05
#: No picture of at most 24 KiB has more pixels; one that says so would only cost memory.
MOST_PIXELS = 4_000_000


@dataclass(frozen=True, slots=True)
class OpenedPreview:
    """A preview ready for the network, and the thumbnail that is shown beside its draft."""

    prepared: Prepared
    seen: SeenField
    thumbnail: bytes


def open_preview(
    manifest: Manifest,
    preview: Preview,
    to: Preprocessing,
    max_pixels: int,
) -> OpenedPreview | None:
    """The preview at the bundle's scale; None where the image itself has to say why it cannot be.

    The objective is judged by the image's own scale: a preview is coarser because it was shrunk.
    """
    if manifest.width_px * manifest.height_px > max_pixels or not _is_whole_field(
        manifest, preview
    ):
        return None
    if isinstance(resampling_factor(manifest.um_per_px, to), Refusal):
        return None
    rgb = decode(preview.data, DecodeLimits(max_pixels=MOST_PIXELS))
    if isinstance(rgb, Refusal) or rgb.shape[:2] != (preview.height_px, preview.width_px):
        return None
    prepared = lay_out(resample(rgb, preview.um_per_px / to.um_per_px), to)
    if isinstance(prepared, Refusal):
        return None
    # Never counted: at a preview's scale half of the fields with white cells would show none.
    seen = look_at(rgb, preview.um_per_px, count=False)
    return OpenedPreview(prepared, seen, make_thumbnail(rgb, manifest.image_id))


def _is_whole_field(manifest: Manifest, preview: Preview) -> bool:
    if manifest.um_per_px is None:
        return False
    return all(
        abs(small * preview.um_per_px / (large * manifest.um_per_px) - 1) <= MOST_OFF
        for small, large in (
            (preview.width_px, manifest.width_px),
            (preview.height_px, manifest.height_px),
        )
    )


class Previews:
    """One task for each preview in hand; all methods belong to the event loop's thread."""

    def __init__(
        self,
        worker: str,
        *,
        bundle: Bundle,
        conclusion: Conclusion,
        engine_name: str,
        inference: Inference,
        limits: LimitSettings,
        threads: ThreadPoolExecutor,
        tasks: asyncio.TaskGroup,
        is_short_of_room: Callable[[], bool],
        counts: Counter[str],
    ) -> None:
        self.publisher: Publisher
        self._worker = worker
        self._bundle = bundle
        self._conclusion = conclusion
        self._engine_name = engine_name
        self._inference = inference
        self._limits = limits
        self._threads = threads
        self._tasks = tasks
        self._is_short_of_room = is_short_of_room
        self._counts = counts
        self._in_hand: dict[str, asyncio.Task[None]] = {}
        self._log = get_log("worker").bind(worker=worker)

    def take(self, effect: io.ClassifyPreview) -> None:
        """Begins with a preview; without room for it, it is left."""
        image_id = effect.manifest.image_id
        is_full = len(self._in_hand) >= self._limits.previews
        if is_full or image_id in self._in_hand or self._is_short_of_room():
            self._counts["previews_left"] += 1
            return
        task = self._tasks.create_task(self._handle(effect), name=f"preview {image_id}")
        self._in_hand[image_id] = task
        task.add_done_callback(lambda _: self._in_hand.pop(image_id, None))

    def drop(self, image_id: str) -> None:
        """The image itself is here."""
        task = self._in_hand.get(image_id)
        if task is not None:
            self._counts["previews_overtaken"] += 1
            task.cancel()

    def close(self) -> None:
        """Lets all that is in hand go."""
        for task in list(self._in_hand.values()):
            task.cancel()

    async def _handle(self, effect: io.ClassifyPreview) -> None:
        """From its bytes to the PUBACK of its draft."""
        loop = asyncio.get_running_loop()
        manifest, preview = effect.manifest, effect.preview
        to = self._bundle.card.preprocessing
        open_it = partial(
            open_preview,
            manifest,
            preview,
            to,
            self._limits.max_pixels,
        )
        opened = await loop.run_in_executor(self._threads, open_it)
        if opened is None:
            self._counts["previews_left"] += 1
            return
        try:
            inferred = await self._inference.infer(
                opened.prepared, is_urgent=manifest.priority is Priority.STAT, is_preview=True
            )
        except ImageFailedError as error:
            self._counts["previews_left"] += 1
            self._log.warning("preview_failed", image_id=manifest.image_id, problem=str(error))
            return
        finish = partial(self._conclusion.finish, opened.prepared, inferred.tiles, opened.seen)
        finding = await loop.run_in_executor(self._threads, finish)
        latency_ms = None
        if manifest.boot_id == boot_id():  # else the two clocks cannot be compared here
            latency_ms = round((monotonic_ns() - manifest.captured_ns) / 1e6, 1)
        draft = diagnosis_message(
            finding.decision,
            manifest,
            self._bundle,
            engine_name=self._engine_name,
            origin=Origin(effect.site, effect.device, self._worker, f"{effect.attempt:016x}"),
            picture=picture_of(finding),
            ood_percentile=finding.ood_percentile,
            latency_ms=latency_ms,
            preview=preview,
        )
        await self.publisher.publish(
            Outgoing(
                effect.site, effect.device, manifest.image_id, opened.thumbnail, draft.to_bytes()
            )
        )
        self._counts["previews"] += 1
        self._log.info(
            "preview_published",
            image_id=manifest.image_id,
            device=effect.device,
            result=draft.result,
            latency_ms=latency_ms,
        )
