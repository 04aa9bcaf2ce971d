"""`hemowire edge case`: show, open, close or list cases and move a field, through the running agent or without one."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from edge_device.cases.ledger import CaseRow
    from edge_device.settings import EdgeSettings

#: Each with the values that it takes and whether it changes something.
_WHAT: Final[dict[str, tuple[tuple[str, ...], bool]]] = {
    "show": ((), False),
    "list": ((), False),
    "open": (("ID",), True),
    "close": ((), True),
    "move": (("IMAGE", "ID"), True),
}


class WrongAskError(Exception):
    """What was asked cannot be done, in words."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `hemowire edge case`."""
    parser.add_argument(
        "what",
        choices=tuple(_WHAT),
        help="show: the open case; list: openings, newest first; open ID: and close the one before; "
        "close: further fields are unfiled; move IMAGE ID: file a field (its number or id) under "
        "another case, or as unfiled",
    )
    parser.add_argument("values", nargs="*", metavar="VALUE", help="an id names a slide, nobody")
    parser.add_argument("--config", type=Path, required=True, metavar="edge.toml")
    parser.add_argument("--operator", default="", metavar="NAME", help="whose wish: audited")
    parser.add_argument("--json", action="store_true", help="list: one JSON object a line")


def run(args: argparse.Namespace) -> int:
    """Does it; 2 where it cannot be done."""
    from edge_device.bench.local_client import AgentError
    from edge_device.cases import CaseError, CaseIdError
    from edge_device.cases.ledger import MoveError
    from edge_device.outbox import OutboxError
    from edge_device.settings import EdgeSettings
    from service_runtime.settings import SettingsError, load_settings

    known = (SettingsError, AgentError, CaseError, CaseIdError, MoveError, OutboxError)
    try:
        wanted, is_deed = _WHAT[args.what]
        if len(args.values) != len(wanted):
            raise WrongAskError(f"needs {' '.join(wanted) or 'no value'}")
        if is_deed and not args.operator:
            raise WrongAskError("needs --operator NAME")
        settings = load_settings(EdgeSettings, args.config)
        print(_JOBS[args.what](settings, args))
    except (*known, WrongAskError, OSError) as error:
        print(f"hemowire edge case {args.what}: {error}", file=sys.stderr)
        return 2
    return 0


# --- looking ---------------------------------------------------------------------------------------


def _show(settings: EdgeSettings, _args: argparse.Namespace) -> str:
    from edge_device.bench.local_client import NoAgentError, read_state

    try:
        case = read_state(settings.data_dir).case
    except NoAgentError:
        left = [row for row in _rows(settings) if row.closed_by is None]
        if not left:
            return "no agent runs, and no case was open when it stopped"
        return f"no agent runs; when it stopped, {_words(left[0])}"
    if case.case_id is None:
        return "no case is open: fields are unfiled"
    words = f"case {case.case_id} is open: {case.fields} fields"
    if case.operator:
        words += f", opened by {case.operator}"
    if case.closes_in_s is not None:
        words += f"; it closes in {case.closes_in_s / 60:.0f} min without a capture"
    return words


def _list(settings: EdgeSettings, args: argparse.Namespace) -> str:
    import json
    from dataclasses import asdict

    rows = _rows(settings)
    if args.json:
        return "\n".join(json.dumps(asdict(row)) for row in rows)
    lines = [f"{row.opened_wall}  {_words(row)}" for row in rows]
    return "\n".join([*lines, f"{len(rows)} openings"])


def _words(row: CaseRow) -> str:
    fields = f"{row.fields} field{'' if row.fields == 1 else 's'}"
    opening = "" if row.number == 1 else f" (opening {row.number})"
    who = f" {row.operator}" if row.operator else ""
    ending = "is open" if row.closed_by is None else f"closed by {row.closed_by} {row.closed_wall}"
    return f"case {row.case_id}{opening}: {fields}, opened by {row.by}{who}, {ending}"


def _rows(settings: EdgeSettings) -> list[CaseRow]:
    from contextlib import closing

    from edge_device.cases.ledger import list_cases
    from edge_device.outbox.integrity import damage_is_named
    from edge_device.outbox.schema import open_to_read

    folder = settings.data_dir / "outbox"
    with damage_is_named(folder), closing(open_to_read(folder)) as connection:
        return list_cases(connection)


# --- deeds -----------------------------------------------------------------------------------------


def _open(settings: EdgeSettings, args: argparse.Namespace) -> str:
    from edge_device.cases import By, check_case_id
    from edge_device.cases.ledger import write_opening
    from service_runtime.boot import monotonic_ns

    case_id = check_case_id(args.values[0], settings.cases)
    told = _tell_agent(settings, "open_case", {"case_id": case_id}, args.operator)
    if told is not None:
        again = "" if told["number"] == 1 else f" again (opening {told['number']})"
        return f"case {case_id} is open{again}: {told['fields']} fields"
    with _opened(settings) as outbox:
        number = write_opening(outbox, case_id, By.COMMAND, args.operator, monotonic_ns())
    minutes = settings.cases.idle_close_s / 60
    return (
        f"no agent runs: its start within {minutes:g} min, before a reboot, goes on with "
        f"case {case_id} (opening {number})"
    )


def _close(settings: EdgeSettings, args: argparse.Namespace) -> str:
    from edge_device.cases import By
    from edge_device.cases.ledger import list_cases, write_closing

    told = _tell_agent(settings, "close_case", {}, args.operator)
    if told is not None:
        return f"case {told['case_id']} is closed: {told['fields']} fields"
    with _opened(settings) as outbox:
        left = [row for row in list_cases(outbox.db) if row.closed_by is None]
        if not left:
            raise WrongAskError("no case is open")
        write_closing(outbox, By.COMMAND, args.operator)
    return f"no agent runs: case {left[0].case_id} is closed"


def _move(settings: EdgeSettings, args: argparse.Namespace) -> str:
    from edge_device.cases import check_case_id
    from edge_device.cases.ledger import write_move
    from wire_protocol.manifest import UNFILED

    name, case_id = args.values
    if case_id != UNFILED:
        case_id = check_case_id(case_id, settings.cases)
    image_id = _image_id(settings, name)
    asked = {"image_id": image_id, "case_id": case_id}
    told = _tell_agent(settings, "move_field", asked, args.operator)
    if told is not None:
        return (
            f"image {image_id} is of {_named(case_id)} now, it was of {_named(told['from_case'])}"
        )
    with _opened(settings) as outbox:
        before = write_move(outbox, image_id, case_id, args.operator)
    return (
        f"image {image_id} is of {_named(case_id)} now, it was of {_named(before)}; "
        "no agent runs: its next start tells the records store"
    )


def _named(case_id: str) -> str:
    from wire_protocol.manifest import UNFILED

    return "no case" if case_id == UNFILED else f"case {case_id}"


def _image_id(settings: EdgeSettings, name: str) -> str:
    """The id of an image that is named by its number in the outbox or by its id."""
    from contextlib import closing

    from edge_device.outbox.integrity import damage_is_named
    from edge_device.outbox.schema import open_to_read

    folder = settings.data_dir / "outbox"
    column = "seq" if name.isdecimal() and len(name) < 20 else "image_id"
    with damage_is_named(folder), closing(open_to_read(folder)) as connection:
        query = f"SELECT image_id FROM images WHERE {column} = ?"
        found = connection.execute(query, (name,)).fetchone()
    if found is None:
        raise WrongAskError("no such image in the outbox: its number or its id is needed")
    return str(found[0])


def _opened(settings: EdgeSettings) -> Any:
    """The outbox itself, closed at the end; raises OutboxError where an agent has it."""
    from contextlib import closing

    from edge_device.outbox import Outbox

    return closing(Outbox(settings.data_dir / "outbox"))


def _tell_agent(
    settings: EdgeSettings, action: str, arguments: dict[str, Any], operator: str
) -> dict[str, Any] | None:
    """What the running agent did; None where none runs."""
    from edge_device.bench.local_client import NoAgentError, call

    try:
        answer = call(settings.data_dir, action, arguments, operator)
    except NoAgentError:
        return None
    if not answer.ok:
        raise WrongAskError(f"the agent says: {answer.error}")
    return answer.result


_JOBS: Final = {"show": _show, "list": _list, "open": _open, "close": _close, "move": _move}
