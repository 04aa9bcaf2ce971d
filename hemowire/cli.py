"""The `hemowire` command: picks a subcommand from one literal table and imports nothing else."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Final

from wire_protocol.words import RESEARCH_USE_ONLY

#: Subcommand -> one line of help; its module is hemowire.commands.<name>.
COMMANDS: Final[dict[str, str]] = {
    "demo": "run the whole path, microscope to hematologist, on this machine",
    "edge": "run a microscope agent",
    "worker": "run a classifying worker",
    "records": "run the records store, or reconcile and list what it holds",
    "dashboard": "serve the hematologist's page: cases, white cells, signatures",
    "watch": "show diagnoses as they come, urgent first",
    "accounts": "say who may sign in to the dashboard; make one-time links for phones",
    "audit": "check that the book of sign-ins, views, reviews and exports is whole",
    "export": "write or send a case as a report (PDF, FHIR, DICOM, CSV), or signed reviews as data",
    "metrics": "write traces, health and counters to InfluxDB, or to files for it",
    "broker": "run Mosquitto with the shipped configuration",
    "classify": "classify image files without a broker",
    "segment": "outline and count the white cells of image files",
    "models": "list architectures and model bundles",
    "simulate": "render simulated blood-smear fields into a folder",
    "data": "index a data set: digests, and fields that were seen twice",
    "train": "train a model bundle by a recipe",
    "evaluate": "judge a model bundle on labelled images",
    "reproduce": "train a paper's systems by its protocol and by ours, side by side",
    "fleet": "run hundreds of light devices with simulated images, for load",
    "bench": "measure latency and throughput of a scenario, or compare two results",
    "chaos": "kill, freeze and cut the real programs and show that no image is lost",
    "doctor": "say what this machine has, lacks, and how to mend it",
    "asyncapi": "print the AsyncAPI document of the wire protocol",
}
#: What to install when a subcommand's packages are missing.
EXTRAS: Final[dict[str, str]] = {
    "edge": "edge",
    "simulate": "edge",
    "worker": "worker",
    "classify": "worker",
    "segment": "worker",
    "models": "worker",
    "records": "dashboard",
    "dashboard": "dashboard",
    "watch": "dashboard",
    "accounts": "dashboard",
    "audit": "dashboard",
    "export": "dashboard",
    "metrics": "dashboard",
    "data": "training",
    "train": "training",
    "evaluate": "training",
    "reproduce": "training",
    "demo": "edge,worker,dashboard",
    "bench": "bench",
    "fleet": "edge",
    "chaos": "edge,worker,dashboard",
}


_OURS: Final = frozenset(
    {
        "wire_protocol",
        "service_runtime",
        "edge_device",
        "cloud_worker",
        "training",
        "dashboard",
        "broker_config",
        "benchmarks",
        "hemowire",
    }
)


def build_parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """The parser with the options of the subcommand that `arguments` name, and of no other."""
    name = next((item for item in arguments if not item.startswith("-")), None)
    parser = argparse.ArgumentParser(
        prog="hemowire",
        description="Blood-smear images from microscope to classifier to hematologist, over MQTT. "
        + RESEARCH_USE_ONLY,
    )
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command, text in COMMANDS.items():
        subparser = subparsers.add_parser(
            command, help=text, description=f"{text.capitalize()}. {RESEARCH_USE_ONLY}"
        )
        if command == name:
            module = importlib.import_module(f"hemowire.commands.{command}")
            module.add_arguments(subparser)
    return parser


def read_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """What a command line says; ends the program with 2 where it says nothing sensible."""
    complete = _with_job(list(arguments))
    return build_parser(complete).parse_args(complete)


def _with_job(arguments: list[str]) -> list[str]:
    """The arguments with the default job put in, for a command of several jobs that names none."""
    if not arguments or arguments[0] not in COMMANDS:
        return arguments
    module = importlib.import_module(f"hemowire.commands.{arguments[0]}")
    jobs = getattr(module, "JOBS", None)
    if jobs is None or (len(arguments) > 1 and arguments[1] in (*jobs, "-h", "--help")):
        return arguments
    return [arguments[0], module.DEFAULT_JOB, *arguments[1:]]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one subcommand and returns its exit code (2 for wrong usage or configuration)."""
    args = read_arguments(sys.argv[1:] if argv is None else argv)
    module = importlib.import_module(f"hemowire.commands.{args.command}")
    try:
        return int(module.run(args))
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] in _OURS:
            raise
        extra = EXTRAS.get(args.command, "dev")
        print(
            f"hemowire {args.command}: the Python package {error.name!r} is not installed; "
            f"it comes with: pip install 'hemowire[{extra}]'",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
