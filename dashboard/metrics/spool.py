"""Points on disk until the server has them: rotating line-protocol files, bounded; it sends nothing itself.

    append(lines) ... batch = take(most) ... commit(batch) or give_back(batch)

`points-<number>.lp` files are appended to block by block and deleted when all of a file was
committed, or when the bound is reached: then the oldest file goes and its points are counted as
dropped. The file `sent` says how far the server has them. It is written after the server's answer,
so a crash in between sends a batch again, which rewrites the same points. Without a server nothing
is ever taken and the files simply rotate.

Every line ends in exactly one count: found + made = committed + dropped + waiting.
(Over 250 lines: the counts balance only where all that moves lines stands together.)
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dashboard.metrics.blocks import block_of
from dashboard.metrics.spool_file import Batch, SpoolFile
from service_runtime.log import get_log

_LEAST_FILE_BYTES: Final = 64 * 1024
_MOST_FILE_BYTES: Final = 8 * 1024 * 1024


class SpoolError(Exception):
    """The folder cannot be used: another program has it open, or the system says no."""

    exit_code = 2


@dataclass(slots=True)
class SpoolCounts:
    """Lines since this program opened the spool, but for `damaged`, which counts blocks."""

    #: What an earlier run left.
    found: int = 0
    made: int = 0
    committed: int = 0
    dropped: int = 0
    damaged: int = 0
    errors: int = 0


class Spool:
    """The files of one folder; all methods belong to one thread. Close it, or it stays locked."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.counts = SpoolCounts()
        self._max_bytes = max_bytes
        self._file_bytes = min(_MOST_FILE_BYTES, max(_LEAST_FILE_BYTES, max_bytes // 8))
        self._log = get_log("metrics").bind(spool=str(folder))
        self.folder = folder
        self._lock = _lock(folder)
        try:
            #: Oldest first; the last one is appended to.
            self._files = self._find_files()
            self._open = self._open_last()
        except OSError as error:
            os.close(self._lock)
            raise SpoolError(f"spool_folder {folder}: {error}") from error
        self.counts.found = sum(file.waiting for file in self._files)
        self._taken: Batch | None = None
        self._taken_was_dropped = False
        self._is_synced = True

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(file.size for file in self._files)

    @property
    def waiting(self) -> int:
        """Lines that are neither committed nor dropped."""
        taken = self._taken.count if self._taken is not None and self._taken_was_dropped else 0
        return sum(file.waiting for file in self._files) + taken

    # --- in -------------------------------------------------------------------------------------

    def append(self, lines: Sequence[str]) -> None:
        """Adds lines; what the disk refuses is dropped, counted and logged."""
        if not lines:
            return
        self.counts.made += len(lines)
        block = block_of(lines)
        try:
            if self._files[-1].size >= self._file_bytes:
                self._rotate()
            while self.size_bytes + len(block) > self._max_bytes and self._drop_oldest():
                pass
            written = os.write(self._open, block)
            if written < len(block):
                raise OSError(f"{written} of {len(block)} bytes written")  # the disk is full
        except OSError as error:
            self.counts.errors += 1
            self.counts.dropped += len(lines)
            self._log.error("spool_write_failed", reason=str(error), points=len(lines))
            self._cut()
            return
        file = self._files[-1]
        file.size += len(block)
        file.waiting += len(lines)
        self._is_synced = False

    def sync(self) -> None:
        """What was appended survives a power cut from here on; blocks on the disk."""
        if self._is_synced:
            return
        self._is_synced = True
        try:
            os.fdatasync(self._open)
        except OSError as error:
            self.counts.errors += 1
            self._log.error("spool_sync_failed", reason=str(error))

    # --- out ------------------------------------------------------------------------------------

    def take(self, most: int) -> Batch | None:
        """The oldest lines, at most `most` or one block; None where none wait. One at a time."""
        if self._taken is not None:
            raise ValueError("the last batch is neither committed nor given back")
        for file in self._files:
            if file.waiting:
                try:
                    self._taken = file.read(most)
                except OSError as error:
                    self.counts.errors += 1
                    self._log.error("spool_read_failed", reason=str(error))
                    return None
                self._count_damaged(file)
            if self._taken is not None:
                return self._taken
            if file.waiting:  # nothing but damaged blocks
                self.counts.dropped += file.waiting
                self._log.error("points_dropped", points=file.waiting, file=file.path.name)
                file.waiting = 0
        self._delete_sent()
        return None

    def commit(self, batch: Batch) -> None:
        """The server has these lines, or refused them for good."""
        self._let_go(batch)
        self.counts.committed += batch.count
        file = next((f for f in self._files if f.number == batch.number), None)
        if file is None:
            return  # dropped meanwhile, but for this batch
        file.waiting -= batch.count
        file.sent = batch.end
        self._save_sent(file)
        self._delete_sent()

    def give_back(self, batch: Batch) -> None:
        """The server did not take them: they come again, unless the bound took their file away."""
        if self._taken_was_dropped:
            self.counts.dropped += batch.count
        self._let_go(batch)

    def close(self) -> None:
        """Syncs and unlocks; harmless twice."""
        if self._open >= 0:
            self.sync()
            os.close(self._open)
            os.close(self._lock)
            self._open = -1

    # --- files ----------------------------------------------------------------------------------

    def _find_files(self) -> list[SpoolFile]:
        sent = self._load_sent()
        every = (SpoolFile.found(path, sent) for path in sorted(self.folder.glob("points-*.lp")))
        found = [file for file in every if file is not None]
        for file in found:
            if file.torn_bytes:
                self.counts.damaged += 1
                self._log.warning("spool_torn", file=file.path.name, size_bytes=file.torn_bytes)
        return found or [SpoolFile.new(self.folder, sent[0] + 1)]

    def _open_last(self) -> int:
        flags = os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
        return os.open(self._files[-1].path, flags, 0o644)

    def _rotate(self) -> None:
        self.sync()
        before = self._open
        self._files.append(SpoolFile.new(self.folder, self._files[-1].number + 1))
        try:
            self._open = self._open_last()
        except OSError:
            self._files.pop()
            raise
        os.close(before)

    def _cut(self) -> None:
        """Takes a torn end away; where even that fails, its reader finds it damaged."""
        try:
            os.ftruncate(self._open, self._files[-1].size)
        except OSError as error:
            self.counts.errors += 1
            self._log.error("spool_cut_failed", reason=str(error))

    def _drop_oldest(self) -> bool:
        """Makes room; False where only the file that is being written is left."""
        if len(self._files) < 2:
            return False
        oldest = self._files.pop(0)
        lost = oldest.waiting
        if self._taken is not None and self._taken.number == oldest.number:
            lost -= self._taken.count  # the server may have them yet
            self._taken_was_dropped = True
        self.counts.dropped += lost
        oldest.path.unlink(missing_ok=True)
        if lost:
            self._log.error("points_dropped", points=lost, limit_bytes=self._max_bytes)
        return True

    def _count_damaged(self, file: SpoolFile) -> None:
        if file.damaged:
            self.counts.damaged += file.damaged
            self._log.error("spool_damaged", file=file.path.name, blocks=file.damaged)
            file.damaged = 0

    def _let_go(self, batch: Batch) -> None:
        if batch is not self._taken:
            raise ValueError("not the batch that was taken")
        self._taken = None
        self._taken_was_dropped = False

    def _delete_sent(self) -> None:
        while len(self._files) > 1 and not self._files[0].waiting:
            self._files.pop(0).path.unlink(missing_ok=True)

    def _save_sent(self, file: SpoolFile) -> None:
        part = self.folder / "sent.part"
        try:
            part.write_text(f"{file.number} {file.sent}\n", encoding="ascii")
            part.replace(self.folder / "sent")
        except OSError as error:  # the batch would be sent again after a restart: harmless
            self.counts.errors += 1
            self._log.error("spool_write_failed", reason=str(error))

    def _load_sent(self) -> tuple[int, int]:
        try:
            number, _, offset = (self.folder / "sent").read_text(encoding="ascii").partition(" ")
            return int(number), int(offset)
        except (OSError, ValueError):
            return 0, 0  # all that is here is sent again


def _lock(folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SpoolError(f"spool_folder {folder}: {error}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise SpoolError(f"spool_folder {folder}: another hemowire metrics uses it") from error
    return lock
