"""What the network says of previews, against what it says of their images; the worker's own steps, without a broker."""

from __future__ import annotations

import hashlib
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks.preview.fields import Source
from cloud_worker.decode import decode
from cloud_worker.diagnosis import Decision
from cloud_worker.engines.engine import Engine, Outputs, join_outputs, open_engine
from cloud_worker.finding import Conclusion
from cloud_worker.preprocess import Prepared
from cloud_worker.previews import open_preview
from cloud_worker.tiling import pool
from edge_device.encoding.preview import make_preview
from training.metrics import wilson
from wire_protocol.image_header import read_header
from wire_protocol.json_messages import Urgency
from wire_protocol.manifest import MAX_PIXELS, ContentType, Manifest
from wire_protocol.messages import Preview


@dataclass(frozen=True, slots=True)
class Way:
    """One way to make a preview."""

    most_bytes: int
    quality: int

    @property
    def name(self) -> str:
        """As in the table."""
        return f"{self.most_bytes / 1024:.0f} KiB, JPEG {self.quality}"


@dataclass(frozen=True, slots=True)
class Said:
    """The network's word on one picture."""

    logits: NDArray[np.float64]
    decision: Decision

    @property
    def answer(self) -> tuple[str, Urgency]:
        """What a person acts on."""
        return self.decision.result, self.decision.urgency


@dataclass(slots=True)
class Tally:
    """What one way did to a set, a value per field."""

    um_per_px: list[float] = field(default_factory=list)
    same_class: list[bool] = field(default_factory=list)
    same_answer: list[bool] = field(default_factory=list)
    logit_change: list[float] = field(default_factory=list)
    acute_change: list[float] = field(default_factory=list)
    #: The final result suspects acute leukemia and the draft does not; and the other way round.
    missed: int = 0
    raised: int = 0
    #: The draft says cannot_say and the final result does not.
    abstained: int = 0
    none_made: int = 0


def measure(source: Source, ways: Sequence[Way]) -> dict[Way, Tally]:
    """Every way of making previews, over every field of a set."""
    engine = open_engine(source.bundle, "openvino", threads=1, precision="f32")
    judge = Conclusion(source.bundle)
    tallies = {way: Tally() for way in ways}
    for number, data in enumerate(source.files, start=1):
        manifest = manifest_of(data, source.um_per_px, number)
        rgb = decode(data)
        if not isinstance(rgb, np.ndarray):
            raise SystemExit(f"{source.name}: {rgb.text}")
        whole = judge.prepare(rgb, source.um_per_px)
        if not isinstance(whole, Prepared):
            raise SystemExit(f"{source.name}: {whole.text}")
        final = _say(whole, engine, judge)
        for way, tally in tallies.items():
            preview = make_preview(data, source.um_per_px, way.most_bytes, quality=way.quality)
            draft = None if preview is None else _draft(manifest, preview, engine, judge)
            if preview is None or draft is None:
                tally.none_made += 1
                continue
            _compare(draft, final, preview, tally)
        if number % 10 == 0:
            print(f"  {source.name}: {number} fields", file=sys.stderr, flush=True)
    return tallies


def manifest_of(data: bytes, um_per_px: float, seq: int) -> Manifest:
    """What a device would say of such a file."""
    header = read_header(data)
    return Manifest(
        image_id=hashlib.md5(data, usedforsecurity=False).hexdigest(),
        outbox_id="0" * 32,
        seq=seq,
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        content_type=ContentType(f"image/{header.encoding.value.lower()}"),
        width_px=header.width_px,
        height_px=header.height_px,
        um_per_px=um_per_px,
        captured_at="2026-11-21T09:14:03.120Z",
        clock_synced=False,
        captured_ns=0,
        boot_id="0" * 32,
    )


def _draft(manifest: Manifest, preview: Preview, engine: Engine, judge: Conclusion) -> Said | None:
    opened = open_preview(manifest, preview, judge.bundle.card.preprocessing, MAX_PIXELS)
    return None if opened is None else _say(opened.prepared, engine, judge)


def _say(prepared: Prepared, engine: Engine, judge: Conclusion) -> Said:
    parts: list[Outputs] = []
    step = engine.batch_size * engine.streams
    for start in range(0, prepared.count, step):
        parts.append(engine.infer(prepared.tiles(start, start + step)))
    outputs = join_outputs(parts)
    decision = judge.finish(prepared, judge.read(outputs)).decision
    return Said(pool(outputs.logits, prepared.weights), decision)


def _compare(draft: Said, final: Said, preview: Preview, tally: Tally) -> None:
    tally.um_per_px.append(preview.um_per_px)
    tally.same_class.append(bool(draft.logits.argmax() == final.logits.argmax()))
    tally.same_answer.append(draft.answer == final.answer)
    tally.logit_change.append(float(np.abs(draft.logits - final.logits).max()))
    if draft.decision.p_acute is not None and final.decision.p_acute is not None:
        tally.acute_change.append(abs(draft.decision.p_acute - final.decision.p_acute))
    was, found = final.decision.urgency, draft.decision.urgency
    tally.missed += was is Urgency.SUSPECTED_ACUTE and found is not was
    tally.raised += found is Urgency.SUSPECTED_ACUTE and found is not was
    tally.abstained += found is Urgency.CANNOT_SAY and found is not was


def table(source: Source, tallies: dict[Way, Tally]) -> list[str]:
    """A set's rows, with its head."""
    lines = [
        f"### {source.name}",
        "",
        f"{source.what}; {source.um_per_px:g} um per pixel; {source.bundle.name}.",
        "",
        "| preview | fields | um/px of it | same class | same answer | acute missed | acute raised "
        "| draft abstains | logit change median | p95 | p_acute change median |",
        "|" + "---|" * 11,
    ]
    for way, tally in tallies.items():
        count = len(tally.same_class)
        if not count:
            lines.append(f"| {way.name} | 0 of {tally.none_made} | | | | | | | | | |")
            continue
        acute = f"{statistics.median(tally.acute_change):.3f}" if tally.acute_change else ""
        lines.append(
            f"| {way.name} | {count} | {statistics.median(tally.um_per_px):.2f} "
            f"| {_share(tally.same_class)} | {_share(tally.same_answer)} | {tally.missed} "
            f"| {tally.raised} | {tally.abstained} | {statistics.median(tally.logit_change):.2f} "
            f"| {np.percentile(tally.logit_change, 95):.2f} | {acute} |"
        )
    return [*lines, ""]


def _share(flags: Sequence[bool]) -> str:
    count = sum(flags)
    share = wilson(count, len(flags))
    return f"{count} of {len(flags)} ({100 * share.low:.0f} to {100 * share.high:.0f} %)"
