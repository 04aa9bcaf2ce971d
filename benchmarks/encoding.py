"""What an encoding costs in bytes and CPU, and what it does to the classifier's answer, against lossless.

    python -m benchmarks.encoding --bundle BALL4_BUNDLE --out benchmarks/results/encoding.md

Three sets: held-out images of ball4 with a bundle trained on others of it (HEMOWIRE_REAL_DATA and
`--bundle`; without them this set is left out, and the page says so), Raspberry Pi fields (chula)
and simulated fields, both with the packaged bundle. The real ones are JPEG files already: what is
measured there is one more encoding. Only simulated fields were never encoded.
Beside the encodings stands a yardstick: the same field moved by one pixel. It chooses by `RULE`.
(Over 250 lines: sets, measuring and page of one experiment read best together.)
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.image_distance import Rgb, psnr_db, ssim
from cloud_worker.decode import decode
from cloud_worker.engines.engine import Engine, Outputs, open_engine
from cloud_worker.finding import Conclusion
from cloud_worker.models.bundle import Bundle, default_bundle, load_bundle
from cloud_worker.preprocess import Prepared
from cloud_worker.tiling import pool
from edge_device.encoding.encode import EncodeSettings, Opened, encode, open_pixels
from edge_device.outbox.rows import Refusal
from edge_device.simulator import DiagnosisClass, draw_slide, render_field
from training.data import read_data_set, read_image
from training.metrics import wilson
from training.own_images import test_part
from wire_protocol.words import RESEARCH_USE_ONLY

QUALITIES = (60, 70, 80, 85, 90, 92, 95, 98)
#: The smallest that the packaged bundle takes. By their red cells the Raspberry Pi fields have
#: 0.10, at which it answers "magnification"; read like this it sees twice as much of their detail.
CHULA_UM_PER_PX = 0.2
#: One tile of that bundle at that scale, from the middle of the field.
CHULA_SEEN_PX = (480, 648)
BALL4_UM_PER_PX = 0.48
MOVED = "moved by 1 px"
RULE = (
    "the smallest encoding (bytes per pixel, mean over the whole fields: simulated and chula) that "
    "in every set changes no label, changes no more answers than moving the field by one pixel "
    "does, and whose 95th percentile of the logit change is at most that of moving it"
)


@dataclass(frozen=True, slots=True)
class Way:
    """One way to encode."""

    name: str
    settings: EncodeSettings


@dataclass(slots=True)
class Tally:
    """What one way did to one set, a value per image."""

    bytes_per_px: list[float] = field(default_factory=list)
    encode_ms_per_mpx: list[float] = field(default_factory=list)
    decode_ms_per_mpx: list[float] = field(default_factory=list)
    psnr_db: list[float] = field(default_factory=list)
    ssim: list[float] = field(default_factory=list)
    logit_change: list[float] = field(default_factory=list)
    feature_change: list[float] = field(default_factory=list)
    label_changed: list[bool] = field(default_factory=list)
    answer_changed: list[bool] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Source:
    """A set of fields and the bundle that answers on them."""

    name: str
    what: str
    um_per_px: float
    bundle: Bundle
    fields: Iterator[Rgb]
    #: Height and width of the middle part that the network looks at; the whole where there is none.
    seen_px: tuple[int, int] | None = None

    def seen(self, rgb: Rgb) -> Rgb:
        """What the network looks at."""
        if self.seen_px is None:
            return rgb
        (height, width), (tall, wide) = self.seen_px, rgb.shape[:2]
        top, left = (tall - height) // 2, (wide - width) // 2
        return rgb[top : top + height, left : left + width]


@dataclass(frozen=True, slots=True)
class Said:
    """A network's word on one picture."""

    logits: NDArray[np.float64]
    features: NDArray[np.float64]
    result: str
    urgency: str


def ways() -> list[Way]:
    """Every encoding that a device can be set to, the losslessly encoding ones last."""
    jpeg = [
        Way(f"JPEG {q} {chroma[0]}:{chroma[1]}:{chroma[2]}", settings)
        for chroma in ("420", "444")
        for q in QUALITIES
        for settings in [EncodeSettings.model_validate({"jpeg_quality": q, "chroma": chroma})]
    ]
    return [
        *jpeg, Way("PNG", EncodeSettings(format="png")), Way("WebP", EncodeSettings(format="webp"))
    ]  # fmt: skip


def moved(rgb: Rgb) -> Rgb:
    """The field as a stage would show it that stands one pixel further; the border is mirrored."""
    return np.ascontiguousarray(np.pad(rgb, ((0, 0), (1, 0), (0, 0)), "symmetric")[:, :-1])


def measure_way(way: Way, rgb: Rgb, opened: Opened, tally: Tally) -> Rgb:
    """Encodes and decodes once, timed on this thread's CPU; the pixels that come back."""
    mpx = rgb.shape[0] * rgb.shape[1] / 1e6
    started = time.thread_time()
    encoded = encode(opened, way.settings)
    between = time.thread_time()
    if isinstance(encoded, Refusal):
        raise SystemExit(f"{way.name}: {encoded.text}")
    back = decode(encoded.data)
    ended = time.thread_time()
    if not isinstance(back, np.ndarray):
        raise SystemExit(f"{way.name}: {back.text}")
    tally.bytes_per_px.append(len(encoded.data) / (mpx * 1e6))
    tally.encode_ms_per_mpx.append((between - started) * 1e3 / mpx)
    tally.decode_ms_per_mpx.append((ended - between) * 1e3 / mpx)
    tally.psnr_db.append(psnr_db(rgb, back))
    tally.ssim.append(1.0 if np.array_equal(rgb, back) else ssim(rgb, back))
    return back


def ask(pictures: Sequence[Rgb], source: Source, engine: Engine, judge: Conclusion) -> list[Said]:
    """What the network says about pictures of one field, all in one batch."""
    prepared = []
    for rgb in pictures:
        ready = judge.prepare(source.seen(rgb), source.um_per_px)
        if not isinstance(ready, Prepared):
            raise SystemExit(f"{source.name}: {ready.text}")
        prepared.append(ready)
    outputs = engine.infer(np.concatenate([ready.tiles() for ready in prepared]))
    found, at = [], 0
    for ready in prepared:
        part = slice(at, at + ready.count)
        own = Outputs(outputs.logits[part], outputs.features[part], outputs.maps[part])
        decision = judge.finish(ready, judge.read(own)).decision
        logits, features = pool(own.logits, ready.weights), pool(own.features, ready.weights)
        found.append(Said(logits, features, decision.result, decision.urgency.value))
        at += ready.count
    return found


def compare(said: Said, reference: Said, tally: Tally) -> None:
    """Adds how far a word is from that on the field itself."""
    tally.logit_change.append(float(np.abs(said.logits - reference.logits).max()))
    far = np.linalg.norm(said.features - reference.features)
    tally.feature_change.append(float(far / np.linalg.norm(reference.features)))
    tally.label_changed.append(bool(said.logits.argmax() != reference.logits.argmax()))
    answers = (said.result, said.urgency) != (reference.result, reference.urgency)
    tally.answer_changed.append(answers)


def measure_set(source: Source, all_ways: Sequence[Way]) -> dict[str, Tally]:
    """Every way and the yardstick over every field of the set."""
    engine = open_engine(source.bundle, "openvino", threads=1, precision="f32")
    judge = Conclusion(source.bundle)
    tallies = {name: Tally() for name in [*(way.name for way in all_ways), MOVED]}
    for number, rgb in enumerate(source.fields, start=1):
        opened = open_pixels(rgb)
        asked = [(MOVED, moved(rgb))]
        for way in all_ways:
            back = measure_way(way, rgb, opened, tallies[way.name])
            if not np.array_equal(back, rgb):
                asked.append((way.name, back))
        reference, *words = ask([rgb, *(back for _, back in asked)], source, engine, judge)
        by_name = dict(zip((name for name, _ in asked), words, strict=True))
        for name, tally in tallies.items():
            compare(by_name.get(name, reference), reference, tally)
        if number % 20 == 0:
            print(f"  {source.name}: {number} fields", file=sys.stderr, flush=True)
    return tallies


def choose(
    sets: dict[str, dict[str, Tally]], all_ways: Sequence[Way], sized_by: Sequence[str]
) -> Way:
    """By RULE."""

    def is_harmless(way: Way) -> bool:
        return all(
            not any(tallies[way.name].label_changed)
            and sum(tallies[way.name].answer_changed) <= sum(tallies[MOVED].answer_changed)
            and np.percentile(tallies[way.name].logit_change, 95)
            <= np.percentile(tallies[MOVED].logit_change, 95)
            for tallies in sets.values()
        )

    def size(way: Way) -> float:
        return float(np.mean([np.mean(sets[name][way.name].bytes_per_px) for name in sized_by]))

    return min(filter(is_harmless, all_ways), key=size)


# --- the sets ---------------------------------------------------------------------------------


def ball4_fields(root: Path, bundle: Bundle, count: int) -> Iterator[Rgb]:
    """Images that the bundle's training kept apart, evenly over the classes' files."""
    labels = ["Benign", "Early", "Pre", "Pro"]
    samples = read_data_set(root / "ball4", labels, um_per_px=BALL4_UM_PER_PX)
    held_out = test_part(bundle, samples)
    for at in np.linspace(0, len(held_out) - 1, min(count, len(held_out))).astype(int):
        yield read_image(held_out[at].path)


def chula_fields(root: Path, count: int) -> Iterator[Rgb]:
    """Whole fields of the Raspberry Pi camera."""
    for path in sorted((root / "chula_fields").rglob("*.jpg"))[:count]:
        yield read_image(path)


def simulated_fields(count: int) -> Iterator[Rgb]:
    """One field of each of `count` slides, classes in turn."""
    kinds = list(DiagnosisClass)
    for number in range(count):
        slide = draw_slide(9000 + number)
        yield render_field(slide, kinds[number % len(kinds)], 0).image


def sources(args: argparse.Namespace) -> list[Source]:
    """The sets that can be had here."""
    packaged = default_bundle()
    rendered = simulated_fields(args.simulated)
    found = [Source("simulated", "never encoded before, 640x480", 0.2, packaged, rendered)]
    root = os.environ.get("HEMOWIRE_REAL_DATA")
    if not root:
        return found
    fields = chula_fields(Path(root), args.chula)
    what = "Raspberry Pi fields, JPEG files, 1440x900, of which the network sees the middle tile"
    found.append(Source("chula", what, CHULA_UM_PER_PX, packaged, fields, CHULA_SEEN_PX))
    if args.bundle is not None:
        bundle = load_bundle(args.bundle)
        fields = ball4_fields(Path(root), bundle, args.ball4)
        what = "held-out images, JPEG files, 224x224"
        found.append(Source("ball4", what, BALL4_UM_PER_PX, bundle, fields))
    return found


# --- the page ---------------------------------------------------------------------------------


def changes(flags: Sequence[bool]) -> str:
    """A count with the upper end of its Wilson interval."""
    count = sum(flags)
    share = wilson(count, len(flags))
    return f"{count} ({100 * share.low:.1f} to {100 * share.high:.1f} %)"


def table(tallies: dict[str, Tally]) -> str:
    """One set: size, time, distance, and what became of the answer."""
    lines = [
        "| encoding | bytes/px | x PNG | encode ms/Mpx | decode ms/Mpx | PSNR dB | SSIM |"
        " label changed | answer changed | logit change mean | p95 | max | features |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    png = float(np.mean(tallies["PNG"].bytes_per_px))
    for name, tally in tallies.items():
        left = "| | | | | | "
        if tally.bytes_per_px:
            size, psnr = float(np.mean(tally.bytes_per_px)), np.mean(tally.psnr_db)
            left = (
                f"| {size:.3f} | {size / png:.2f} | {np.mean(tally.encode_ms_per_mpx):.0f} "
                f"| {np.mean(tally.decode_ms_per_mpx):.0f} "
                f"| {'equal' if np.isinf(psnr) else f'{psnr:.1f}'} | {np.mean(tally.ssim):.4f} "
            )
        logits = tally.logit_change
        lines.append(
            f"| {name} {left}| {changes(tally.label_changed)} | {changes(tally.answer_changed)} "
            f"| {np.mean(logits):.3f} | {np.percentile(logits, 95):.3f} | {max(logits):.3f} "
            f"| {100 * np.mean(tally.feature_change):.1f} % |"
        )
    return "\n".join(lines)


def page(
    measured: Sequence[tuple[Source, dict[str, Tally]]], chosen: Way, command: str, cpu_s: float
) -> str:
    """The whole report."""
    parts = [
        "# Size against diagnostic effect\n",
        f"    {command}\n",
        f"{RESEARCH_USE_ONLY} Every encoding against the same pixels without loss. Times are CPU "
        f"time of one thread, through the device's encoder and the worker's decoder; the network "
        f"ran on OpenVINO in f32. {cpu_s:.0f} s of CPU in all. `answer` is result and urgency, "
        "`label` the largest logit; intervals are Wilson's, 95 %. `features` is the relative change "
        f"of the pooled features. The last row is a yardstick, the field {MOVED}.\n",
        f"The rule: {RULE}.\n\n**Chosen: {chosen.name}.**",
    ]
    for source, tallies in measured:
        count = len(tallies[MOVED].logit_change)
        parts.append(
            f"\n## {source.name}\n\n{count} fields: {source.what}; {source.um_per_px:g} um per "
            f"pixel; bundle `{source.bundle.name}`.\n\n{table(tallies)}"
        )
    if all(source.name != "ball4" for source, _ in measured):
        parts.append("\nball4 was left out: no HEMOWIRE_REAL_DATA or no --bundle.")
    return "\n".join(parts) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and writes the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, help="a bundle trained on ball4")
    parser.add_argument("--ball4", type=int, default=300)
    parser.add_argument("--chula", type=int, default=40)
    parser.add_argument("--simulated", type=int, default=120)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    all_ways = ways()
    measured = [(source, measure_set(source, all_ways)) for source in sources(args)]
    sets = {source.name: tallies for source, tallies in measured}
    sized_by = [name for name in sets if name != "ball4"]
    chosen = choose(sets, all_ways, sized_by)
    shown = " ".join(
        f"--{name} {value}"
        for name, value in vars(args).items()
        if name in ("ball4", "chula", "simulated")
    )
    bundle = " --bundle BALL4_BUNDLE" if args.bundle else ""
    command = f"python -m benchmarks.encoding{bundle} {shown}"
    text = page(measured, chosen, command, time.process_time())
    if args.out is None:
        print(text)
    else:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
