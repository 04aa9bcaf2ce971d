"""`hemowire asyncapi`: prints the wire protocol as an AsyncAPI 3 document, or brings docs/ up to date."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument(
        "--write",
        type=Path,
        metavar="DIR",
        help="write asyncapi.json there and refresh the made tables of protocol.md",
    )


def run(args: argparse.Namespace) -> int:
    """Prints or writes."""
    from wire_protocol.asyncapi import render_text
    from wire_protocol.reference import refresh

    if args.write is None:
        print(render_text(), end="")
        return 0
    (args.write / "asyncapi.json").write_text(render_text(), encoding="utf-8")
    page = args.write / "protocol.md"
    page.write_text(refresh(page.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"{args.write / 'asyncapi.json'} and {page} are up to date")
    return 0
