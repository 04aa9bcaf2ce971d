"""Shows a reconciliation: a table for people, JSON for machines; it judges nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from dashboard.reconcile import OutboxAccount, Reconciliation, SeqRange

#: Lines of each list before "and N more"; JSON has them all.
_SHOWN = 20


def as_json(found: Reconciliation) -> str:
    """One JSON object with everything that was found."""
    fields = asdict(found) | {"clean": found.is_clean}
    for account, shown in zip(found.outboxes, fields["outboxes"], strict=True):
        shown["clean"] = account.is_clean
    return json.dumps(fields, indent=2, default=str)


def show(found: Reconciliation, console: Console) -> None:
    """The equation of each outbox, then whatever is wrong, then one sentence."""
    table = Table(
        title="seqs given out = recorded + rejected + dropped + still held",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for name in ("device", "outbox"):
        table.add_column(name, no_wrap=True)
    for name in ("given", "recorded", "rejected", "dropped", "held"):
        table.add_column(name, justify="right")
    table.add_column("", no_wrap=True)
    for account in found.outboxes:
        table.add_row(
            _name(account),
            account.outbox_id[:8],
            str(account.next_seq - 1),
            str(account.diagnosed),
            str(account.rejected),
            str(account.dropped),
            str(account.held),
            "[green]ok[/]" if account.is_clean else "[red]NOT ok[/]",
        )
    console.print(table)
    for account in found.outboxes:
        for finding in _findings(account):
            console.print(f"{_name(account)} {account.outbox_id[:8]}: {finding}", soft_wrap=True)
    _list(console, "conflicts", (
        f"{a.device} {a.image_id} seq {a.seq} sha256 {a.sha256[:12]}: {a.verdict.value}, {a.times} x"
        for a in found.conflicts
    ))  # fmt: skip
    _list(console, "archived and not recorded", (
        f"{m.device} {m.image_id} seq {m.seq} sha256 {m.sha256[:12]}" for m in found.unrecorded
    ))  # fmt: skip
    _list(console, "recorded, and the blob is gone", (
        f"{i.device} {i.image_id} seq {i.seq} sha256 {i.sha256}" for i in found.records_without_blob
    ))  # fmt: skip
    _list(console, "blobs that no image names (kept; listed only)", found.orphan_blobs)
    if found.is_clean:
        console.print(
            "[green]clean[/]: every image has exactly one outcome or is held by its device"
        )
    else:
        console.print("[red]NOT clean[/]: see the findings above")


def _name(account: OutboxAccount) -> str:
    return "/".join(part for part in (account.site, account.device) if part)


def _findings(account: OutboxAccount) -> Iterator[str]:
    if account.gaps:
        yield f"[red]LOST: seq {_ranges(account.gaps)}[/]"
    if account.unaccounted:
        yield f"[red]{account.unaccounted} missing that the device does not hold[/]"
    if account.went_back:
        yield "[red]its outbox went back in time: seqs may be used twice[/]"
    if account.copied_to:
        names = " and ".join(account.copied_to)
        yield (
            f"[red]{names} count on in one outbox: was its card copied? Export what one of them "
            "holds, and flash it anew[/]"
        )
    if account.is_silent:
        yield f"[yellow]silent, and holds {account.held}[/]"
    if not account.is_heard:
        yield "[yellow]no device ever told of this outbox[/]"


def _ranges(ranges: Iterable[SeqRange]) -> str:
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges)


def _list(console: Console, title: str, lines: Iterable[str]) -> None:
    listed = list(lines)
    if not listed:
        return
    console.print(f"[bold]{title}: {len(listed)}[/]")
    for line in listed[:_SHOWN]:
        console.print(f"  {line}", highlight=False, soft_wrap=True)
    if len(listed) > _SHOWN:
        console.print(f"  and {len(listed) - _SHOWN} more (--json lists all)")
