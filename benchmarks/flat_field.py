"""How even the flat field makes real fields, what it costs, and what it changes for gate and classifier.

    HEMOWIRE_REAL_DATA=... python -m benchmarks.flat_field --out benchmarks/results/flat_field.md

Evenness and the gate are measured on the real Raspberry Pi fields (chula_fields); without the
variable those parts are left out and the table says so. Times are CPU times of one thread.
`--example FILE` also draws the simulated before and after of docs/flat-field.md. (Over 250 lines: three
questions about the same fields, asked and written down in one order.)
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmarks.flat_field_effect import classifier_table, gate_table, rendered, shaded
from edge_device.flat_field import Background, FlatField, FlatFieldSettings, look
from edge_device.flat_field.background import Pixels
from edge_device.flat_field.evenness import background_mask, evenness
from edge_device.flat_field.gain import gains, multiply
from edge_device.flat_field.replay import (
    Replayed,
    Seen,
    image_files,
    in_sequence,
    leave_out,
    look_at,
    read,
)
from edge_device.simulator.cell_types import DiagnosisClass
from service_runtime.log import configure_logging
from wire_protocol.words import RESEARCH_USE_ONLY

_WHITE_LEVELS = (200, 210, 220, 230, 240)
_RUNS = 15
#: Run in a process of its own, for the peak of a process only grows.
_MEMORY = """
import sys, tempfile, numpy as np, cv2
from pathlib import Path
from edge_device.flat_field import FlatField, FlatFieldSettings
cv2.setNumThreads(1)
width, height, in_place = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "in_place"
frame = np.random.default_rng(0).integers(150, 160, (height, width, 3), np.uint8)
with tempfile.TemporaryDirectory() as folder:
    field = FlatField(Path(folder), FlatFieldSettings(min_frames=2, recent_frames=3))
    work = frame.copy()
    Path("/proc/self/clear_refs").write_text("5")
    status = lambda key: int(Path("/proc/self/status").read_text().split(key)[1].split()[0])
    before = status("VmRSS:")
    for _ in range(3):
        np.copyto(work, frame)
        field.learn(work); out = field.correct(work, in_place=in_place)
    assert field.version
    print(status("VmHWM:") - before)
"""


def slide_of(path: Path) -> str:
    """The file name's prefix: one slide and one kind of cell."""
    return path.stem.rsplit("_", 1)[0]


def glass_of(path: Path) -> str:
    """The prefix without its first letter, the kind of cell: L-4B and M-4B may be one glass."""
    found = re.fullmatch(r"(?:HF-)?[A-Z]-(\w+)", slide_of(path))
    return found[1] if found else slide_of(path)


def self_corrected(path: Path) -> float:
    """The unevenness where a frame is divided by its own background; what cannot be told stays."""
    raw = read(path)
    assert raw is not None
    mask, found, out = background_mask(raw), look(raw), raw
    if isinstance(found, Background):
        at_nodes, _ = gains(found.shape, found.level, white_level=220, max_gain=3)
        out = np.empty_like(raw)
        multiply(raw, at_nodes, out=out)
    return evenness(out, mask).unevenness


def evenness_lines(seen: Sequence[Seen], left: Sequence[Replayed]) -> list[str]:
    """The tables of unevenness."""
    settings = FlatFieldSettings()
    before = {frame.path: frame.before.unevenness for frame in left}
    ways: dict[str, dict[Path, tuple[float, bool]]] = {
        "none (baseline)": {path: (value, False) for path, value in before.items()},
        "learned, the frame itself left out": _outcome(left),
        "learned, its whole slide left out (all of its glass number)": _outcome(
            leave_out(seen, settings, lambda a, b: glass_of(a) == glass_of(b))
        ),
        "in sequence, by the frames before it alone (a light's first stay unchanged)": _outcome(
            in_sequence(seen, settings)
        ),
        "each frame by itself alone (baseline; cells burn in)": {
            item.path: (self_corrected(item.path), True) for item in seen
        },
    }
    lines = [
        "| correction | corrected | unevenness, median | more even by, median | worst |"
        " median of the corrected | worst of the corrected |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, after in ways.items():
        ratios = {path: before[path] / value for path, (value, _) in after.items()}
        done = [ratios[path] for path, (_, is_done) in after.items() if is_done]
        values = [value for value, _ in after.values()]
        of_done = f"{np.median(done):.2f} | {min(done):.2f}" if done else "- | -"
        lines.append(
            f"| {name} | {len(done)} of {len(after)} | {np.median(values):.4f} |"
            f" {np.median(list(ratios.values())):.2f} | {min(ratios.values()):.2f} | {of_done} |"
        )
    lines += [
        "",
        "By slide, the frame itself left out:",
        "",
        "| slide | frames | corrected | unevenness before | after | more even by, median | worst |",
        "|---|---|---|---|---|---|---|",
    ]
    for slide in dict.fromkeys(slide_of(frame.path) for frame in left):
        mine = [frame for frame in left if slide_of(frame.path) == slide]
        ratios_here = [frame.before.unevenness / frame.after.unevenness for frame in mine]
        lines.append(
            f"| {slide} | {len(mine)} | {sum(frame.version > 0 for frame in mine)} |"
            f" {np.median([f.before.unevenness for f in mine]):.3f} |"
            f" {np.median([f.after.unevenness for f in mine]):.3f} |"
            f" {np.median(ratios_here):.2f} | {min(ratios_here):.2f} |"
        )
    return lines


def _outcome(frames: Iterable[Replayed]) -> dict[Path, tuple[float, bool]]:
    return {frame.path: (frame.after.unevenness, frame.version > 0) for frame in frames}


def white_lines(seen: Sequence[Seen]) -> list[str]:
    """Clipping at several white levels, and how neutral the background becomes."""
    lines = [
        "| white level | pixels that become 255, median % | worst frame % |"
        " largest minus smallest channel of the background, median | worst |",
        "|---|---|---|---|---|",
    ]
    for level in _WHITE_LEVELS:
        clipped, apart = [], []
        for frame in leave_out(seen, FlatFieldSettings(white_level=level)):
            if frame.version:
                newly = (frame.corrected == 255) & (frame.raw < 255)
                clipped.append(100 * float(newly.any(axis=2).mean()))
                apart.append(max(frame.after.level) - min(frame.after.level))
        lines.append(
            f"| {level} | {np.median(clipped):.2f} | {max(clipped):.2f} |"
            f" {np.median(apart):.1f} | {max(apart):.1f} |"
        )
    return lines


def cost_lines() -> list[str]:
    """CPU and memory at two frame sizes."""
    lines = [
        "| frame | plain per-frame division in float32 (baseline) | `learn` | `correct` after `learn` |"
        " `correct` alone | peak memory of learn + correct | the same, in place |",
        "|---|---|---|---|---|---|---|",
    ]
    field_bgr = shaded(rendered(DiagnosisClass.ALL, 900, 1440, 900))
    for width, height in ((1440, 900), (4056, 3040)):
        frame = np.asarray(cv2.resize(field_bgr, (width, height)), np.uint8)
        plain, learn, after, alone = _times_ms(frame)
        memory = [_peak_mb(width, height, way) for way in ("new", "in_place")]
        lines.append(
            f"| {width}x{height} | {plain:.1f} ms | {learn:.1f} ms | {after:.1f} ms | {alone:.1f} ms |"
            f" {memory[0]:.0f} MB | {memory[1]:.0f} MB |"
        )
    return lines


def _times_ms(frame: Pixels) -> tuple[float, float, float, float]:
    """Of the baseline, `learn`, `correct` after it, and `correct` of a frame not seen before."""
    with tempfile.TemporaryDirectory() as folder:
        field = FlatField(Path(folder), FlatFieldSettings(min_frames=2, recent_frames=24))

        def learn() -> None:
            field.learn(frame)

        def correct() -> None:
            field.correct(frame)

        for _ in range(3):
            learn()
        times = (
            _cpu_ms(lambda: _plain(frame)),
            _cpu_ms(learn),
            _cpu_ms(correct, before=learn),
            _cpu_ms(correct),
        )
        assert field.version
    return times


def _plain(frame: Pixels) -> Pixels:
    """What one would write first: blur, divide, scale."""
    small = cv2.resize(frame, (160, 100), interpolation=cv2.INTER_AREA).astype(np.float32)
    blurred = cv2.resize(cv2.GaussianBlur(small, (0, 0), 20), (frame.shape[1], frame.shape[0]))
    return np.asarray(np.clip(frame.astype(np.float32) / blurred * 220, 0, 255), np.uint8)


def _cpu_ms(act: Callable[[], object], before: Callable[[], object] = lambda: None) -> float:
    times = []
    for _ in range(_RUNS):
        before()
        start = time.thread_time_ns()
        act()
        times.append(time.thread_time_ns() - start)
    return float(np.median(times[2:])) / 1e6


def _peak_mb(width: int, height: int, way: str) -> float:
    command = [sys.executable, "-c", _MEMORY, str(width), str(height), way]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    return float(done.stdout.split()[-1]) / 1024


def draw_example(path: Path) -> None:
    """A simulated field in artificial light, before and after, side by side as a small JPEG."""
    kinds = list(DiagnosisClass)
    with tempfile.TemporaryDirectory() as folder:
        field = FlatField(Path(folder), FlatFieldSettings())
        for n in range(800, 810):
            field.learn(shaded(rendered(kinds[n % len(kinds)], n)))
        raw = shaded(rendered(DiagnosisClass.ALL, 810))
        after = field.correct(raw)
        assert field.version, field.state.said
    both = np.hstack([raw, np.full((raw.shape[0], 8, 3), 255, np.uint8), after])
    small = cv2.resize(both, None, fx=0.55, fy=0.55, interpolation=cv2.INTER_AREA)
    if not cv2.imwrite(str(path), small, [cv2.IMWRITE_JPEG_QUALITY, 82]):
        raise SystemExit(f"{path}: not written")


def main() -> None:
    """Measures and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--fields", type=int, default=60, help="simulated fields to classify")
    parser.add_argument("--example", type=Path, help="draw the simulated example here")
    args = parser.parse_args()
    configure_logging("error")
    cv2.setNumThreads(1)
    parts = [
        "# Flat field",
        f"{RESEARCH_USE_ONLY} Command: `HEMOWIRE_REAL_DATA=... python -m benchmarks.flat_field"
        f" --out {args.out}`. Times are CPU times of one thread on a shared x86 machine.",
    ]
    real = os.environ.get("HEMOWIRE_REAL_DATA")
    if real:
        seen = look_at(image_files(Path(real) / "chula_fields"))
        left = list(leave_out(seen, FlatFieldSettings()))
        parts += [
            f"## Evenness of the empty background ({len(seen)} real fields)",
            "Unevenness: std/mean of the background after a heavy blur, rms of the three channels;"
            " the mask and the blur are defined in `edge_device/flat_field/evenness.py`.",
            "\n".join(evenness_lines(seen, left)),
            "## White level (the frame itself left out; default 220)",
            "\n".join(white_lines(seen)),
            "## The gate's scores",
            "\n".join(gate_table(left)),
        ]
    else:
        parts.append("HEMOWIRE_REAL_DATA is not set: evenness, white level and gate left out.")
    parts += [
        "## Cost",
        "\n".join(cost_lines()),
        "## The classifier on simulated fields in artificial light",
        "\n".join(classifier_table(args.fields, taught=24)),
    ]
    args.out.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    if args.example is not None:
        draw_example(args.example)
    print(args.out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
