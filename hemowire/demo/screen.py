"""Redraws the terminal at most four times a second, or prints a line per diagnosis where there is none."""

from __future__ import annotations

import time

from rich.console import Console, RenderableType
from rich.live import Live

from hemowire.cli import RESEARCH_USE_ONLY
from hemowire.demo.house import House
from hemowire.demo.progress import ImageProgress, Progress
from hemowire.demo.sources import Share
from hemowire.demo.view import draw, line
from wire_protocol.trace import Stage

REDRAWS_PER_S = 4


class Screen:
    """The live view on a terminal; plain lines elsewhere."""

    def __init__(
        self,
        console: Console,
        progress: Progress,
        house: House,
        shares: list[Share],
        *,
        plain: bool,
    ) -> None:
        self._console = console
        self._progress = progress
        self._title = f"hemowire demo: {len(shares)} microscope{'s' * (len(shares) != 1)}"
        self._bundle = house.bundle
        self._note = ""
        counts = [share.count for share in shares]
        self._expected = None if None in counts else sum(count or 0 for count in counts)
        self._live: Live | None = None
        self._is_plain = plain or not console.is_terminal
        self.rate: float | None = None

    def start(self) -> None:
        """Begins drawing."""
        if self._is_plain:
            head = f"{self._title}, bundle {self._bundle.name}. {RESEARCH_USE_ONLY}"
            self._console.print(head, highlight=False, soft_wrap=True)
            return
        self._live = Live(
            get_renderable=self._render,
            console=self._console,
            refresh_per_second=REDRAWS_PER_S,
            screen=True,
        )
        self._live.start()

    def stop(self) -> None:
        """Gives the terminal back; the last screen stays in its history."""
        if self._live is not None:
            self._live.stop()
            self._live = None
            self._console.print(self._render())

    def note(self, text: str) -> None:
        """Says what is going on besides images."""
        self._note = text
        if self._live is None:
            self._console.print(text, highlight=False)

    def news(self, image: ImageProgress) -> None:
        """Called for each first diagnosis or rejection."""
        self._note = ""
        if self._is_plain:
            self._console.print(line(image), highlight=False, markup=False, soft_wrap=True)

    def captures_per_s(self) -> float:
        """Images a second, from the first capture to the last record seen on the wire."""
        starts = [i.stamps_ns.get(Stage.CAPTURED) for i in self._progress.images.values()]
        ends = [i.stamps_ns.get(Stage.RECORDED) for i in self._progress.images.values()]
        first = min((s for s in starts if s is not None), default=None)
        known = [e for e in ends if e is not None]
        if first is None or not known or max(known) <= first:
            return 0.0
        return len(known) / ((max(known) - first) / 1e9)

    def _render(self) -> RenderableType:
        clock = time.strftime("%H:%M:%S")
        subtitle = self._note or f"Ctrl-C ends in order · {clock}"
        return draw(
            self._progress,
            title=f"{self._title} · {self._bundle.name}",
            subtitle=subtitle,
            expected=self._expected,
            width=self._console.width,
            height=self._console.height,
        )
