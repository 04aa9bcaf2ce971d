"""The content-addressed archive on any fsspec URL; it deletes nothing and is durable on return.

A blob is written before its manifest, both durably: on a folder by temporary file, fsync, rename
and fsync of the folder, elsewhere by one PUT of the whole object. So a manifest implies a blob.
All methods block: the worker calls them from threads.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

from service_runtime.boot import wall_time
from service_runtime.redacted import without_password
from wire_protocol import archive_layout as layout
from wire_protocol.archive_layout import ArchivedImage
from wire_protocol.codec import PeerError
from wire_protocol.manifest import Manifest


class ArchiveAwayError(Exception):
    """The storage did not do its part this time: back off and try again, nothing is counted."""

    def __init__(self, url: str, doing: str, cause: BaseException) -> None:
        problem = f"archive {url}: {doing} failed ({type(cause).__name__}: {cause})"
        super().__init__(without_password(problem))
        self.doing = doing
        #: The settings name a place that no waiting will bring: a file in the path, no right to it.
        self.is_wrong_place = isinstance(cause, NotADirectoryError | PermissionError)


class UnknownBlobError(LookupError):
    """The archive answers and holds no good bytes of this digest: trying again cannot help."""

    def __init__(self, sha256: str, problem: str) -> None:
        super().__init__(f"blob {sha256}: {problem}")
        self.sha256 = sha256


@dataclass(frozen=True, slots=True)
class PutResult:
    """What a put found: whether the bytes were there before, and whether the id was taken."""

    blob_was_there: bool
    #: The image id belongs to other bytes: this manifest stands under `conflicts/`.
    is_conflict: bool


class Archive:
    """One worker's access to the archive that all workers share."""

    def __init__(self, url: str, worker: str) -> None:
        #: As it may be shown: without a password.
        self.url = without_password(url)
        self._worker = worker
        self._fs, root = fsspec.core.url_to_fs(url)
        self._root = root.rstrip("/")
        self._is_local = isinstance(self._fs, LocalFileSystem)
        self._durable_folders: set[Path] = set()

    def probe(self) -> None:
        """Writes, reads and removes a small object; raises ArchiveAwayError where it cannot."""
        key, data = (
            f"{layout.PROBES}/{self._worker}-{secrets.token_hex(4)}",
            secrets.token_bytes(64),
        )
        with self._asking("probe"):
            self._write(key, data)
            seen = self._read(key)
            self._fs.rm_file(self._path(key))
            if seen != data:
                raise OSError(f"wrote {len(data)} bytes to {key} and read back others")

    def put(
        self, site: str, device: str, manifest: Manifest, data: bytes | bytearray | memoryview
    ) -> PutResult:
        """Stores the bytes, then the manifest; durable when it returns, and harmless twice.

        `data` has the manifest's digest: the receiver checked it. Raises ArchiveAwayError.
        """
        image = ArchivedImage(
            site=site,
            device=device,
            manifest=manifest,
            archived_at=wall_time(),
            worker=self._worker,
        )
        with self._asking(f"put of image {manifest.image_id}"):
            was_there = self._put_blob(manifest.sha256, data)
            return PutResult(was_there, self._put_manifest(image))

    def read(self, sha256: str) -> bytes:
        """The bytes with this digest, verified; raises UnknownBlobError or ArchiveAwayError."""
        with self._asking(f"read of blob {sha256}"):
            try:
                data = self._read(layout.blob_key(sha256))
            except FileNotFoundError as error:
                raise UnknownBlobError(sha256, "not in the archive") from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise UnknownBlobError(sha256, f"damaged in the archive ({len(data)} bytes)")
        return data

    # --- inside -------------------------------------------------------------------------------

    def _put_blob(self, sha256: str, data: bytes | bytearray | memoryview) -> bool:
        key = layout.blob_key(sha256)
        try:
            was_there = hashlib.sha256(self._read(key)).hexdigest() == sha256
        except FileNotFoundError:
            was_there = False
        if not was_there:  # absent, or damaged: then the good bytes take its place
            self._write(key, data)
        elif self._is_local:  # renamed by a worker that may have died before it synced the folder
            _sync_folder(Path(self._path(key)).parent)
        return was_there

    def _put_manifest(self, image: ArchivedImage) -> bool:
        """Whether it had to go under `conflicts/`. Two workers may race here; records settle it."""
        manifest = image.manifest
        key = layout.manifest_key(image.device, manifest.image_id)
        try:
            held = ArchivedImage.from_bytes(self._read(key)).manifest.sha256
        except (FileNotFoundError, PeerError):
            held = ""
        is_conflict = held not in ("", manifest.sha256)
        if is_conflict:
            key = layout.conflict_key(image.device, manifest.image_id, manifest.sha256)
        if held != manifest.sha256:
            self._write(key, image.to_bytes())
        elif self._is_local:
            _sync_folder(Path(self._path(key)).parent)
        return is_conflict

    def _write(self, key: str, data: bytes | bytearray | memoryview) -> None:
        if self._is_local:
            path = Path(self._path(key))
            self._make_folder(path.parent)
            _write_durably(path, data)
        else:
            self._fs.pipe_file(self._path(key), bytes(data))

    def _make_folder(self, folder: Path) -> None:
        """Makes it, and syncs each folder of its chain once: others may have made part of it."""
        if folder in self._durable_folders and folder.is_dir():
            return
        if folder == Path(self._root):
            folder.mkdir(parents=True, exist_ok=True)
        else:
            self._make_folder(folder.parent)
            folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)
        self._durable_folders.add(folder)

    def _read(self, key: str) -> bytes:
        data: bytes = self._fs.cat_file(self._path(key))
        return data

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"

    @contextmanager
    def _asking(self, doing: str) -> Iterator[None]:
        try:
            yield
        except UnknownBlobError:
            raise
        except Exception as error:  # each fsspec backend raises exceptions of its own library
            raise ArchiveAwayError(self.url, doing, error) from error


def _write_durably(path: Path, data: bytes | bytearray | memoryview) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
