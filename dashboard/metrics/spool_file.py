"""One file of the spool: what waits in it and how far the server has it; it is never rewritten."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from dashboard.metrics.blocks import read_blocks

_NAME: Final = re.compile(r"points-(\d{12})\.lp")


@dataclass(frozen=True, slots=True)
class Batch:
    """Whole lines of one file, oldest first, and where they end in it."""

    lines: bytes
    count: int
    number: int
    end: int


@dataclass(slots=True)
class SpoolFile:
    """Lines from `sent` on wait; `damaged` blocks among them are passed by."""

    number: int
    path: Path
    size: int = 0
    sent: int = 0
    waiting: int = 0
    damaged: int = 0
    #: Bytes of an end that a crash tore, which were cut off.
    torn_bytes: int = 0

    @classmethod
    def new(cls, folder: Path, number: int) -> Self:
        """A file that will be made when it is written to."""
        return cls(number, folder / f"points-{number:012}.lp")

    @classmethod
    def found(cls, path: Path, sent: tuple[int, int]) -> Self | None:
        """The file as an earlier run left it; `sent` is the number and offset of the last commit.

        A torn end is cut off, so that what is appended does not join it. None for another's file.
        """
        match = _NAME.fullmatch(path.name)
        if match is None:
            return None
        data = path.read_bytes()
        file = cls(int(match[1]), path, len(data))
        if file.number < sent[0]:
            file.sent = len(data)
        elif file.number == sent[0]:
            file.sent = min(sent[1], len(data))
        end = file.sent
        for block in read_blocks(data, file.sent):
            file.waiting += block.count
            end = block.end
        file.torn_bytes = len(data) - end
        if file.torn_bytes:
            os.truncate(path, end)
            file.size = end
        return file

    def read(self, most: int) -> Batch | None:
        """The next lines, at most `most` or one block; None where nothing can be read any more."""
        with self.path.open("rb") as stream:
            stream.seek(self.sent)
            data = stream.read(self.size - self.sent)
        parts: list[bytes] = []
        count = end = 0
        for block in read_blocks(data):
            if block.lines is None:
                if parts:
                    break
                self.damaged += 1
            elif parts and count + block.count > most:
                break
            else:
                parts.append(block.lines)
                count += block.count
            end = block.end
        return Batch(b"".join(parts), count, self.number, self.sent + end) if parts else None
