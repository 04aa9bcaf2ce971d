"""Looks whether the archive holds a blob and reads it, through fsspec; it writes nothing and deletes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

import fsspec

from service_runtime.redacted import without_password
from wire_protocol.archive_layout import (
    BLOBS,
    MANIFESTS,
    ArchivedImage,
    blob_key,
    parse_blob_key,
    parse_manifest_key,
)
from wire_protocol.codec import PeerError
from wire_protocol.json_messages import parse_json

#: Looks at once: one request each on S3, so some in parallel.
_LOOKS: Final = 8


class ArchiveAway(Exception):  # noqa: N818 - a state of the world, not a mistake of the caller
    """The archive cannot be asked now, so nothing is known of any blob."""

    def __init__(self, url: str, problem: str) -> None:
        super().__init__(without_password(f"archive {url}: {problem}"))


class BlobDamagedError(Exception):
    """The archive holds other bytes under this digest: nobody is shown them."""

    def __init__(self, digest: str) -> None:
        super().__init__(f"archive: the bytes of {digest} are damaged")
        self.digest = digest


class BlobArchive:
    """The archive at one fsspec URL (a folder, or a bucket and prefix), read only.

    Whatever its storage raises but "no such file" is ArchiveAway; opening it may raise that too.
    """

    def __init__(self, url: str) -> None:
        self._files: Any
        self._url = url
        with self._asking():
            # Listings are not cached: a blob that came after a look would stay unseen.
            self._files, self._root = fsspec.core.url_to_fs(
                url, use_listings_cache=False, skip_instance_cache=True
            )
        self._root = self._root.rstrip("/")
        self._looks = ThreadPoolExecutor(_LOOKS, "blob-look")

    def close(self) -> None:
        """Lets its threads end; one that hangs in the storage is not waited for."""
        self._looks.shutdown(wait=False, cancel_futures=True)

    def present(self, digests: Collection[str]) -> set[str]:
        """Which of these sha256 the archive holds; raises ArchiveAway rather than guess."""
        asked = sorted(set(digests))
        found = dict(zip(asked, self._looks.map(self._is_file, asked), strict=True))
        if not all(found.values()):
            # A folder that is not mounted looks like one without any blob.
            self._require_root()
        return {digest for digest, is_there in found.items() if is_there}

    def read(self, digest: str) -> bytes:
        """The bytes with this sha256; raises BlobDamagedError, ArchiveAway, or FileNotFoundError."""
        with self._asking():
            data: bytes = self._files.cat_file(f"{self._root}/{blob_key(digest)}")
        if hashlib.sha256(data).hexdigest() != digest:
            raise BlobDamagedError(digest)
        return data

    def blobs(self) -> Iterator[str]:
        """The sha256 of every blob; raises ArchiveAway."""
        for path in self._find(BLOBS):
            digest = parse_blob_key(path)
            if digest is not None:
                yield digest

    def manifests(self) -> Iterator[ArchivedImage]:
        """Every readable manifest; raises ArchiveAway."""
        for path in self._find(MANIFESTS):
            if parse_manifest_key(path) is None:
                continue
            with self._asking():
                text = self._files.cat_file(path)
            try:
                image = parse_json(ArchivedImage, text)
            except PeerError:
                continue
            yield image

    def _is_file(self, digest: str) -> bool:
        try:
            with self._asking():
                return bool(self._files.info(f"{self._root}/{blob_key(digest)}")["type"] == "file")
        except FileNotFoundError:
            return False

    def _require_root(self) -> None:
        try:
            with self._asking():
                self._files.info(self._root)
        except FileNotFoundError as error:
            raise ArchiveAway(self._url, f"{self._root} does not exist") from error

    def _find(self, below: str) -> list[str]:
        self._require_root()
        try:
            with self._asking():
                found: list[str] = self._files.find(f"{self._root}/{below}")
        except FileNotFoundError:
            return []
        return found

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except Exception as error:  # each fsspec backend raises exceptions of its own library
            raise ArchiveAway(self._url, f"{type(error).__name__}: {error}") from error
