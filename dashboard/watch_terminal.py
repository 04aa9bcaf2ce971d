"""Puts drawn screens on a terminal, writing only the lines that changed; it draws nothing itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.color import ColorSystem
from rich.console import Console
from rich.segment import Segment

from dashboard.watch_screen import Drawn

_COLOURS: Final = {
    "standard": ColorSystem.STANDARD,
    "256": ColorSystem.EIGHT_BIT,
    "truecolor": ColorSystem.TRUECOLOR,
    "windows": ColorSystem.WINDOWS,
}
_CLEAR = "\x1b[2J"


class Terminal:
    """The terminal's other screen, while `open`."""

    def __init__(self) -> None:
        self._console = Console()
        self._colours = _COLOURS.get(self._console.color_system or "")
        self._shown: list[tuple[Segment, ...]] = []
        self._size = (0, 0)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines, as they are now."""
        return self._console.width, self._console.height

    @contextmanager
    def open(self) -> Iterator[None]:
        """Takes the screen over and gives it back."""
        with self._console.screen(hide_cursor=True):
            yield

    def show(self, drawn: Drawn, size: tuple[int, int]) -> None:
        """Brings the screen, which was drawn for this size, to what is drawn; it is there on return."""
        out = []
        if size != self._size:
            self._size, self._shown = size, []
            out.append(_CLEAR)
        lines = drawn.lines[: size[1]]
        for number in range(max(len(lines), len(self._shown))):
            line = lines[number] if number < len(lines) else ()
            if number >= len(self._shown) or line != self._shown[number]:
                out.append(f"\x1b[{number + 1};1H{self._ansi(line)}" + ("" if line else "\x1b[2K"))
        self._shown = list(lines)
        sys.stdout.write("".join(out))
        sys.stdout.flush()

    def _ansi(self, line: tuple[Segment, ...]) -> str:
        parts = Segment.remove_color(line) if self._console.no_color else line
        return "".join(
            part.text
            if part.style is None
            else part.style.render(part.text, color_system=self._colours)
            for part in parts
        )
