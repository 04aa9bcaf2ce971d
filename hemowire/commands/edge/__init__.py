"""`hemowire edge`: run a microscope agent, or do one of the jobs around it; without a job's name it runs the agent."""

from __future__ import annotations

import argparse
import importlib
from types import ModuleType
from typing import Final

from wire_protocol.words import RESEARCH_USE_ONLY

#: Job to its line in the help; each is a module of this package with `add_arguments` and `run`
#: (job `flat-field` is module `flat_field_job`).
JOBS: Final[dict[str, str]] = {
    "run": "run the agent (what happens without a job's name)",
    "status": "what the agent of this device does right now, or what its outbox holds",
    "case": "show, open, close or list cases; move a field to another case",
    "outbox": "list, retry, export, purge or rescue the images of this device",
    "flat-field": "show, undo or reset the learned light; draw before and after",
    "calibrate": "learn the gate's limits and the scale of this microscope from a few pictures",
    "cameras": "list the cameras of this machine; take one frame to a file and score it",
}
DEFAULT_JOB: Final = "run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the jobs and their options."""
    jobs = parser.add_subparsers(dest="job", metavar="JOB", required=True)
    for job, text in JOBS.items():
        description = f"{text.capitalize()}. {RESEARCH_USE_ONLY}"
        _module(job).add_arguments(jobs.add_parser(job, help=text, description=description))


def run(args: argparse.Namespace) -> int:
    """Does the job."""
    return int(_module(args.job).run(args))


def _module(job: str) -> ModuleType:
    name = job.replace("-", "_")
    return importlib.import_module(f"hemowire.commands.edge.{name}_job")
