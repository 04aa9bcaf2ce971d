"""Which files of a watched folder are whole and new: told by events, checked by a slow listing; it reads no image.

An event only says where to look: what counts is how the file stands. A file is whole
- at once when it was renamed into place (the writer's own way to say so), or when its writer closed
  it and it ends as its format demands;
- else when its size and time have not changed for `settle_s` while we watched; files that were there
  before the watch began may be old enough by their own time.
Events get lost (a full kernel queue, a folder on a network), so the whole folder is listed now and
then. A look costs as much as what is new; files that were handed out are known until they are gone.
Longer than most files: events, listing and settling keep one table of files.
"""

from __future__ import annotations

import heapq
import os
import threading
import time
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from edge_device.cameras.image_files import (
    Version,
    ends_as_it_should,
    files_below,
    is_image_name,
    version_of,
)
from edge_device.cameras.settings import FolderCameraSettings
from service_runtime.log import get_log

#: Places told of and not looked at yet; past that they are forgotten and the folder is listed.
_MOST_TOLD = 20_000
_EVENTS: list[type[FileSystemEvent]] = [
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
]


class _Told(IntEnum):
    """What an event said of a place; of two the stronger counts."""

    LOOK = 0
    CLOSED = 1
    RENAMED = 2


class _Handler(FileSystemEventHandler):
    """On the observer's thread: keeps where to look, one entry a place."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._places: dict[str, _Told] = {}
        self._has_overflowed = False

    def on_any_event(self, event: FileSystemEvent) -> None:
        told = _Told.LOOK
        place = event.src_path
        if isinstance(event, FileMovedEvent | DirMovedEvent):
            self._keep(event.src_path, _Told.LOOK)
            place, told = event.dest_path, _Told.RENAMED
        elif isinstance(event, FileClosedEvent):
            told = _Told.CLOSED
        self._keep(place, told)

    def _keep(self, place: bytes | str, told: _Told) -> None:
        name = os.fsdecode(place)
        with self._lock:
            if len(self._places) >= _MOST_TOLD:
                self._places.clear()
                self._has_overflowed = True
            self._places[name] = max(told, self._places.get(name, _Told.LOOK))

    def empty(self) -> tuple[dict[str, _Told], bool]:
        """The places, and whether there were too many to remember."""
        with self._lock:
            places, self._places = self._places, {}
            has_overflowed, self._has_overflowed = self._has_overflowed, False
        return places, has_overflowed


class FolderWatch:
    """Its methods belong to the capture thread."""

    def __init__(self, folder: Path, settings: FolderCameraSettings) -> None:
        self.trouble = ""
        self._folder = folder
        self._settings = settings
        self._log = get_log("edge").bind(camera="folder")
        self._handler = _Handler()
        self._observer: BaseObserver | None = None
        #: Device and inode: a folder that was unmounted and mounted again is another one.
        self._root: tuple[int, int] | None = None
        self._is_first_listing = True
        self._next_listing_s = 0.0
        self._listing_every_s = settings.rescan_s
        self._known: dict[str, Version] = {}
        #: How a file stood when its time began, and when that is up; the heap may hold older times.
        self._waiting: dict[str, tuple[Version, float]] = {}
        self._due: list[tuple[float, str]] = []
        self._whole: list[tuple[list[str], Version]] = []

    def look(self) -> None:
        """Takes in what happened since the last look."""
        now = time.monotonic()
        if not self._is_there():
            return
        places, has_overflowed = self._handler.empty()
        if has_overflowed:
            self._log.warning("more_events_than_kept")
            self._next_listing_s = now
        for place, told in places.items():
            self._visit(Path(place), told, now)
        if now >= self._next_listing_s:
            self._list(now)
            self._next_listing_s = time.monotonic() + self._listing_every_s
        while self._due and self._due[0][0] <= now:
            self._settle(*heapq.heappop(self._due))

    def next_whole(self) -> Path | None:
        """The next file in order of path that is whole and not known yet; from then on it is known."""
        while self._whole:
            parts, version = heapq.heappop(self._whole)
            relative = "/".join(parts)
            path = self._folder / relative
            if version_of(path) != version:
                self._visit(path, _Told.LOOK, time.monotonic())
            elif self._known.get(relative) != version:
                self._known[relative] = version
                return path
        return None

    def look_again(self, path: Path) -> None:
        """The file changed while it was read: it is not known after all."""
        self._known.pop(path.relative_to(self._folder).as_posix(), None)
        self._visit(path, _Told.LOOK, time.monotonic())

    def close(self) -> None:
        """Ends the observer's threads."""
        if self._observer is not None:
            self._observer.stop()
            self._observer.join(5)
            self._observer = None

    # --- the folder itself ----------------------------------------------------------------------

    def _is_there(self) -> bool:
        try:
            found = self._folder.stat()
        except OSError as error:
            if not self.trouble:
                self.trouble = f"camera.folder: {self._folder}: {error.strerror}"
                self._log.warning("camera_trouble", trouble=self.trouble)
                self.close()
            self._root = None
            return False
        root = (found.st_dev, found.st_ino)
        if root != self._root:
            if self.trouble:
                self._log.info("camera_ready")
            self.trouble = ""
            self._root = root
            self._observe()
            self._next_listing_s = 0.0
        return True

    def _observe(self) -> None:
        """Events come before the first listing, so that no file falls between the two."""
        self.close()
        self._listing_every_s = self._settings.rescan_s
        if self._settings.watch_by == "polling":
            self._listing_every_s = min(self._settings.poll_s, self._settings.rescan_s)
            return
        observer = Observer()
        try:
            observer.schedule(
                self._handler, str(self._folder), recursive=True, event_filter=_EVENTS
            )
            observer.start()
        except OSError as error:  # no inotify watch is left, or the file system has none
            self._listing_every_s = min(self._settings.poll_s, self._settings.rescan_s)
            self._log.warning("no_events_so_listing", reason=str(error))
            return
        self._observer = observer

    def _list(self, now: float) -> None:
        present = set()
        for path in files_below(self._folder):
            relative = path.relative_to(self._folder).as_posix()
            if is_image_name(relative):
                present.add(relative)
                if relative not in self._waiting:
                    self._note(relative, _Told.LOOK, now)
        for gone in self._known.keys() - present:
            del self._known[gone]
        self._is_first_listing = False

    # --- one place --------------------------------------------------------------------------------

    def _visit(self, path: Path, told: _Told, now: float) -> None:
        for file in _files_at(path):
            relative = file.relative_to(self._folder).as_posix()
            if is_image_name(relative):
                self._note(relative, told, now)

    def _note(self, relative: str, told: _Told, now: float) -> None:
        path = self._folder / relative
        version = version_of(path)
        if version is None:
            self._known.pop(relative, None)
            self._waiting.pop(relative, None)
        elif version != self._known.get(relative):
            if self._is_whole(path, version, told):
                self._waiting.pop(relative, None)
                heapq.heappush(self._whole, (relative.split("/"), version))
            elif relative not in self._waiting or self._waiting[relative][0] != version:
                self._wait(relative, version, now)

    def _is_whole(self, path: Path, version: Version, told: _Told) -> bool:
        if told is _Told.RENAMED or self._settings.settle_s == 0:
            return True
        if told is _Told.CLOSED:
            return ends_as_it_should(path, version.size)
        age_s = time.time() - version.changed_ns / 1e9
        return self._is_first_listing and age_s >= self._settings.settle_s

    def _wait(self, relative: str, version: Version, now: float) -> None:
        due_s = now + self._settings.settle_s
        self._waiting[relative] = (version, due_s)
        heapq.heappush(self._due, (due_s, relative))

    def _settle(self, due_s: float, relative: str) -> None:
        """Its time is up: whole if it is still as it was when the time began."""
        before, until_s = self._waiting.get(relative, (None, 0.0))
        if before is None or until_s != due_s:
            return
        del self._waiting[relative]
        version = version_of(self._folder / relative)
        if version == before:
            heapq.heappush(self._whole, (relative.split("/"), before))
        elif version is not None:
            self._wait(relative, version, time.monotonic())


def _files_at(path: Path) -> Iterator[Path]:
    """The place itself, or what lies below it."""
    if path.is_dir() and not path.is_symlink():
        yield from files_below(path)
    else:
        yield path
