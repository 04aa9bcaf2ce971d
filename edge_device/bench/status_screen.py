"""The bench's state for a terminal: the same words as on the page, drawn once; it asks nobody anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edge_device.bench.state import BenchState, CaptureShown, FocusShown, Judged
from edge_device.outbox.rows import UNRECORDED, SnapshotRow
from wire_protocol.machine_io import OutboxState
from wire_protocol.manifest import UNFILED, Priority
from wire_protocol.words import RESEARCH_USE_ONLY

_STATES: Final[dict[OutboxState, str]] = {
    OutboxState.WAITING: "queued",
    OutboxState.SENDING: "sending",
    OutboxState.STORED: "sent",
    OutboxState.RECORDED: "recorded",
    OutboxState.REJECTED: "not sent",
    OutboxState.QUARANTINED: "damaged",
}
_BAR: Final = 40
_GOOD, _WARN, _BAD = "bold green", "bold yellow", "bold red"
_MARKS: Final = {
    Judged.GOOD: ("✓", _GOOD),
    Judged.WARNED: ("▲", _WARN),
    Judged.REFUSED: ("✕", _BAD),
}


def status_screen(state: BenchState, *, captures: int) -> RenderableType:
    """The whole state with the last so many captures."""
    parts: list[RenderableType] = [_head(state), _case(state)]
    parts.extend(Text(f"{mark} {words}", style=style) for mark, style, words in _alarms(state))
    parts.append(_focus(state.focus))
    if state.captures:
        parts.append(_table(state.captures[:captures]))
    else:
        parts.append(Text("Nothing taken yet", style="dim"))
    parts.append(_facts(state))
    return Group(*parts)


def disk_screen(rows: Sequence[SnapshotRow]) -> RenderableType:
    """What the outbox on disk tells where no agent runs."""
    counts = Counter(row.state for row in rows)
    told = ", ".join(f"{_STATES[state]} {counts[state]}" for state in OutboxState if counts[state])
    owed = [row for row in rows if row.state in UNRECORDED]
    size = size_words(sum(row.size_bytes for row in owed if row.bytes_held))
    return Text(
        f"outbox   {told or 'empty'}\n"
        f"waiting  {len(owed)} images, {size} that the records store does not have yet"
    )


def age_words(seconds: float) -> str:
    """How long, short."""
    whole = int(max(0.0, seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d}"
    return f"{whole // 86_400} d"


def size_words(count: float) -> str:
    """Bytes in decimal units."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _head(state: BenchState) -> Text:
    head = Text()
    head.append(f" {RESEARCH_USE_ONLY} ", style="bold black on white")
    head.append(f"   {state.device} · {state.site}   ")
    is_online = state.link.state == "online"
    head.append(f"{'●' if is_online else '▲'} {state.link.state}", _GOOD if is_online else _WARN)
    return head


def _case(state: BenchState) -> Text:
    case = state.case
    line = Text()
    if case.case_id is None:
        line.append(f" {UNFILED.upper()} ", style="bold black on yellow")
        line.append("  No case is open: captures now would belong to no case.", style=_WARN)
        return line
    line.append(f" CASE {case.case_id} ", style="bold white on magenta")
    counted = f"{case.fields} field{'' if case.fields == 1 else 's'}"
    line.append(
        f"  {'as the settings say' if case.opened_s_ago is None else counted}", style="bold"
    )
    if case.closes_in_s is not None:
        soon = case.closes_in_s < 300
        line.append(f" · closes in {age_words(case.closes_in_s)}", style=_WARN if soon else "")
    return line


def _alarms(state: BenchState) -> Iterator[tuple[str, str, str]]:
    if state.camera.trouble:
        yield "✕", _BAD, f"Camera: {state.camera.trouble}"
    if state.halted and not state.paused:
        yield "✕", _BAD, f"No captures: {state.halted}"
    if state.paused:
        yield "▲", _WARN, "Paused: no picture is taken until somebody resumes."
    if state.case.notice:
        yield "▲", _WARN, state.case.notice
    if state.link.state == "offline":
        why = f": {state.link.words}" if state.link.words else ""
        yield "▲", _WARN, f"Offline{why}. Captures are kept here until it is back."
    if not state.link.clock_synced:
        yield "▲", _WARN, "The clock is not set yet: capture times are corrected later."


def _focus(focus: FocusShown) -> Text:
    """The newest score against the limit in the middle, or against the best of late."""
    line = Text("focus  ", style="dim")
    if not focus.history or max(focus.history) <= 0:
        return line.append("not measured")
    now, best = focus.history[-1], max(focus.history)
    whole = 2 * focus.limit if focus.limit else best
    filled = round(_BAR * min(1.0, max(0.0, now / whole)))
    is_sharp = now >= (focus.limit or 0.92 * best)
    line.append("█" * filled + "░" * (_BAR - filled), style="green" if is_sharp else "red")
    line.append(f"  {now:.2f}", style=_GOOD if is_sharp else _BAD)
    if focus.limit:
        line.append(f" of {focus.limit:g} needed", style="" if is_sharp else _BAD)
    return line.append(f" · best {best:.2f}", style="dim")


def _table(captures: tuple[CaptureShown, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", expand=True)
    for name in ("#", "age"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("case", "verdict", "state"):
        table.add_column(name, no_wrap=True)
    table.add_column("what it says", ratio=1)
    for capture in captures:
        mark, style = _MARKS[capture.judged]
        stat = "STAT " if capture.priority is Priority.STAT else ""
        outcome = f", {capture.outcome}" if capture.outcome else ""
        table.add_row(
            str(capture.seq),
            age_words(capture.taken_s_ago),
            capture.case_id or UNFILED,
            Text(f"{mark} {capture.word}", style=style),
            f"{stat}{_STATES[capture.state]}{outcome}",
            " ".join((capture.verdict, *capture.warnings)).strip(),
        )
    return table


def _facts(state: BenchState) -> Text:
    queue, computer, link, versions = state.queue, state.computer, state.link, state.versions
    waiting = "nothing waits"
    if queue.images:
        waiting = f"{queue.images} waiting, {size_words(queue.size_bytes)}"
        if queue.oldest_s_ago is not None:
            waiting += f", oldest {age_words(queue.oldest_s_ago)}"
    facts = [waiting]
    if link.rate_bytes_per_s is not None:
        facts.append(f"link {size_words(link.rate_bytes_per_s)}/s")
    if computer.disk_free_bytes is not None:
        facts.append(f"disk {size_words(computer.disk_free_bytes)} free")
    if computer.memory_bytes is not None:
        facts.append(f"memory {size_words(computer.memory_bytes)}")
    if computer.temperature_c is not None:
        facts.append(f"{computer.temperature_c:.0f} °C")
    if link.clock_offset_ms is not None:
        facts.append(f"clock {link.clock_offset_ms:+.0f} ms")
    facts.append(f"camera {state.camera.kind}")
    if versions.flat_field:
        facts.append(f"flat field {versions.flat_field}")
    if versions.calibration:
        facts.append(f"calibration {versions.calibration}")
    facts.append(f"hemowire {versions.software}".strip())
    return Text(" · ".join(facts), style="dim")
