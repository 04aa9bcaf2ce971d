"""`hemowire data`: index a data set, so that no field can lie on both sides of a split."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training.indexing import Index

_SHOWN = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `hemowire data`."""
    parser.add_argument(
        "action",
        choices=("index",),
        help="index: read every image, find equal files and the same field seen twice, write a manifest",
    )
    parser.add_argument("location", type=Path, metavar="DIR", help="a folder per class, or a CSV")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: DIR/manifest.csv")
    parser.add_argument("--labels", default="", help="the classes there should be: A,B,C")
    parser.add_argument("--json", action="store_true", help="for machines")


def run(args: argparse.Namespace) -> int:
    """Index; 2 where the data set cannot be used, with the files that are to blame."""
    from rich.progress import Progress

    from training.data import DataError
    from training.indexing import index_images, write_manifest

    labels = [label.strip() for label in args.labels.split(",") if label.strip()]
    folder = args.location if args.location.is_dir() else args.location.parent
    out = args.out or folder / "manifest.csv"
    try:
        if out.exists():
            raise DataError(f"{out}: is there already; remove it, or name another with --out")
        with Progress(transient=True, disable=not sys.stdout.isatty() or args.json) as bars:
            task = bars.add_task("reading images", total=None)
            index = index_images(
                args.location,
                labels,
                lambda count, total: bars.update(task, completed=count, total=total),
            )
        write_manifest(index, out)
    except (DataError, OSError) as error:
        for line in str(error).splitlines():
            print(f"hemowire data: {line}", file=sys.stderr)
        return 2
    facts = _facts(index, out)
    if args.json:
        print(json.dumps(facts, indent=1, ensure_ascii=False))
    else:
        _print(facts)
    return 0


def _facts(index: Index, out: Path) -> dict[str, Any]:
    groups = {image.group: image.label for image in index.images}
    fields = len({image.near_duplicate_group for image in index.images})
    facts: dict[str, Any] = {
        "manifest": str(out),
        "images": dict(Counter(image.label for image in index.images)),
        "groups": dict(Counter(groups.values())),
        "identical_files": index.identical_files,
        "images_of_a_field_seen_before": len(index.images) - fields,
        "largest_group": index.largest_group(),
        "same_field_under_two_labels": [[str(a), str(b)] for a, b in index.between_labels],
    }
    agreement = index.agreement()
    if agreement is not None:
        facts["given_groups"] = {
            "pairs_in_both": agreement.both,
            "pairs_only_given": [[str(a), str(b)] for a, b in agreement.only_given],
            "pairs_only_here": [[str(a), str(b)] for a, b in agreement.only_ours],
        }
    return facts


def _print(facts: dict[str, Any]) -> None:
    print(f"{sum(facts['images'].values())} images in {sum(facts['groups'].values())} groups")
    for label, count in facts["images"].items():
        print(f"  {label}: {count} images, {facts['groups'].get(label, 0)} groups")
    print(f"{facts['identical_files']} files equal an earlier one")
    print(f"{facts['images_of_a_field_seen_before']} images show a field seen before, equal or not")
    print(f"largest group: {facts['largest_group']} images")
    _print_pairs("the same field under two labels", facts["same_field_under_two_labels"])
    given = facts.get("given_groups")
    if given is not None:
        print(f"pairs that the data set's own groups join, and so do we: {given['pairs_in_both']}")
        _print_pairs("joined by the data set only", given["pairs_only_given"])
        _print_pairs("joined here only", given["pairs_only_here"])
    print(f"written: {facts['manifest']}")


def _print_pairs(title: str, pairs: list[list[str]]) -> None:
    print(f"{title}: {len(pairs)} pairs")
    for first, second in pairs[:_SHOWN]:
        print(f"  {first}  {second}")
    if len(pairs) > _SHOWN:
        print(f"  and {len(pairs) - _SHOWN} more (all of them with --json)")
