"""The archive as the records store sees it: a fault of the storage is never taken for a missing blob."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dashboard.blobs import ArchiveAway, BlobArchive
from tests.dashboard.faulty_storage import ClientError, FaultyStorage
from tests.dashboard.reports_for_tests import content, digest
from wire_protocol.archive_layout import blob_key, manifest_key

CALLS: list[Callable[[BlobArchive], Any]] = [
    lambda archive: archive.present([digest(1), digest(2)]),
    lambda archive: list(archive.blobs()),
    lambda archive: list(archive.manifests()),
]


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[BlobArchive]:
    """One blob, and a manifest that is none."""
    for key in (blob_key(digest(1)), manifest_key("scope-1", "0" * 32)):
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(content(1))
    opened = BlobArchive(f"faulty://{tmp_path}")
    yield opened
    opened.close()


def test_storage_that_answers_is_asked_as_any_other(archive: BlobArchive) -> None:
    assert [call(archive) for call in CALLS] == [{digest(1)}, [digest(1)], []]


@pytest.mark.parametrize("call", CALLS, ids=["present", "blobs", "manifests"])
@pytest.mark.parametrize(
    "fault", [ClientError("503 from s3://key:hush@bucket"), PermissionError(13, "denied")]
)
def test_whatever_the_storage_raises_means_away(
    archive: BlobArchive,
    call: Callable[[BlobArchive], Any],
    fault: Exception,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FaultyStorage, "fault", fault)
    with pytest.raises(ArchiveAway, match=type(fault).__name__) as caught:
        call(archive)
    assert "hush" not in str(caught.value)


def test_an_archive_of_an_unknown_kind_is_away_by_name() -> None:
    with pytest.raises(ArchiveAway, match="nobodys-protocol"):
        BlobArchive("nobodys-protocol://bucket")
