"""`hemowire demo`: the main job on this machine, from microscope to hematologist."""

from __future__ import annotations

import argparse
import sys

from hemowire.demo.options import OptionsError, add_arguments, read_options

__all__ = ["add_arguments", "run"]


def run(args: argparse.Namespace) -> int:
    """Runs the demo; 0 only where every captured image is recorded or rejected, none lost or double."""
    try:
        options = read_options(args)
    except OptionsError as error:
        print(f"hemowire demo: {error}", file=sys.stderr)
        return 2
    from hemowire.demo.run import run_demo

    return run_demo(options)
