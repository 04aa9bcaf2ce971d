"""`hemowire classify`: what the pipeline would say about image files, without a broker."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemowire.image_scale import ESTIMATE, estimated_scale, read_scale

if TYPE_CHECKING:
    from cloud_worker.classify import Picture
    from cloud_worker.finding import Finding
    from cloud_worker.models.bundle import Bundle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `hemowire classify`."""
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="JPEG, PNG or WebP images"
    )
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--bundle", metavar="NAME", help="model bundle, by name or folder")
    chosen.add_argument("--arch", metavar="ARCH", help="any bundle of this architecture")
    parser.add_argument("--engine", choices=["auto", "openvino", "torch"], default="auto")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument(
        "--um-per-px",
        type=read_scale,
        metavar="X",
        help=f"scale of the images in micrometres per pixel, or '{ESTIMATE}' from their red cells; "
        "without it nothing can be said of them",
    )
    parser.add_argument("--json", action="store_true", help="a list of objects, for machines")


def run(args: argparse.Namespace) -> int:
    """Classify each file; 0 when each got its answer (a refusal is one), 2 for wrong use."""
    from cloud_worker.classify import Classifier
    from cloud_worker.engines.engine import EngineUnavailableError, open_engine
    from cloud_worker.models.bundle import BundleRefusedError, NoSuchBundleError
    from cloud_worker.models.registry import UnknownArchitectureError

    missing = [str(file) for file in args.files if not file.is_file()]
    if missing:
        print(f"hemowire classify: no such file: {', '.join(missing)}", file=sys.stderr)
        return 2
    try:
        bundle = _bundle(args)
        engine = open_engine(bundle, args.engine, device=args.device)
    except (
        BundleRefusedError,
        NoSuchBundleError,
        UnknownArchitectureError,
        EngineUnavailableError,
    ) as problem:
        print(f"hemowire classify: {problem}", file=sys.stderr)
        return 2
    findings = Classifier(bundle, engine).classify(_pictures(args.files, args.um_per_px))
    answers = [
        answer_of(file, finding, bundle, engine.name)
        for file, finding in zip(args.files, findings, strict=True)
    ]
    if args.json:
        print(json.dumps(answers, indent=1, ensure_ascii=False))
    else:
        _print_table(answers, bundle, engine.name)
    return 0


def answer_of(source: Path, finding: Finding, bundle: Bundle, engine_name: str) -> dict[str, Any]:
    """One file's answer in the words and numbers of the pipeline's diagnosis message."""
    from cloud_worker.wording import message_text
    from wire_protocol.manifest import UNFILED

    decision, classes = finding.decision, bundle.card.classes
    shown = decision.probabilities or (None,) * len(classes)
    return {
        "source": str(source),
        "result": decision.result,
        "reason": decision.reason or "",
        "probabilities": {c.key: p for c, p in zip(classes, shown, strict=True)},
        "p_acute": decision.p_acute,
        "urgency": decision.urgency.value,
        "text": message_text(
            decision,
            classes,
            case_id=UNFILED,
            white_cells=None if finding.seen is None else finding.seen.white_cells,
            synthetic=bundle.card.training_data.kind == "synthetic",
        ),
        "ood_percentile": None
        if finding.ood_percentile is None
        else round(finding.ood_percentile, 1),
        "white_cells": None if finding.seen is None else finding.seen.white_cells,
        "white_cell_boxes": finding.white_cell_boxes,
        "width_px": None if finding.seen is None else finding.seen.width_px,
        "height_px": None if finding.seen is None else finding.seen.height_px,
        "tiles": finding.tiles,
        "bundle": bundle.name,
        "engine": engine_name,
        "training_data": bundle.card.training_data_label,
    }


def _bundle(args: argparse.Namespace) -> Bundle:
    from cloud_worker.models.bundle import default_bundle, find_bundle, load_bundle

    if args.bundle is not None:
        return load_bundle(args.bundle)
    return find_bundle(args.arch) if args.arch is not None else default_bundle()


def _pictures(files: list[Path], scale: float | str | None) -> Iterator[Picture]:
    from cloud_worker.classify import Picture

    for file in files:
        data = file.read_bytes()
        um_per_px = _estimated(data, file) if isinstance(scale, str) else scale
        yield Picture(data, um_per_px)


def _estimated(data: bytes, file: Path) -> float | None:
    """The scale by the field's red cells; None, said on stderr, where they do not give one."""
    from cloud_worker.decode import decode
    from cloud_worker.refusal import Refusal

    rgb = decode(data)
    if isinstance(rgb, Refusal):
        return None
    scale = estimated_scale(rgb)
    if isinstance(scale, str):
        print(f"hemowire classify: {file}: {scale}", file=sys.stderr)
        return None
    return scale


def _print_table(answers: list[dict[str, Any]], bundle: Bundle, engine_name: str) -> None:
    from rich.console import Console
    from rich.table import Table

    from wire_protocol.words import RESEARCH_USE_ONLY, class_word, percent

    table = Table(
        title=f"{bundle.name} on {engine_name}. {RESEARCH_USE_ONLY}",
        title_justify="left",
    )
    for column in ("file", "urgency", "finding", "probabilities"):
        table.add_column(column, overflow="fold")
    table.add_column("white cells", justify="right")
    for answer in answers:
        known = {k: p for k, p in answer["probabilities"].items() if p is not None}
        table.add_row(
            answer["source"],
            answer["urgency"].replace("_", " "),
            answer["text"],
            ", ".join(f"{class_word(key)} {percent(p)}" for key, p in known.items()) or "none",
            _counted(answer),
        )
    Console().print(table)


def _counted(answer: dict[str, Any]) -> str:
    """The count and the box to look at first."""
    if answer["white_cells"] is None:
        return "not counted"
    if not answer["white_cells"]:
        return "0"
    x, y, width, height = answer["white_cell_boxes"][0]
    return f"{answer['white_cells']}, first at {x},{y} ({width} x {height} px)"
