"""The bytes of images as one file each beside the database; a file counts only once its row is committed.

Files and not blobs in the database: the bytes are written to the card once instead of twice (log
and checkpoint), freeing them gives the space back at once, and a long read never meets the writer.
The price is the order that `write` keeps: temporary file, fsync, rename, fsync of the folder, and
only then the row. What a crash leaves without one is cleared away at the next opening (`integrity`).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

#: Called with the name of each step that was just done; tests end the process there.
Step = Callable[[str], None]


def no_step(_name: str) -> None:
    """The step hook of normal life."""


class DamagedError(Exception):
    """The bytes on disk are not the ones that were captured."""

    def __init__(self, image_id: str, detail: str) -> None:
        super().__init__(f"image {image_id}: {detail}")
        self.image_id = image_id
        self.detail = detail


class ImageFiles:
    """The folder of image files; names are image ids."""

    def __init__(self, folder: Path, step: Step = no_step) -> None:
        self._folder = folder
        self._step = step
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, image_id: str) -> Path:
        """Where the bytes of this image are."""
        return self._folder / image_id

    def write(self, image_id: str, content: bytes) -> None:
        """Writes durably except for the folder's entry: call `sync_folder` before the commit."""
        temporary = self._temporary(image_id)
        with temporary.open("wb", buffering=0) as file:
            view = memoryview(content)
            while view:
                view = view[file.write(view) :]
            self._step("temporary_written")
            os.fsync(file.fileno())
        self._step("temporary_synced")
        temporary.rename(self.path(image_id))
        self._step("renamed")

    def sync_folder(self) -> None:
        """Makes renames and removals so far durable."""
        sync_folder(self._folder)
        self._step("folder_synced")

    def read(self, image_id: str, sha256: str) -> bytes:
        """The bytes, checked against the digest; raises DamagedError."""
        try:
            content = self.path(image_id).read_bytes()
        except OSError as error:
            raise DamagedError(image_id, f"cannot be read ({error.strerror})") from error
        actual = hashlib.sha256(content).hexdigest()
        if actual != sha256:
            raise DamagedError(image_id, f"sha256 is {actual}, {sha256} was captured")
        return content

    def remove(self, image_id: str) -> None:
        """Removes the bytes, half-written ones too; harmless where they are gone already."""
        self.path(image_id).unlink(missing_ok=True)
        self._temporary(image_id).unlink(missing_ok=True)

    def link(self, existing: str, image_id: str) -> None:
        """The same bytes under a second id, as a second name where the file system has such; call
        `sync_folder` before the commit."""
        try:
            os.link(self.path(existing), self.path(image_id))
        except FileExistsError:
            raise
        except OSError:
            self.write(image_id, self.path(existing).read_bytes())
        self._step("linked")

    def sizes(self) -> dict[str, int]:
        """Every file in the folder with its size."""
        with os.scandir(self._folder) as entries:
            return {entry.name: entry.stat().st_size for entry in entries}

    def move_away(self, name: str, folder: Path) -> None:
        """Moves a file that is no image's into `folder`, durably."""
        folder.mkdir(exist_ok=True)
        (self._folder / name).rename(folder / name)
        sync_folder(folder)
        sync_folder(self._folder)

    def _temporary(self, image_id: str) -> Path:
        return self._folder / f"{image_id}.tmp"


def sync_folder(folder: Path) -> None:
    """fsync of a folder, so that its entries survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
