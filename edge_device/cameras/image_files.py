"""Image files of a folder: which count, how one stood at a look, whether it calls itself whole; it decodes none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".tif", ".tiff", ".webp"})
_IN_PROGRESS = (".tmp", ".part", ".partial", ".crdownload")
_PNG_END = b"IEND\xaeB`\x82"


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A file as it stood at one look."""

    size: int
    changed_ns: int


def version_of(path: Path) -> Version | None:
    """None where there is no such file any more, or it is a folder by now."""
    try:
        found = path.stat()
    except OSError:
        return None
    return Version(found.st_size, found.st_mtime_ns)


def files_below(folder: Path) -> Iterator[Path]:
    """Whatever is no hidden file or folder and nobody's writing in progress."""
    for here, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith(".") and not name.lower().endswith(_IN_PROGRESS):
                yield Path(here) / name


def is_image_name(relative: str) -> bool:
    """Whether a path inside the folder is the camera's."""
    parts = relative.split("/")
    name = parts[-1].lower()
    is_hidden = any(part.startswith(".") for part in parts)
    return not is_hidden and os.path.splitext(name)[1] in SUFFIXES  # noqa: PTH122 - of a text


def ends_as_it_should(path: Path, size: int) -> bool:
    """Whether the file itself says that nothing is missing: its end mark, or the size it names.

    False for TIFF, which says nothing of the kind, and for what cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(12)
            file.seek(max(0, size - len(_PNG_END)))
            tail = file.read(len(_PNG_END) + 1)
    except OSError:
        return False
    if head.startswith(b"\xff\xd8"):
        return tail.endswith(b"\xff\xd9")
    if head.startswith(b"\x89PNG"):
        return tail == _PNG_END
    if head.startswith(b"RIFF"):
        return size == int.from_bytes(head[4:8], "little") + 8
    return head.startswith(b"BM") and size == int.from_bytes(head[2:6], "little")
