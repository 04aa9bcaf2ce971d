"""What a person sees while a benchmark runs: bars for the whole and for now, or plain lines into a pipe."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn


@dataclass(frozen=True, slots=True)
class ScreenPart:
    """A part of the whole, and about how long it takes."""

    name: str
    expected_s: float


class Screen:
    """`begin` starts the next part, `tell` says what happens within it."""

    def __init__(self, console: Console, parts: Sequence[ScreenPart]) -> None:
        self._console = console
        self._is_live = console.is_terminal
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.fields[name]}"),
            BarColumn(bar_width=28),
            TextColumn("{task.description}"),
            TextColumn("[dim]{task.fields[left]}"),
            console=console,
            transient=True,
        )
        self._parts = parts
        self._whole_s = sum(part.expected_s for part in parts)
        self._whole = self._progress.add_task("", total=self._whole_s, name="bench", left="")
        self._now = self._progress.add_task("", total=None, name="now  ", left="")
        self._place = -1
        self._since_s = 0.0
        self._said = ""

    def begin(self) -> None:
        """The next part of the whole begins."""
        self._place += 1
        self._since_s = time.monotonic()
        self._said = ""
        name = self._parts[self._place].name
        self._progress.update(self._whole, description=name)
        if not self._is_live:
            self._console.print(name, highlight=False)

    def tell(self, what: str, done: float, whole: float) -> None:
        """What happens now, `done` of `whole`; 0 of 0 where it has no measure."""
        self._progress.update(
            self._now, description=what, completed=done, total=whole if whole > 0 else None
        )
        part_s = self._parts[self._place].expected_s
        within_s = min(time.monotonic() - self._since_s, part_s)
        passed_s = sum(part.expected_s for part in self._parts[: self._place]) + within_s
        minutes, seconds = divmod(round(self._whole_s - passed_s), 60)
        self._progress.update(
            self._whole, completed=passed_s, left=f"about {minutes}:{seconds:02} left"
        )
        kind = what.partition(":")[0]
        if not self._is_live and kind != self._said:
            self._said = kind
            self._console.print(f"  {kind}", highlight=False)

    def __enter__(self) -> Self:
        if self._is_live:
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._is_live:
            self._progress.stop()
