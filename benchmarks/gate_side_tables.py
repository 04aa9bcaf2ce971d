"""The gate's side figures: white cells seen, pictures known again, CPU time; limits are not learned here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmarks.gate_frames import paths_of, read
from benchmarks.gate_statistics import share_words
from edge_device.gate import Duplicates, Gate, GateSettings, measure
from edge_device.simulator import DiagnosisClass, draw_slide, render_field

SIMULATED_SLIDES = 100


def white_cell_table(found: Sequence[tuple[str, str, float]], devices: Sequence[str]) -> list[str]:
    """The area score by itself: real crops of red cells only, and simulated scenes."""
    limit = GateSettings().min_nucleus_um2
    lines = [
        "## No white cell in view",
        "",
        f"Largest nucleus-like area in um2; below {limit:g} there is none. Real negatives are crops"
        " of red cells only, looked through by eye.",
        "",
        "| set | white cells | count | least | median | most | called empty |",
        "|---|---|---|---|---|---|---|",
    ]
    groups: list[tuple[str, str, list[float]]] = []
    for device in devices:
        for kind, words in (("", "yes"), ("no white cell", "no")):
            values = [area for each, bad, area in found if (each, bad) == (device, kind)]
            if values:
                groups.append((device, words, values))
    for alone in (False, True):
        values = []
        for index in range(SIMULATED_SLIDES):
            kind = list(DiagnosisClass)[index % len(DiagnosisClass)]
            field = render_field(
                draw_slide(7000 + index), kind, 0, white_cells=(2, 6), background_only=alone
            )
            bgr = np.asarray(cv2.cvtColor(field.image, cv2.COLOR_RGB2BGR), np.uint8)
            values.append(measure(bgr, field.truth.um_per_px).nucleus_um2)
        groups.append(("simulated", "no" if alone else "yes", values))
    for device, words, values in groups:
        below = sum(value < limit for value in values)
        lines.append(
            f"| {device} | {words} | {len(values)} | {min(values):.0f} | {np.median(values):.0f} |"
            f" {max(values):.0f} | {share_words(below, len(values))} |"
        )
    return [*lines, ""]


def duplicates_table(root: Path, devices: Sequence[str]) -> list[str]:
    """A field again with new noise and 5 px of drift, and each against the 32 before it."""
    lines = [
        "## Duplicates",
        "",
        "Again: the same picture with noise of 4 grey levels and 5 px of drift (ball4: 2 px)."
        " chula itself holds four pairs of pictures of one field.",
        "",
        "| set | again: noticed | other fields: warned of |",
        "|---|---|---|",
    ]
    for device in devices:
        images = [read(path) for path, _ in paths_of(root, device, 40)]
        rng = np.random.default_rng(1)
        others = Duplicates()
        warned = sum(others.check(image) is not None for image in images)
        noticed = 0
        for image in images:
            one = Duplicates()
            one.check(image)
            drift = 2 if device == "ball4" else 5
            again = np.roll(image, (drift, -drift), (0, 1)) + rng.normal(0, 4, image.shape)
            noticed += one.check(np.clip(again, 0, 255).astype(np.uint8)) is not None
        lines.append(
            f"| {device} | {share_words(noticed, len(images))} | {share_words(warned, len(images))} |"
        )
    return [*lines, ""]


def cost_table(root: Path) -> list[str]:
    lines = [
        "## Cost",
        "",
        "Scores, verdict and duplicates together, CPU ms, median of 20.",
        "",
        "| field | scale | ms |",
        "|---|---|---|",
    ]
    field = read(paths_of(root, "chula", 1)[0][0])
    large = np.asarray(cv2.resize(field, (4056, 3040)), np.uint8)
    for image, um_per_px in ((field, 0.1), (field, None), (large, 0.035), (large, None)):
        gate, spent = Gate(GateSettings()), []
        for _ in range(20):
            start = time.process_time()
            gate.examine(image, um_per_px)
            spent.append(time.process_time() - start)
        size = f"{image.shape[1]}x{image.shape[0]}"
        words = "unknown" if um_per_px is None else f"{um_per_px:g} um/px"
        lines.append(f"| {size} | {words} | {1000 * float(np.median(spent)):.1f} |")
    return [*lines, ""]
