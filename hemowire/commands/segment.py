"""`hemowire segment`: white cells of images as masks, overlays and boxes, or the four-class set's own segmentation."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemowire.image_scale import ESTIMATE, estimated_scale, read_scale

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rgb = NDArray[np.uint8]

CELLS, AUTHORS = "cells", "authors"
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
LIST_FILE = "segments.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `hemowire segment`."""
    parser.add_argument(
        "location", type=Path, metavar="FILE|DIR", help="an image, or a folder of them"
    )
    parser.add_argument(
        "--mode",
        choices=(CELLS, AUTHORS),
        default=CELLS,
        help="cells: outlines and boxes of white cells; authors: the colour thresholds of the "
        "four-class B-ALL set (default: cells)",
    )
    parser.add_argument("--out", type=Path, required=True, help="a new or empty folder")
    parser.add_argument(
        "--um-per-px",
        type=read_scale,
        metavar="X",
        help=f"scale of the images in micrometres per pixel, or '{ESTIMATE}' from their red cells; "
        "the mode cells needs it",
    )
    parser.add_argument("--json", action="store_true", help="what was found, for machines")


def run(args: argparse.Namespace) -> int:
    """Segment each image; 1 where some could not be, 2 for wrong use."""
    from rich.progress import Progress

    files = _files(args.location)
    problems = _problems(args, files)
    if problems:
        for problem in problems:
            print(f"hemowire segment: {problem}", file=sys.stderr)
        return 2
    found: list[dict[str, Any]] = []
    with Progress(transient=True, disable=args.json or not sys.stdout.isatty()) as bars:
        task = bars.add_task("segmenting", total=len(files))
        for file in files:
            found.append(_segment(file, args))
            bars.advance(task)
    (args.out / LIST_FILE).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if args.json:
        print(json.dumps(found, indent=1))
    else:
        _print_table(found, args.out)
    failed = [one for one in found if one["problem"]]
    for one in failed:
        print(f"hemowire segment: {one['source']}: {one['problem']}", file=sys.stderr)
    return 1 if failed else 0


def _files(location: Path) -> list[Path]:
    if not location.is_dir():
        return [location]
    return sorted(p for p in location.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())


def _problems(args: argparse.Namespace, files: list[Path]) -> list[str]:
    found = []
    if not args.location.exists():
        found.append(f"{args.location}: no such file or folder")
    elif not files:
        found.append(f"{args.location}: holds no image ({', '.join(SUFFIXES)})")
    if args.mode == CELLS and args.um_per_px is None:
        found.append(
            "--um-per-px is missing: nothing else says what is a platelet and what a nucleus; "
            f"give the microscope's scale, or '{ESTIMATE}'"
        )
    if args.out.exists() and (not args.out.is_dir() or any(args.out.iterdir())):
        found.append(f"--out {args.out}: must be a new or an empty folder")
    if not found:
        try:
            args.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            found.append(f"--out {args.out}: cannot be made ({error.strerror})")
    return found


def _segment(file: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Writes one image's pictures; returns what was found, or the problem in words."""
    from cloud_worker.decode import decode
    from cloud_worker.refusal import Refusal

    one: dict[str, Any] = {"source": str(file), "mode": args.mode, "problem": ""}
    try:
        data = file.read_bytes()
    except OSError as error:
        return one | {"problem": f"cannot be read ({error.strerror})"}
    rgb = decode(data)
    if isinstance(rgb, Refusal):
        return one | {"problem": rgb.text}
    one |= {"width_px": rgb.shape[1], "height_px": rgb.shape[0]}
    within = file.relative_to(args.location) if args.location.is_dir() else Path(file.name)
    stem = args.out / within.parent / within.name.replace(".", "-")
    stem.parent.mkdir(parents=True, exist_ok=True)
    if args.mode == AUTHORS:
        return one | _as_authors(rgb, stem)
    return one | _cells(rgb, stem, args.um_per_px)


def _as_authors(rgb: Rgb, stem: Path) -> dict[str, Any]:
    from cloud_worker.cells import mask_as_authors, segment_as_authors

    mask = mask_as_authors(rgb)
    pictures = {"mask": mask, "segmented": segment_as_authors(rgb)}
    return {"share_of_area": round(float(mask.mean()), 4), **_write(stem, pictures)}


def _cells(rgb: Rgb, stem: Path, scale: float | str) -> dict[str, Any]:
    from cloud_worker.cells import find_white_cells
    from cloud_worker.cells.overlay import draw_cells

    um_per_px = estimated_scale(rgb) if scale == ESTIMATE else scale
    if isinstance(um_per_px, str):
        return {"problem": um_per_px}
    try:
        cells = find_white_cells(rgb, um_per_px)
    except ValueError as problem:
        return {"problem": str(problem)}
    mask = cells.mask
    pictures = {"mask": mask, "overlay": draw_cells(rgb, cells)}
    return {
        "um_per_px": round(um_per_px, 4),
        "white_cells": len(cells.boxes),
        "boxes": cells.boxes,
        "nucleus_um2": [round(area, 1) for area in cells.nucleus_um2],
        "share_of_area": round(float(mask.mean()), 4),
        **_write(stem, pictures),
    }


def _write(stem: Path, pictures: dict[str, Any]) -> dict[str, str]:
    """PNG files beside each other; their names by kind."""
    import cv2
    import numpy as np

    written = {}
    for kind, picture in pictures.items():
        pixels = picture.astype(np.uint8) * 255 if picture.ndim == 2 else picture[:, :, ::-1]
        done, data = cv2.imencode(".png", np.ascontiguousarray(pixels))
        if not done:
            raise RuntimeError(f"{stem}: {kind} cannot be encoded")
        path = stem.with_name(f"{stem.name}.{kind}.png")
        path.write_bytes(bytes(data))
        written[kind] = str(path)
    return written


def _print_table(found: list[dict[str, Any]], out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from wire_protocol.words import RESEARCH_USE_ONLY

    table = Table(title=f"Segmented into {out}. {RESEARCH_USE_ONLY}", title_justify="left")
    table.add_column("file", overflow="fold")
    table.add_column("white cells", justify="right")
    table.add_column("share of the area", justify="right")
    common = os.path.commonpath([str(Path(one["source"]).parent) for one in found])
    for one in _good(found):
        count = one.get("white_cells")
        share = f"{100 * one['share_of_area']:.1f} %"
        name = os.path.relpath(one["source"], common)
        table.add_row(name, "not counted" if count is None else str(count), share)
    Console().print(table)


def _good(found: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    return (one for one in found if not one["problem"])
