"""The archive: a put is whole and durable, a read is verified, failures are told apart."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from cloud_worker import archive as archive_module
from cloud_worker.archive import Archive, ArchiveAwayError, UnknownBlobError
from tests.cloud_worker.images import a_manifest
from wire_protocol import archive_layout as layout
from wire_protocol.archive_layout import ArchivedImage

DATA = bytes(range(256)) * 300


@pytest.fixture(params=["folder", "memory"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Archive]:
    """A folder, and an object store where a put is one PUT (fsspec's own memory file system)."""
    name = uuid.uuid4().hex
    url = str(tmp_path / "archive") if request.param == "folder" else f"memory://{name}"
    yield Archive(url, "w1")


def keys_in(archive: Archive) -> list[str]:
    """Everything that lies there, as another program would find it."""
    files, root = fsspec.core.url_to_fs(archive.url)
    files.invalidate_cache()
    if not files.exists(root):
        return []
    return sorted(path[len(root.rstrip("/")) + 1 :] for path in files.find(root))


def manifest_in(archive: Archive, image_id: str, device: str = "scope-1") -> ArchivedImage:
    files, root = fsspec.core.url_to_fs(archive.url)
    text = files.cat_file(f"{root.rstrip('/')}/{layout.manifest_key(device, image_id)}")
    return ArchivedImage.from_bytes(text)


def test_what_was_put_is_read_back_with_its_manifest(archive: Archive) -> None:
    manifest = a_manifest(DATA)
    result = archive.put("lab", "scope-1", manifest, bytearray(DATA))
    assert result == archive_module.PutResult(blob_was_there=False, is_conflict=False)
    assert archive.read(manifest.sha256) == DATA
    image = manifest_in(archive, manifest.image_id)
    assert (image.site, image.device, image.manifest) == ("lab", "scope-1", manifest)
    assert keys_in(archive) == sorted(
        [layout.blob_key(manifest.sha256), layout.manifest_key("scope-1", manifest.image_id)]
    )


def test_a_second_put_of_the_same_image_changes_nothing(archive: Archive) -> None:
    manifest = a_manifest(DATA)
    archive.put("lab", "scope-1", manifest, DATA)
    before = manifest_in(archive, manifest.image_id)
    assert archive.put("lab", "scope-1", manifest, DATA).blob_was_there
    assert manifest_in(archive, manifest.image_id) == before


def test_two_images_with_equal_bytes_share_a_blob(archive: Archive) -> None:
    first, second = a_manifest(DATA), a_manifest(DATA)
    archive.put("lab", "scope-1", first, DATA)
    archive.put("lab", "scope-2", second, DATA)
    assert keys_in(archive) == sorted(
        [
            layout.blob_key(first.sha256),
            layout.manifest_key("scope-1", first.image_id),
            layout.manifest_key("scope-2", second.image_id),
        ]
    )


def test_an_image_id_with_other_bytes_is_kept_apart(archive: Archive) -> None:
    first = a_manifest(DATA)
    other = b"other" * 100
    second = a_manifest(other).model_copy(update={"image_id": first.image_id})
    archive.put("lab", "scope-1", first, DATA)
    assert archive.put("lab", "scope-1", second, other).is_conflict
    assert manifest_in(archive, first.image_id).manifest == first
    assert archive.read(second.sha256) == other
    key = layout.conflict_key("scope-1", first.image_id, second.sha256)
    assert key in keys_in(archive)


def test_bytes_that_are_not_there_are_unknown_and_not_away(archive: Archive) -> None:
    with pytest.raises(UnknownBlobError, match="not in the archive"):
        archive.read("0" * 64)
    assert keys_in(archive) == []


def test_a_probe_leaves_nothing_behind(archive: Archive) -> None:
    archive.probe()
    archive.probe()
    assert keys_in(archive) == []


def test_a_damaged_blob_is_noticed_on_read_and_mended_by_the_next_put(tmp_path: Path) -> None:
    archive = Archive(str(tmp_path), "w1")
    manifest = a_manifest(DATA)
    archive.put("lab", "scope-1", manifest, DATA)
    blob = tmp_path / layout.blob_key(manifest.sha256)
    blob.write_bytes(DATA[:-1] + b"\0")
    with pytest.raises(UnknownBlobError, match="damaged"):
        archive.read(manifest.sha256)
    assert not archive.put("lab", "scope-1", manifest, DATA).blob_was_there
    assert archive.read(manifest.sha256) == DATA


def test_an_archive_that_is_away_says_so(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    archive = Archive(str(blocked / "archive"), "w1")
    for call in (archive.probe, lambda: archive.put("lab", "d", a_manifest(DATA), DATA)):
        with pytest.raises(ArchiveAwayError, match="archive"):
            call()


def test_no_password_of_the_archive_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    archive = Archive(f"memory://{uuid.uuid4().hex}", "w1")
    shown = ArchiveAwayError(
        "s3://key:hush@bucket/prefix", "probe", OSError("no way to s3://key:hush@bucket")
    )
    assert "hush" not in str(shown)
    assert "archive s3://***@bucket/prefix: probe failed" in str(shown)
    monkeypatch.setattr("fsspec.core.url_to_fs", lambda url: (archive._fs, "x"))
    assert Archive("s3://key:hush@bucket/prefix", "w1").url == "s3://***@bucket/prefix"


def test_a_folder_that_was_emptied_meanwhile_is_made_again(tmp_path: Path) -> None:
    archive = Archive(str(tmp_path / "archive"), "w1")
    archive.put("lab", "scope-1", a_manifest(DATA), DATA)
    shutil.rmtree(tmp_path / "archive")
    archive.probe()
    manifest = a_manifest(DATA)
    archive.put("lab", "scope-1", manifest, DATA)
    assert archive.read(manifest.sha256) == DATA


@pytest.mark.parametrize("step", ["write", "fsync", "replace", "fsync_folder"])
def test_a_put_that_fails_at_any_step_leaves_no_manifest_without_a_blob(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    archive = Archive(str(tmp_path), "w1")
    manifest = a_manifest(DATA)
    calls = {"fsync": 0}
    real_fsync = os.fsync

    def failing_fsync(descriptor: int) -> None:
        is_folder = Path(f"/proc/self/fd/{descriptor}").resolve().is_dir()
        if is_folder == (step == "fsync_folder"):
            calls["fsync"] += 1
            raise OSError(28, "No space left on device")
        real_fsync(descriptor)

    def failing(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        if step in ("fsync", "fsync_folder"):
            patch.setattr(os, "fsync", failing_fsync)
        elif step == "replace":
            patch.setattr(Path, "replace", failing)
        else:
            patch.setattr(Path, "open", failing)
        with pytest.raises(ArchiveAwayError, match="No space left"):
            archive.put("lab", "scope-1", manifest, DATA)
    assert not [key for key in keys_in(archive) if key.startswith(layout.MANIFESTS)]
    assert not list(tmp_path.rglob("*.tmp"))
    archive.put("lab", "scope-1", manifest, DATA)
    assert hashlib.sha256(archive.read(manifest.sha256)).hexdigest() == manifest.sha256


def test_a_put_returns_only_after_file_and_folder_are_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    real_fsync = os.fsync

    def spying_fsync(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").resolve())
        real_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", spying_fsync)
    archive = Archive(str(tmp_path / "archive"), "w1")
    manifest = a_manifest(DATA)
    archive.put("lab", "scope-1", manifest, DATA)
    blob = tmp_path / "archive" / layout.blob_key(manifest.sha256)
    note = tmp_path / "archive" / layout.manifest_key("scope-1", manifest.image_id)
    order = [path.parent if path.suffix == ".tmp" else path for path in synced]
    assert order.count(blob.parent) == 2  # the file in it, then the folder
    assert order.count(note.parent) == 2
    assert blob.parent.parent in synced
    assert tmp_path in synced
    assert max(i for i, p in enumerate(order) if p == blob.parent) < order.index(note.parent)
