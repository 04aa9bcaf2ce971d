"""What a person sees while a benchmark runs: bars for the whole and for now, or plain lines into a pipe."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)


class Screen:
    """`part` begins a part of the whole, `tell` says what happens within it."""

    def __init__(self, console: Console, parts: int) -> None:
        self._console = console
        self._is_live = console.is_terminal
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.fields[name]}"),
            BarColumn(bar_width=28),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._whole = self._progress.add_task("", total=parts, name="bench")
        self._now = self._progress.add_task("", total=None, name="now  ")
        self._done = 0
        self._part = ""
        self._said = ""

    def part(self, name: str) -> None:
        """The next part of the whole begins."""
        self._part = name
        self._progress.update(self._whole, completed=self._done, description=name)
        self._done += 1
        if not self._is_live:
            self._console.print(name, highlight=False)

    def tell(self, what: str, done: float, whole: float) -> None:
        """What happens now, `done` of `whole`; 0 of 0 where it has no measure."""
        self._progress.update(
            self._now, description=what, completed=done, total=whole if whole > 0 else None
        )
        within = done / whole if whole > 0 else 0.0
        self._progress.update(self._whole, completed=self._done - 1 + min(within, 1.0) * 0.9)
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
