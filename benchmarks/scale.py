"""The scale from red cells on real fields: how far fields, and calibrations of a few, lie from a set's own median.

It cannot say which scale is right: no set comes with a picture of a stage micrometer. Of simulated
fields the scale is known.

    HEMOWIRE_REAL_DATA=... python -m benchmarks.scale --out benchmarks/results/scale.md
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmarks.gate_frames import paths_of, read
from edge_device.calibration import CalibrationError
from edge_device.calibration.making import red_cells_of, scale_of_fields
from edge_device.calibration.scale import ScaleEstimate, ScaleUnknownError
from edge_device.simulator import DiagnosisClass, draw_slide, render_field

MOST = {"chula": 40, "ball4": 300, "pbc": 150}
FIELDS = (1, 3, 5, 10)
DRAWS = 500
SIMULATED_UM_PER_PX = 0.2
SIMULATED_SLIDES = 40


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the report; 2 without real data."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(arguments)
    data = os.environ.get("HEMOWIRE_REAL_DATA")
    if data is None:
        print("HEMOWIRE_REAL_DATA is not set: there are no real fields", file=sys.stderr)
        return 2
    cv2.setNumThreads(1)
    lines = [
        "# The scale from red cells",
        "",
        f"`python -m benchmarks.scale --out {args.out}`, seed {args.seed}. One cell diameter is taken"
        " to be 7.2 um. `off by`: the error that 95 of 100 calibrations from that many fields stay"
        f" below, of {DRAWS} random draws, against the median of the set's fields (against the truth"
        " where it is known). `refused`: draws that the calibration refuses, because no field shows"
        " red cells or they disagree.",
        "",
        "| set | fields | without a scale | median um/px | half of the fields within |"
        " spread within a field |"
        + "".join(f" {count}: off by |" for count in FIELDS)
        + " refused |",
        "|---" * (7 + len(FIELDS)) + "|",
    ]
    rng = np.random.default_rng(args.seed)
    for device, most in MOST.items():
        fields = [red_cells_of(read(path)) for path, _ in paths_of(Path(data), device, most)]
        lines.append(_row(device, fields, rng, None))
    lines.append(_row("simulated", _simulated(), rng, SIMULATED_UM_PER_PX))
    args.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    return 0


def _simulated() -> list[ScaleEstimate | ScaleUnknownError]:
    kinds = list(DiagnosisClass)
    found = []
    for n in range(SIMULATED_SLIDES):
        image = render_field(draw_slide(8000 + n), kinds[n % len(kinds)], 0).image
        found.append(red_cells_of(np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), np.uint8)))
    return found


def _row(
    name: str,
    fields: Sequence[ScaleEstimate | ScaleUnknownError],
    rng: np.random.Generator,
    truth: float | None,
) -> str:
    clear = [each for each in fields if isinstance(each, ScaleEstimate)]
    scales = [each.um_per_px for each in clear]
    middle = float(np.median(scales))
    low, high = np.percentile(scales, (25, 75)) / middle - 1
    within = 100 * float(np.median([each.spread for each in clear]))
    off, refused = [], []
    for count in FIELDS:
        errors, no = [], 0
        for _ in range(DRAWS):
            drawn = [fields[i] for i in rng.choice(len(fields), count, replace=False)]
            try:
                errors.append(abs(scale_of_fields(drawn).um_per_px / (truth or middle) - 1))
            except CalibrationError:
                no += 1
        off.append(f"{100 * float(np.percentile(errors, 95)):.0f} %" if errors else "-")
        refused.append(f"{100 * no / DRAWS:.0f}")
    return (
        f"| {name} | {len(fields)} | {len(fields) - len(clear)} | {middle:.3f} |"
        f" {100 * low:+.0f} to {100 * high:+.0f} % | {within:.0f} % | {' | '.join(off)} |"
        f" {', '.join(refused)} % |"
    )


if __name__ == "__main__":
    raise SystemExit(main())
