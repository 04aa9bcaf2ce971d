"""A five-type white-cell classifier that has seen simulated cells only, tried on real ones.

    python -m benchmarks.simulator_realism --data DIR [--markdown FILE]

DIR holds `pbc/` (one cell per image) and `chula_fields/` (fields with boxes). No real image is
learned from, and none is used to choose anything: the last epoch is what is tested.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from benchmarks.simulator_cell_network import Numbers, between_points, train
from edge_device.simulator import draw_slide, render_field, slide_seed
from edge_device.simulator.cell_types import CellType

Crops = npt.NDArray[np.uint8]

UM_PER_PX = 0.25
SIDE_PX = 80  # 20 um
TYPES: dict[str, tuple[CellType, ...]] = {
    "neutrophil": (CellType.SEGMENTED, CellType.SEGMENTED, CellType.SEGMENTED, CellType.BAND),
    "eosinophil": (CellType.EOSINOPHIL,),
    "basophil": (CellType.BASOPHIL,),
    "lymphocyte": (CellType.SMALL_LYMPHOCYTE,),
    "monocyte": (CellType.MONOCYTE,),
}
#: The order of the box files' numbers.
CHULA = ("neutrophil", "eosinophil", "basophil", "lymphocyte", "monocyte")
REAL_UM_PER_PX = 0.1
_STREAM = 90


@dataclass(frozen=True, slots=True)
class Cells:
    """Crops of one scale, each with the number of its type."""

    crops: Crops
    types: Numbers


def cut(field: npt.NDArray[np.uint8], x: float, y: float, um_per_px: float) -> Crops:
    """20 um around a point at the common scale; what lies outside the field is mirrored."""
    side = round(SIDE_PX * UM_PER_PX / um_per_px)
    padded = np.pad(field, ((side, side), (side, side), (0, 0)), mode="reflect")
    top, left = round(y) + side - side // 2, round(x) + side - side // 2
    part = np.ascontiguousarray(padded[top : top + side, left : left + side])
    size = (SIDE_PX, SIDE_PX)
    return np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)


def simulated_cells(slides: int, seed: int, done: Callable[[int], None]) -> Cells:
    """Ten cells of each slide, two of each type."""
    names = list(TYPES)
    rng = np.random.default_rng(seed)
    crops, types = [], []
    for index in range(slides):
        slide = draw_slide(slide_seed(seed, _STREAM, index))
        numbers = rng.permutation(np.repeat(np.arange(len(names)), 2))
        wanted = [
            TYPES[names[number]][int(rng.integers(len(TYPES[names[number]])))] for number in numbers
        ]
        field = render_field(
            slide, "healthy", 0, width_px=512, height_px=384, um_per_px=UM_PER_PX, cell_types=wanted
        )
        for number, cell in zip(numbers, field.truth.cells, strict=True):
            x0, y0, x1, y1 = cell.box
            crops.append(cut(field.image, (x0 + x1) / 2, (y0 + y1) / 2, UM_PER_PX))
            types.append(int(number))
        done(index + 1)
    return Cells(np.stack(crops), np.array(types))


def pbc_cells(folder: Path) -> Cells:
    """The middle of each image of the five types."""
    crops, types = [], []
    for number, name in enumerate(TYPES):
        for path in sorted((folder / name).glob("*.jpg")):
            image = _read(path)
            crops.append(cut(image, image.shape[1] / 2, image.shape[0] / 2, REAL_UM_PER_PX))
            types.append(number)
    return Cells(np.stack(crops), np.array(types))


def chula_cells(folder: Path) -> Cells:
    """Every boxed cell of the fields."""
    names = list(TYPES)
    crops, types = [], []
    for path in sorted(folder.glob("*/*.jpg")):
        image = _read(path)
        for line in path.with_suffix(".txt").read_text().splitlines():
            kind, x, y = line.split()[:3]
            place = float(x) * image.shape[1], float(y) * image.shape[0]
            crops.append(cut(image, *place, REAL_UM_PER_PX))
            types.append(names.index(CHULA[int(kind)]))
    return Cells(np.stack(crops), np.array(types))


def _read(path: Path) -> npt.NDArray[np.uint8]:
    image = cv2.imread(str(path))
    if image is None:
        raise SystemExit(f"{path}: not an image")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def confusion(network: nn.Module, cells: Cells) -> npt.NDArray[np.int64]:
    """Rows true, columns called; each cell is seen in four turns."""
    table = np.zeros((len(TYPES), len(TYPES)), np.int64)
    with torch.inference_mode():
        images = between_points(cells.crops)
        scores = torch.zeros(len(images), len(TYPES))
        for turn in range(4):
            for start in range(0, len(images), 128):
                part = images[start : start + 128].rot90(turn, (2, 3))
                scores[start : start + 128] += network(part).softmax(1)
    np.add.at(table, (cells.types, scores.argmax(1).numpy()), 1)
    return table


def table(name: str, counts: npt.NDArray[np.int64]) -> list[str]:
    """One confusion table as Markdown with its balanced accuracy."""
    seen = counts.sum(axis=1)
    recall = counts.diagonal() / np.maximum(seen, 1)
    balanced = float(recall[seen > 0].mean())
    names = list(TYPES)
    lines = [
        f"{name}: {int(seen.sum())} cells, balanced accuracy {balanced:.3f} (chance 0.200)",
        "",
        f"| true | {' | '.join(names)} | recall |",
        "|---" * (len(names) + 2) + "|",
    ]
    for kind, row, found in zip(names, counts, recall, strict=True):
        lines.append(f"| {kind} | {' | '.join(map(str, row))} | {found:.2f} |")
    return [*lines, ""]


def main() -> None:
    """Render, train, test, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--slides", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument("--markdown", type=Path)
    args = parser.parse_args()
    cv2.setNumThreads(1)

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def told(count: int) -> None:
        if count % 100 == 0:
            say(f"{count}/{args.slides} slides rendered")

    began = time.monotonic()
    cells = simulated_cells(args.slides, args.seed, told)
    network = train(cells.crops, cells.types, epochs=args.epochs, seed=args.seed, say=say)
    fresh = simulated_cells(60, args.seed + 1, lambda count: None)
    lines = [
        f"`python -m benchmarks.simulator_realism --slides {args.slides} --epochs {args.epochs}"
        f" --seed {args.seed}`, {time.monotonic() - began:.0f} s",
        "",
        *table("simulated cells of unseen slides", confusion(network, fresh)),
        *table("pbc", confusion(network, pbc_cells(args.data / "pbc"))),
        *table(
            "chula_fields, boxed cells", confusion(network, chula_cells(args.data / "chula_fields"))
        ),
    ]
    print("\n".join(lines))
    if args.markdown:
        args.markdown.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
