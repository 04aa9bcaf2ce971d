"""Redraws the terminal at most four times a second, or prints a line per diagnosis where there is none."""

from __future__ import annotations

import asyncio
import io
import re
import time
from pathlib import Path

from rich.console import Console, RenderableType
from rich.live import Live

from hemowire.demo.house import House
from hemowire.demo.progress import ImageProgress, Progress
from hemowire.demo.sources import Share
from hemowire.demo.view import draw, line
from wire_protocol.words import RESEARCH_USE_ONLY

REDRAWS_PER_S = 4
PICTURE_COLUMNS = 132
PICTURE_LINES = 34


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
        self._page = ""
        counts = [share.count for share in shares]
        self._expected = None if None in counts else sum(count or 0 for count in counts)
        self._live: Live | None = None
        self._is_plain = plain or not console.is_terminal

    def start(self) -> None:
        """Begins drawing."""
        if self._is_plain:
            head = f"{self._title}, bundle {self._bundle.name}. {RESEARCH_USE_ONLY}"
            self._console.print(head, highlight=False, soft_wrap=True)
            return
        self._live = Live(
            get_renderable=self._render,
            console=self._console,
            auto_refresh=False,  # rich would draw on a thread of its own, while images come in
            screen=True,
        )
        self._live.start(refresh=True)

    async def run(self) -> None:
        """Redraws until cancelled."""
        while True:
            if self._live is not None:
                self._live.refresh()
            await asyncio.sleep(1 / REDRAWS_PER_S)

    def stop(self) -> None:
        """Gives the terminal back; the last screen stays in its history."""
        if self._live is not None:
            self._live.stop()
            self._live = None
            self._console.print(self._render())

    @property
    def covers_all(self) -> bool:
        """Whether it will draw over what was printed before."""
        return not self._is_plain

    def tell_page(self, text: str) -> None:
        """Where the hematologist's page is, from now on."""
        self._page = text
        if self._is_plain:
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def save_picture(self, file: Path) -> None:
        """The screen as it stands, as an SVG."""
        paper = Console(
            record=True, file=io.StringIO(), width=PICTURE_COLUMNS, height=PICTURE_LINES
        )
        paper.print(self._render(paper))
        picture = paper.export_svg(title="hemowire demo")
        # rich names fonts of a web server; the reader's own monospace serves as well.
        file.write_text(re.sub(r"@font-face\s*{[^}]*}", "", picture), encoding="utf-8")

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

    def _render(self, console: Console | None = None) -> RenderableType:
        paper = console or self._console
        clock = time.strftime("%H:%M:%S")
        about = "Synthetic-trained. " if self._bundle.card.training_data.kind == "synthetic" else ""
        subtitle = f"{about}{self._note or f'Ctrl-C ends in order · {clock}'}"
        return draw(
            self._progress,
            title=f"{self._title} · {self._bundle.name}",
            subtitle=subtitle,
            expected=self._expected,
            page=self._page,
            width=paper.width,
            height=paper.height,
        )
