"""Draws what the gate says of simulated fields that are spoilt in known ways, for the documents; never of real ones.

python -m benchmarks.gate_example --out docs/quality-gate-simulated.jpg
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmarks.gate_frames import Image, blurred, exposed
from edge_device.gate import GateSettings, judge, measure
from edge_device.simulator import DiagnosisClass, draw_slide, render_field

#: The defaults.
LIMITS = GateSettings()
_WIDE, _HIGH, _WORDS = 400, 250, 76


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(arguments)
    scene = render_field(draw_slide(5), DiagnosisClass.ALL, 1)
    field = np.asarray(cv2.cvtColor(scene.image, cv2.COLOR_RGB2BGR), np.uint8)
    alone = render_field(draw_slide(5), DiagnosisClass.ALL, 1, background_only=True)
    red_cells = np.asarray(cv2.cvtColor(alone.image, cv2.COLOR_RGB2BGR), np.uint8)
    noise = np.random.default_rng(1)
    tiles = [
        _tile(picture, scene.truth.um_per_px)
        for picture in (
            field,
            blurred(field, 3.0, "disc", noise),
            exposed(field, 0.3),
            red_cells,
        )
    ]
    sheet = np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])])
    return 0 if cv2.imwrite(str(args.out), sheet, [cv2.IMWRITE_JPEG_QUALITY, 85]) else 1


def _tile(picture: Image, um_per_px: float) -> Image:
    verdict = judge(measure(picture, um_per_px), LIMITS)
    said = "Passes." if verdict.refusal is None else verdict.refusal.text
    tone = (60, 120, 40) if verdict.refusal is None else (40, 40, 190)
    small = cv2.resize(picture, (_WIDE - 16, _HIGH - 16), interpolation=cv2.INTER_AREA)
    tile = np.full((_HIGH + _WORDS, _WIDE, 3), 255, np.uint8)
    tile[8 : _HIGH - 8, 8 : _WIDE - 8] = small
    cv2.rectangle(tile, (6, 6), (_WIDE - 7, _HIGH - 7), tone, 3)
    for number, line in enumerate(textwrap.wrap(said, 52)):
        at = (10, _HIGH + 14 + 22 * number)
        cv2.putText(tile, line, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, tone, 1, cv2.LINE_AA)
    return tile


if __name__ == "__main__":
    raise SystemExit(main())
