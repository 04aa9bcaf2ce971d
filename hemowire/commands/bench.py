"""`hemowire bench SCENARIO.toml` and `hemowire bench compare A.json B.json`: latency that can be believed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

#: `hemowire bench SCENARIO.toml` is `hemowire bench run SCENARIO.toml`.
JOBS = ("run", "compare")
DEFAULT_JOB = "run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `hemowire bench`."""
    jobs = parser.add_subparsers(dest="job", metavar="JOB", required=True)
    run_job = jobs.add_parser("run", help="run a scenario (the default)")
    run_job.add_argument(
        "scenario",
        type=Path,
        metavar="SCENARIO.toml",
        help="a file, or the name of one that comes with hemowire: quick, loopback-field, ...",
    )
    run_job.add_argument("--json", type=Path, metavar="FILE", help="write the whole result here")
    run_job.add_argument("--html", type=Path, metavar="FILE", help="write the report here")
    run_job.add_argument(
        "--repetitions", type=int, metavar="N", help="instead of the scenario's own number"
    )
    compare_job = jobs.add_parser("compare", help="what changed between two results beyond noise")
    compare_job.add_argument("a", type=Path, metavar="A.json")
    compare_job.add_argument("b", type=Path, metavar="B.json")
    compare_job.add_argument(
        "--anyway",
        action="store_true",
        help="also where scenario or machine differ; the table says so",
    )


def run(args: argparse.Namespace) -> int:
    """Runs a job; 0 where every target holds (run) or the results were compared, 2 for wrong files."""
    return _compare(args) if args.job == "compare" else _run(args)


def _run(args: argparse.Namespace) -> int:
    for name, file in (("--json", args.json), ("--html", args.html)):
        if file is not None and not file.absolute().parent.is_dir():
            folder = file.absolute().parent
            print(f"hemowire bench: {name} {file}: no such folder: {folder}", file=sys.stderr)
            return 2
    if args.repetitions is not None and not 1 <= args.repetitions <= 50:
        print(f"hemowire bench: --repetitions {args.repetitions}: 1 to 50", file=sys.stderr)
        return 2
    from benchmarks.load.run import BenchOptions, run_bench
    from service_runtime.settings import SettingsError

    try:
        return run_bench(BenchOptions(args.scenario, args.json, args.html, args.repetitions))
    except SettingsError as error:
        print(f"hemowire bench: {error}", file=sys.stderr)
        return 2


def _compare(args: argparse.Namespace) -> int:
    from benchmarks.load.compare import NotComparableError, compare
    from benchmarks.load.compare_table import print_comparison
    from benchmarks.load.result import ResultRefusedError, read_result

    try:
        comparison = compare(read_result(args.a), read_result(args.b), anyway=args.anyway)
    except (OSError, ResultRefusedError, NotComparableError) as error:
        print(f"hemowire bench compare: {error}", file=sys.stderr)
        return 2
    print_comparison(comparison, str(args.a), str(args.b))
    return 0
