"""How figures are written on a terminal: milliseconds, units, bars, and a target's line; pure."""

from __future__ import annotations

from rich.text import Text

from benchmarks.load.result import VerdictLine

_BAR = 26
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def ms_text(milliseconds: float) -> str:
    """Milliseconds, with as many digits as mean something."""
    digits = 2 if milliseconds < 10 else 1 if milliseconds < 1000 else 0
    return f"{milliseconds:,.{digits}f}"


def value_text(value: float, unit: str) -> str:
    """A measure with its unit."""
    match unit:
        case "ms":
            return f"{ms_text(value)} ms"
        case "B":
            return f"{value / 1e6:,.1f} MB"
        case "B/s":
            return f"{value / 1e6:,.1f} MB/s"
        case "x":
            return f"{value:.2f}x"
        case "images":
            return f"{value:.0f}"
        case _:
            return f"{value:,.3g} {unit}".strip()


def bar(start: float, length: float) -> Text:
    """A bar from `start` over `length`, shares of the whole; never quite nothing."""
    before = int(start * _BAR)
    eighths = max(1, round(length * _BAR * 8))
    full, rest = divmod(eighths, 8)
    text = Text(" " * min(before, _BAR - 1))
    text.append("█" * full + (_EIGHTHS[rest] if rest else ""), style="cyan")
    return text


def verdict_line(line: VerdictLine) -> Text:
    """Whether a target holds, by how much, and how far repetitions lie apart."""
    sign, style = {
        True: ("holds ", "bold green"),
        False: ("MISSED", "bold red"),
        None: ("not measured", "bold yellow"),
    }[line.passed]
    word = "at most" if line.direction == "at_most" else "at least"
    text = Text(f"{sign}  ", style=style)
    text.append(line.text, style="default not bold")
    measured = "" if line.measured is None else f"{value_text(line.measured, line.unit)}, "
    spread = ""
    if len(line.per_repetition) > 1:
        low, high = min(line.per_repetition), max(line.per_repetition)
        spread = f"; repetitions {value_text(low, line.unit)} to {value_text(high, line.unit)}"
    tail = f": {measured}{word} {value_text(line.limit, line.unit)}{spread}"
    text.append(tail + (f" ({line.note})" if line.note else ""), style="dim not bold")
    return text
