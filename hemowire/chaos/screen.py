"""How far a run is: counts and the last faults; where no terminal is, a line now and then."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from hemowire.chaos.history import Event, Fault, History, Kind
from hemowire.chaos.workload import Seen
from wire_protocol.words import RESEARCH_USE_ONLY

_LAST = 12
_LINE_EVERY_S = 5.0
_MARKS = {Kind.INVOKE: "begins", Kind.OK: "is over", Kind.FAIL: "failed", Kind.INFO: "unknown"}


class Screen:
    """Told how it stands; redraws."""

    def __init__(
        self, console: Console, history: History, seen: Seen, *, images: int, faults: int
    ) -> None:
        self.note = "starting the programs"
        self.faults_done = 0
        self._console = console
        self._history = history
        self._seen = seen
        self._of = (images, faults)
        self._live: Live | None = None
        self._next_line_s = 0.0
        if console.is_terminal:
            self._live = Live(get_renderable=self._draw, console=console, refresh_per_second=4)
            self._live.start()

    def tick(self) -> None:
        """Where there is no terminal, a line when one is due."""
        if self._live is None and self._history.age_s >= self._next_line_s:
            self._next_line_s = self._history.age_s + _LINE_EVERY_S
            self._console.print(f"{self._history.age_s:6.1f} s  {self._counts()}", highlight=False)

    def stop(self) -> None:
        """Leaves the last view where it is."""
        if self._live is not None:
            self._live.stop()

    def _counts(self) -> str:
        images, faults = self._of
        seen = self._seen
        return (
            f"given {len(seen.given)} of {images}, kept {len(seen.kept)}, "
            f"recorded {len(seen.recorded)}; faults over {self.faults_done} of {faults}; {self.note}"
        )

    def _draw(self) -> RenderableType:
        lines = [Text(self._counts(), "bold"), Text()]
        found = [event for event in self._history.events if isinstance(event, Fault)]
        lines += [Text(fault_line(event)) for event in found[-_LAST:]]
        return Panel(
            Group(*lines),
            title=f"hemowire chaos, {self._history.age_s:.0f} s",
            subtitle=RESEARCH_USE_ONLY,
        )


def fault_line(event: Event) -> str:
    """A fault in words."""
    assert isinstance(event, Fault)
    detail = f" ({event.detail})" if event.detail else ""
    what = f"{event.number:>3} {event.target}: {event.fault}"
    return f"{event.at_s:7.1f} s  {what} {_MARKS[event.kind]}{detail}"
