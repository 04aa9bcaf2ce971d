"""`hemowire edge outbox`: list, retry, export, purge or rescue the images of a device, whether its agent runs or not.

(Over 250 lines: five small jobs on one thing.)
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_device.outbox.listing import Listed
    from edge_device.outbox.rescue import Inspected
    from edge_device.settings import EdgeSettings

STATES = ("waiting", "sending", "stored", "recorded", "rejected", "quarantined")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class WrongAskError(Exception):
    """What was asked cannot be done, in words."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `hemowire edge outbox`."""
    what = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    listing = what.add_parser("list", help="a table of the images")
    _add_place(listing)
    _add_states(listing)
    listing.add_argument("--limit", type=int, default=-1, metavar="N", help="the oldest N only")
    listing.add_argument("--json", action="store_true", help="one JSON object a line")
    retry = what.add_parser("retry", help="send stuck images now")
    _add_place(retry)
    _add_images(retry, nargs="+")
    _add_operator(retry)
    export = what.add_parser("export", help="write images and their facts into a folder")
    export.add_argument("folder", type=Path, metavar="DIR", help="where to; files there stay")
    _add_place(export)
    _add_images(export, nargs="*")
    _add_states(export)
    export.add_argument(
        "--with-source",
        action="store_true",
        help="write the source's file name too: it may name a patient",
    )
    purge = what.add_parser("purge", help="let go of images; an unrecorded one ends as dropped")
    _add_place(purge)
    _add_images(purge, nargs="*")
    purge.add_argument("--rejected", action="store_true", help="the bytes of all refused images")
    purge.add_argument(
        "--older-than",
        type=_seconds,
        metavar="AGE",
        help="all captured longer ago in running time (90d, 12h, 30m) that are not on their way",
    )
    _add_operator(purge)
    rescue = what.add_parser(
        "rescue", help="put a damaged database aside and take its images into a new outbox"
    )
    _add_place(rescue)
    _add_operator(rescue)


def run(args: argparse.Namespace) -> int:
    """Does it; 1 where a part could not be done, 2 where nothing was."""
    from edge_device.bench.local_client import AgentError
    from edge_device.outbox import OutboxError
    from edge_device.outbox.desk import DeskError
    from service_runtime.settings import SettingsError

    try:
        jobs = {
            "list": _list,
            "retry": _retry,
            "export": _export,
            "purge": _purge,
            "rescue": _rescue,
        }
        return jobs[args.what](args)
    except (OutboxError, DeskError, AgentError, SettingsError, WrongAskError, OSError) as error:
        print(f"hemowire edge outbox {args.what}: {error}", file=sys.stderr)
        return 2


# --- options --------------------------------------------------------------------------------------


def _add_place(parser: argparse.ArgumentParser) -> None:
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--config", type=Path, metavar="edge.toml", help="the agent's settings")
    place.add_argument("--data-dir", type=Path, metavar="DIR", help="the agent's data folder")


def _add_states(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--state", action="append", default=[], choices=STATES, help="only these (repeatable)"
    )


def _add_images(parser: argparse.ArgumentParser, *, nargs: str) -> None:
    parser.add_argument("images", nargs=nargs, metavar="IMAGE", help="its number or its id")


def _add_operator(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--operator", required=True, metavar="NAME", help="who wants it: audited")


def _seconds(text: str) -> float:
    unit = _UNITS.get(text[-1:], 0.0)
    if not unit or not text[:-1].isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no age: a number and d, h, m or s")
    return int(text[:-1]) * unit


# --- jobs -----------------------------------------------------------------------------------------


def _list(args: argparse.Namespace) -> int:
    found = _read(_data_dir(args), states=args.state, limit=args.limit)
    if args.json:
        for one in found:
            print(json.dumps(one.as_json(), sort_keys=True))
        return 0
    from hemowire.commands.edge.outbox_table import print_table

    print_table(found)
    return 0


def _export(args: argparse.Namespace) -> int:
    from edge_device.outbox.listing import export

    data_dir = _data_dir(args)
    found = _read(data_dir, states=args.state, names=args.images)
    done = export(data_dir / "outbox" / "images", found, args.folder, with_source=args.with_source)
    for one in done:
        if one.path is None:
            print(f"image {one.image_id}: not written: {one.error}", file=sys.stderr)
    written = sum(one.path is not None for one in done)
    print(f"{written} of {len(done)} images written to {args.folder}")
    return 0 if written == len(done) else 1


def _retry(args: argparse.Namespace) -> int:
    from edge_device.outbox.desk import retry

    data_dir = _data_dir(args)
    ids = _ids(data_dir, args.images)
    told = _tell_agent(data_dir, "outbox_retry", {"image_ids": ids}, args.operator)
    if told is not None:
        print(f"{len(told['retried'])} images are offered now")
        return 0
    with _opened(data_dir) as outbox:
        rows = retry(outbox, ids, args.operator)
    print(f"no agent runs: its next start offers these {len(rows)} images at once")
    return 0


def _purge(args: argparse.Namespace) -> int:
    from edge_device.outbox.desk import purge

    if not args.images and not args.rejected and args.older_than is None:
        raise WrongAskError("name images, or --rejected, or --older-than")
    data_dir = _data_dir(args)
    ids = _ids(data_dir, args.images)
    arguments = {"image_ids": ids, "rejected": args.rejected, "older_than_s": args.older_than}
    told = _tell_agent(data_dir, "outbox_purge", arguments, args.operator)
    if told is None:
        with _opened(data_dir) as outbox:
            done = purge(
                outbox,
                args.operator,
                image_ids=ids,
                rejected=args.rejected,
                older_than_s=args.older_than,
            )
        told = {"dropped": done.dropped, "freed": done.freed, "left": done.left}
    for image_id, why in told["left"].items():
        print(f"image {image_id} is left: {why}", file=sys.stderr)
    dropped, freed = len(told["dropped"]), len(told["freed"])
    print(f"{dropped} images end as dropped by {args.operator}; the bytes of {freed} more are gone")
    return 0


def _rescue(args: argparse.Namespace) -> int:
    from edge_device.outbox.rescue import rescue

    settings = _settings(args)
    folder = _data_dir(args) / "outbox"

    def inspect(content: bytes) -> Inspected:
        return _inspect(content, settings)

    done = rescue(folder, inspect, args.operator)
    if done.put_aside is None:
        print(f"the database is sound; {done.taken_in} files without a row are taken in")
        return 0
    print(f"outbox {done.outbox_id} is new; the damaged database lies in {done.put_aside}")
    unfiled = done.taken_in - done.known
    print(f"{done.taken_in} images are taken in again, {unfiled} of them of an unknown case")
    print(f"{done.recorded} that were recorded already stay in {done.put_aside / 'images-done'}")
    return 0


def _inspect(content: bytes, settings: EdgeSettings | None) -> Inspected:
    from edge_device.encoding.encode import EncodeSettings, encode, open_file
    from edge_device.gate import GateSettings, judge, measure
    from edge_device.outbox import Refusal
    from edge_device.outbox.rescue import Inspected

    ways = EncodeSettings() if settings is None else settings.encode
    gate = GateSettings() if settings is None else settings.gate
    opened = open_file(content, ways)
    if isinstance(opened, Refusal):
        return Inspected(None, 0, 0, opened)
    encoded = encode(opened, ways)
    if isinstance(encoded, Refusal):
        return Inspected(None, 0, 0, encoded)
    refusal = judge(measure(opened.pixels), gate).refusal if gate.enabled else None
    return Inspected(encoded.content_type, encoded.width_px, encoded.height_px, refusal)


# --- the outbox and the agent ---------------------------------------------------------------------


def _settings(args: argparse.Namespace) -> EdgeSettings | None:
    from edge_device.settings import EdgeSettings
    from service_runtime.settings import load_settings

    return None if args.config is None else load_settings(EdgeSettings, args.config)


def _data_dir(args: argparse.Namespace) -> Path:
    settings = _settings(args)
    data_dir: Path = args.data_dir if settings is None else settings.data_dir
    return data_dir


def _read(
    data_dir: Path, *, states: list[str], names: list[str] | None = None, limit: int = -1
) -> list[Listed]:
    """Rows in the order of capture, beside a running agent too."""
    from contextlib import closing

    from edge_device.outbox.integrity import damage_is_named
    from edge_device.outbox.listing import list_rows
    from edge_device.outbox.schema import open_to_read
    from wire_protocol.machine_io import OutboxState

    ids = _ids(data_dir, names or [])
    folder = data_dir / "outbox"
    with damage_is_named(folder), closing(open_to_read(folder)) as connection:
        wanted = [OutboxState(state) for state in states]
        return list_rows(connection, states=wanted, image_ids=ids, limit=limit)


def _ids(data_dir: Path, names: list[str]) -> list[str]:
    """Image ids of what people name: ids, or numbers as the list shows them."""
    from contextlib import closing

    from edge_device.outbox.integrity import damage_is_named
    from edge_device.outbox.schema import open_to_read

    folder = data_dir / "outbox"
    ids = []
    with damage_is_named(folder), closing(open_to_read(folder)) as connection:
        for name in names:
            column = "image_id" if len(name) == 32 else "seq"
            found = connection.execute(
                f"SELECT image_id FROM images WHERE {column} = ?", (name,)
            ).fetchone()
            if found is None:
                raise WrongAskError(f"no image {name} in {folder}")
            ids.append(found[0])
    return ids


def _opened(data_dir: Path) -> Any:
    """The outbox itself, closed at the end; raises OutboxError where an agent has it."""
    from contextlib import closing

    from edge_device.outbox import Outbox

    return closing(Outbox(data_dir / "outbox"))


def _tell_agent(
    data_dir: Path, action: str, arguments: dict[str, Any], operator: str
) -> dict[str, Any] | None:
    """What the running agent did; None where none runs."""
    from edge_device.bench.local_client import NoAgentError, call

    try:
        answer = call(data_dir, action, arguments, operator)
    except NoAgentError:
        return None
    if not answer.ok:
        raise WrongAskError(f"the agent says: {answer.error}")
    return answer.result
