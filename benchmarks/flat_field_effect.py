"""What the correction changes for the gate and for the classifier; part of `benchmarks.flat_field`."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from cloud_worker.classify import Classifier
from cloud_worker.engines.engine import open_engine
from cloud_worker.finding import Finding
from cloud_worker.models.bundle import default_bundle
from edge_device.flat_field import FlatField, FlatFieldSettings
from edge_device.flat_field.background import Pixels
from edge_device.flat_field.replay import Replayed
from edge_device.gate import GateSettings, judge, measure
from edge_device.simulator import draw_slide, render_field, slide_seed
from edge_device.simulator.cell_types import DiagnosisClass

#: Slides of this benchmark's own, from which nothing was trained.
_STREAM = 4_303
_UM_PER_PX = 0.2


def artificial_light(width: int, height: int) -> npt.NDArray[np.float32]:
    """A gain per pixel (B G R) like that of the real Raspberry Pi fields: grey-green in the middle,
    pink at the edges, darker all over; a third of red is lost in the middle."""
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :] - np.float32(0.05)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] + np.float32(0.10)
    radius = np.minimum(x**2 + 0.8 * y**2, 2.0)
    blue, green = 0.66 + 0.10 * radius, 0.62 + 0.05 * radius
    red = 0.58 + 0.36 * (1 - np.exp(-1.6 * radius))
    return np.asarray(cv2.merge([blue, green, red]), np.float32)


def shaded(bgr: Pixels) -> Pixels:
    """The frame in the artificial light, rounded to 8 bits as a camera does."""
    light = artificial_light(bgr.shape[1], bgr.shape[0])
    return np.asarray(cv2.multiply(bgr, light, dtype=cv2.CV_8U), np.uint8)


def rendered(kind: DiagnosisClass, number: int, width: int = 640, height: int = 480) -> Pixels:
    """One simulated field as BGR, of a slide of its own."""
    slide = draw_slide(slide_seed(1, _STREAM, number))
    field = render_field(slide, kind, 0, width_px=width, height_px=height, um_per_px=_UM_PER_PX)
    return np.asarray(cv2.cvtColor(field.image, cv2.COLOR_RGB2BGR), np.uint8)


@dataclass(frozen=True, slots=True)
class Answers:
    """What the classifier says of each field of one condition."""

    name: str
    findings: tuple[Finding, ...]

    def changed(self, other: Answers) -> int:
        """Fields with another result than in the other condition."""
        pairs = zip(self.findings, other.findings, strict=True)
        return sum(a.decision.result != b.decision.result for a, b in pairs)

    def moved(self, other: Answers) -> tuple[float, int]:
        """Mean over the fields of the largest change of a probability, and of how many fields;
        fields without probabilities in either condition are left out."""
        found = [
            float(np.abs(np.subtract(a.decision.probabilities, b.decision.probabilities)).max())
            for a, b in zip(self.findings, other.findings, strict=True)
            if a.decision.probabilities is not None and b.decision.probabilities is not None
        ]
        return (float(np.mean(found)) if found else float("nan")), len(found)

    def refused(self) -> int:
        """Fields of which nothing is said."""
        return sum(finding.decision.result == "cannot_say" for finding in self.findings)

    def right(self, truth: Sequence[str]) -> int:
        """Fields that got their class."""
        pairs = zip(self.findings, truth, strict=True)
        return sum(finding.decision.result == kind for finding, kind in pairs)


def classifier_table(fields: int, taught: int) -> list[str]:
    """Label changes on simulated fields with the artificial light, against the fields without it."""
    bundle = default_bundle()
    classifier = Classifier(bundle, open_engine(bundle, "auto"))
    kinds = list(DiagnosisClass)
    originals = [rendered(kinds[n % len(kinds)], n) for n in range(fields)]
    truth = [kinds[n % len(kinds)].value.lower() for n in range(fields)]
    conditions = {"as rendered": originals, "in artificial light": [shaded(f) for f in originals]}
    versions: dict[str, int] = {}
    for name, source in (("in artificial light", shaded), ("as rendered", None)):
        with tempfile.TemporaryDirectory() as folder:
            field = FlatField(Path(folder), FlatFieldSettings())
            for n in range(fields, fields + taught):
                frame = rendered(kinds[n % len(kinds)], n)
                field.learn(frame if source is None else source(frame))
            after = []
            for frame in conditions[name]:
                after.append(field.correct(frame))
                versions[f"{name}, corrected"] = versions.get(f"{name}, corrected", 0) + (
                    field.version > 0
                )
            conditions[f"{name}, corrected"] = after
    answers = {
        name: Answers(name, tuple(_classify(classifier, frames)))
        for name, frames in conditions.items()
    }
    base = answers["as rendered"]
    lines = [
        f"Bundle `{bundle.name}`, {fields} simulated fields (640x480, {_UM_PER_PX} um/px), each of a"
        f" slide of its own; {taught} further slides in the same light taught the field.",
        "",
        "| condition | corrected | right | cannot say | other result than as rendered |"
        " mean largest change of a probability (fields) |",
        "|---|---|---|---|---|---|",
    ]
    for name in (
        "as rendered",
        "in artificial light",
        "in artificial light, corrected",
        "as rendered, corrected",
    ):
        answer = answers[name]
        moved, count = answer.moved(base)
        lines.append(
            f"| {name} | {versions.get(name, 0)} | {answer.right(truth)} | {answer.refused()} |"
            f" {answer.changed(base)} of {fields} | {moved:.3f} ({count}) |"
        )
    return lines


def _classify(classifier: Classifier, frames: Sequence[Pixels]) -> list[Finding]:
    return [
        classifier.classify_pixels(
            np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8), _UM_PER_PX
        )
        for frame in frames
    ]


def gate_table(frames: Sequence[Replayed]) -> list[str]:
    """The gate's scores of corrected frames before and after."""
    corrected = [frame for frame in frames if frame.version]
    before = [measure(frame.raw) for frame in corrected]
    after = [measure(frame.corrected) for frame in corrected]
    limits = GateSettings()
    refused = [
        sum(judge(scores, limits).refusal is not None for scores in all_scores)
        for all_scores in (before, after)
    ]
    lines = [
        f"{len(corrected)} corrected frames; refused by the gate's default limits: {refused[0]}"
        f" before, {refused[1]} after.",
        "",
        "| score | before: median (least, most) | after | median of after/before |",
        "|---|---|---|---|",
    ]
    for name in before[0].by_name():
        a, b = (
            np.array([float(getattr(scores, name)) for scores in all_scores])
            for all_scores in (before, after)
        )
        ratio = f"{np.median(b / a):.2f}" if a.min() > 0 else "-"
        lines.append(f"| {name} | {_spread(a)} | {_spread(b)} | {ratio} |")
    return lines


def _spread(values: npt.NDArray[np.float64]) -> str:
    return f"{np.median(values):.2f} ({values.min():.2f}, {values.max():.2f})"
