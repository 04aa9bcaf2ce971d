"""How lines lie in a file of the spool: blocks, each closed by a comment with its length and CRC; it opens no file.

    hemowire_stage,device=scope-1 ... 1700000000000000000
    hemowire_image,device=scope-1 ... 1700000000000000000
    # 2 lines, crc32 1c291ca3

A line that begins with # is a comment of line protocol: `influx write` takes such a file as it is.
What a crash tore, or a disk damaged, has no comment that fits it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Block:
    """The whole lines of one block, None where it is damaged, and where the next one begins."""

    lines: bytes | None
    end: int

    @property
    def count(self) -> int:
        """How many lines."""
        return 0 if self.lines is None else self.lines.count(b"\n")


def block_of(lines: Sequence[str]) -> bytes:
    """The block with these lines; there must be one at least, and none may begin with #."""
    text = "".join(line + "\n" for line in lines).encode()
    return text + _closing(text) + b"\n"


def read_blocks(data: bytes, start: int = 0) -> Iterator[Block]:
    """The blocks from `start` on; a last one that is not closed is left out."""
    while True:
        mark = data.find(b"\n# ", start)
        end = data.find(b"\n", mark + 1)
        if mark < 0 or end < 0:
            return
        lines = data[start : mark + 1]
        yield Block(lines if data[mark + 1 : end] == _closing(lines) else None, end + 1)
        start = end + 1


def _closing(lines: bytes) -> bytes:
    return b"# %d lines, crc32 %08x" % (lines.count(b"\n"), zlib.crc32(lines))
