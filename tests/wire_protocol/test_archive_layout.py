"""The archive's names round trip, refuse what could leave the archive, and carry the manifest."""

from __future__ import annotations

import pytest

from wire_protocol import archive_layout as layout
from wire_protocol.json_messages import parse_json
from wire_protocol.manifest import ContentType, Manifest

SHA = "ab" + "0" * 62
IMAGE = "0123456789abcdef" * 2


def test_keys_are_parsed_back_from_a_full_path() -> None:
    assert layout.parse_blob_key("s3://bucket/x/" + layout.blob_key(SHA)) == SHA
    key = layout.manifest_key("scope-1", IMAGE)
    assert layout.parse_manifest_key("/srv/archive/" + key) == ("scope-1", IMAGE)


def test_a_conflict_is_not_listed_as_a_manifest() -> None:
    assert layout.parse_manifest_key(layout.conflict_key("scope-1", IMAGE, SHA)) is None


@pytest.mark.parametrize("sha256", ["", "AB" + SHA[2:], "../" + SHA, SHA + "\n"])
def test_a_blob_key_is_made_of_a_digest_only(sha256: str) -> None:
    with pytest.raises(ValueError, match="64 lowercase hex"):
        layout.blob_key(sha256)


@pytest.mark.parametrize("device", ["", "..", "a/b", "scope 1", "scope-1\n"])
def test_a_device_cannot_leave_its_folder(device: str) -> None:
    with pytest.raises(ValueError, match="device"):
        layout.manifest_key(device, IMAGE)


def test_a_blob_in_the_wrong_folder_is_no_blob() -> None:
    assert layout.parse_blob_key(f"blobs/sha256/ff/{SHA}") is None


def test_the_archived_manifest_round_trips() -> None:
    manifest = Manifest(
        image_id=IMAGE, outbox_id=IMAGE, seq=1, sha256=SHA, size_bytes=10,
        content_type=ContentType.PNG, width_px=4, height_px=5, um_per_px=0.1,
        captured_at="2026-11-21T09:14:03.120Z", clock_synced=True, captured_ns=5, boot_id=IMAGE,
    )  # fmt: skip
    image = layout.ArchivedImage(site="lab", device="scope-1", manifest=manifest, worker="w1")
    assert parse_json(layout.ArchivedImage, image.to_bytes()) == image
