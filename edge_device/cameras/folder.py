"""A folder as a camera, replayed or watched in order of path; no file twice or half-written.

A replay is a list made once; a watch is told what is new. Files with an image's suffix are taken
whatever they hold: one that is no image becomes a rejection. Other files (labels, notes) are not the
camera's and are counted in the log. A file is known by path, size and time of change, so a file that
was written anew is a new capture. Names that begin with a dot or end in .tmp or .part are somebody's
writing in progress, to be renamed when done.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from edge_device.cameras.image_files import SUFFIXES, Version, files_below, version_of
from edge_device.cameras.settings import FolderCameraSettings
from edge_device.cameras.shots import CameraError, Nothing, Pixels, Shot, Unusable
from edge_device.cameras.watching import FolderWatch
from edge_device.encoding.encode import too_large
from edge_device.outbox.rows import Refusal
from service_runtime.log import get_log
from wire_protocol.json_messages import Reason

_HASH_BLOCK = 1024 * 1024


class FolderCamera:
    """`is_captured` says whether the outbox has a source key already."""

    def __init__(
        self,
        settings: FolderCameraSettings,
        is_captured: Callable[[str], bool],
        *,
        max_bytes: int,
    ) -> None:
        if settings.mode == "loop" and settings.count is None:
            raise CameraError("camera.mode loop needs camera.count")
        folder = settings.folder.absolute()
        if not folder.is_dir():
            raise CameraError(f"camera.folder: no such folder: {folder}")
        self.poll_s = settings.poll_s
        self.is_live = False
        self._settings = settings
        self._folder = folder
        self._is_captured = is_captured
        self._max_bytes = max_bytes
        self._log = get_log("edge").bind(camera="folder")
        self._seen: dict[Path, tuple[Version, float]] = {}
        self._taken = 0
        self._place = 0
        self._files: list[Path] = []
        self._new: FolderWatch | None = None
        if settings.mode == "watch":
            self._new = FolderWatch(folder, settings)
        else:
            self._files = self._list()
            if not self._files:
                raise CameraError(f"camera.folder: no image file below {folder}")

    @property
    def trouble(self) -> str:
        """That a watched folder is not there."""
        return "" if self._new is None else self._new.trouble

    def take(self) -> Shot | Nothing:
        """The next file that is whole and not captured yet."""
        if self._new is not None:
            return self._watch(self._new)
        while (nth := self._place) < self._total():
            path = self._files[nth % len(self._files)]
            shot = self._replay(path, turn=nth // len(self._files))
            if shot is Nothing.YET:
                return shot
            self._place += 1
            if isinstance(shot, Shot):
                return shot
        return Nothing.EVER

    def preview(self) -> Pixels | None:
        """Files have no preview."""
        return None

    def close(self) -> None:
        """Ends the watch."""
        if self._new is not None:
            self._new.close()

    def _total(self) -> int:
        count, files = self._settings.count, len(self._files)
        if self._settings.mode == "loop":
            assert count is not None
            return count
        return files if count is None else min(count, files)

    def _watch(self, new: FolderWatch) -> Shot | Nothing:
        count = self._settings.count
        new.look()
        while count is None or self._taken < count:
            path = new.next_whole()
            if path is None:
                return Nothing.YET
            version = version_of(path)
            if version is None:
                continue
            key = _key(path, version)
            if self._is_captured(key):
                self._taken += 1
                continue
            content = self._read(path, version)
            if version_of(path) != version:
                new.look_again(path)
                continue
            self._taken += 1
            return self._shot(path, key, content)
        return Nothing.EVER

    def _replay(self, path: Path, turn: int) -> Shot | Nothing | None:
        """A shot, YET while it is being written, None where it is known already or gone."""
        version = version_of(path)
        if version is None:
            self._log.warning("file_gone_before_capture", number=self._place)
            return None
        suffix = f"#turn{turn + 1}" if turn else ""
        key = _key(path, version) + suffix
        if self._is_captured(key):
            return None
        if not self._is_settled(path, version):
            return Nothing.YET
        content = self._read(path, version)
        if version_of(path) != version:
            return Nothing.YET
        self._seen.pop(path, None)
        return self._shot(path, key, content, suffix)

    def _shot(self, path: Path, key: str, content: bytes | Unusable, suffix: str = "") -> Shot:
        inside = path.parent.relative_to(self._folder).as_posix()
        return Shot(f"{path}{suffix}", key, content, folder="" if inside == "." else inside)

    def _is_settled(self, path: Path, version: Version) -> bool:
        """Old enough by its own time, or unchanged while we watched for that long."""
        settle_s = self._settings.settle_s
        if time.time() - version.changed_ns / 1e9 >= settle_s:
            return True
        now = time.monotonic()
        known, since = self._seen.get(path, (version, now))
        if known != version:
            since = now
        self._seen[path] = (version, since)
        return now - since >= settle_s

    def _read(self, path: Path, version: Version) -> bytes | Unusable:
        try:
            if version.size <= self._max_bytes:
                return path.read_bytes()
            digest = hashlib.sha256()
            with path.open("rb") as file:
                while block := file.read(_HASH_BLOCK):
                    digest.update(block)
        except OSError as error:
            text = f"Cannot be read from the camera's folder: {error.strerror}. Take again."
            empty = hashlib.sha256(b"").hexdigest()
            return Unusable(Refusal(Reason.DECODE, text), empty, version.size)
        refusal = too_large(f"{version.size} bytes", f"{self._max_bytes} bytes")
        return Unusable(refusal, digest.hexdigest(), version.size)

    def _list(self) -> list[Path]:
        others = 0
        found: list[Path] = []
        for path in files_below(self._folder):
            if path.suffix.lower() in SUFFIXES:
                found.append(path)
            else:
                others += 1
        if others:
            self._log.info("files_without_an_image_suffix_left_out", files=others)
        return sorted(found)


def _key(path: Path, version: Version) -> str:
    return f"{path}|{version.size}|{version.changed_ns}"
