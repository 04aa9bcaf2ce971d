"""`hemowire doctor`: what this machine has, what it lacks, and the command that mends it."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `hemowire doctor`."""
    from hemowire.findings import USES

    parser.add_argument(
        "--for", dest="use", choices=list(USES), default="demo", help="what this machine is to do"
    )


def run(args: argparse.Namespace) -> int:
    """Prints the findings; 1 if something that is needed for this use is missing."""
    from rich.console import Console
    from rich.text import Text

    from hemowire.findings import State, examine

    colours = {State.OK: "green", State.MISSING: "bold red", State.OPTIONAL: "yellow"}
    console = Console(highlight=False, soft_wrap=True)
    missing = 0
    for finding in examine(args.use):
        missing += finding.state is State.MISSING
        line = Text(f"{finding.state.value:<9}", style=colours[finding.state])
        line.append(f"{finding.name:<16} ", style="default not bold")
        line.append(finding.found, style="default not bold")
        console.print(line)
        if finding.mend:
            console.print(Text(f"{'':<26} mend: {finding.mend}", style="cyan"))
    if missing:
        console.print(f"{missing} missing for {args.use}.")
        return 1
    console.print(f"Ready for {args.use}.")
    return 0
