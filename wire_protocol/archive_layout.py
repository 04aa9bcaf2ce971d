"""Where the archive keeps what, and the JSON beside each blob; it names keys and reads no storage.

    blobs/sha256/ab/<sha256>                       the bytes as they came, named by their digest
    manifests/<device>/<image_id>.json             written after its blob, so a manifest implies one
    conflicts/<device>/<image_id>.<sha256>.json    the same image id with other bytes: kept apart

Keys use "/" and are relative to the archive's URL. Workers write them; the records store checks
that a blob exists and lists manifests, each through fsspec with these names.
"""

from __future__ import annotations

import re
from typing import Final

from wire_protocol.ids import LEVEL_PATTERN, SHA256_PATTERN, Device, Site, Worker
from wire_protocol.json_messages import JsonMessage
from wire_protocol.manifest import Manifest

BLOBS: Final = "blobs/sha256"
MANIFESTS: Final = "manifests"
CONFLICTS: Final = "conflicts"
#: Small objects that a worker writes, reads and removes to see that the archive is there.
PROBES: Final = "probes"

_SHA256 = re.compile(SHA256_PATTERN)
_LEVEL = re.compile(LEVEL_PATTERN)
_IMAGE_ID = re.compile(r"^[0-9a-f]{32}$")
_BLOB_KEY = re.compile(rf"(?:^|/){BLOBS}/(?P<head>[0-9a-f]{{2}})/(?P<sha256>[0-9a-f]{{64}})$")
_MANIFEST_KEY = re.compile(
    rf"(?:^|/){MANIFESTS}/(?P<device>[A-Za-z0-9_-]{{1,64}})/(?P<image_id>[0-9a-f]{{32}})\.json$"
)


class ArchivedImage(JsonMessage):
    """The JSON beside a blob: whose image it is, and the manifest it was offered with."""

    SCHEMA = "hemowire.archived_image"

    site: Site
    device: Device
    manifest: Manifest
    #: Wall time and worker of the put, for people; no rule uses them.
    archived_at: str = ""
    worker: Worker


def blob_key(sha256: str) -> str:
    """The key of the bytes with this digest; raises ValueError for any other text."""
    if not _SHA256.fullmatch(sha256):
        raise ValueError(f"sha256 {sha256!r}: 64 lowercase hex characters needed")
    return f"{BLOBS}/{sha256[:2]}/{sha256}"


def manifest_key(device: str, image_id: str) -> str:
    """The key of the manifest of this device's image; raises ValueError by name."""
    _check(device, image_id)
    return f"{MANIFESTS}/{device}/{image_id}.json"


def conflict_key(device: str, image_id: str, sha256: str) -> str:
    """The key of a manifest whose image id is taken by other bytes."""
    _check(device, image_id)
    blob_key(sha256)
    return f"{CONFLICTS}/{device}/{image_id}.{sha256}.json"


def parse_blob_key(key: str) -> str | None:
    """The sha256 that a key (or a path that ends in one) names, or None where it is no blob."""
    found = _BLOB_KEY.search(key)
    if found is None or found["sha256"][:2] != found["head"]:
        return None
    return found["sha256"]


def parse_manifest_key(key: str) -> tuple[str, str] | None:
    """(device, image_id) that a key (or a path that ends in one) names, or None."""
    found = _MANIFEST_KEY.search(key)
    return None if found is None else (found["device"], found["image_id"])


def _check(device: str, image_id: str) -> None:
    if not _LEVEL.fullmatch(device):
        raise ValueError(f"device {device!r}: 1-64 of [A-Za-z0-9_-] needed")
    if not _IMAGE_ID.fullmatch(image_id):
        raise ValueError(f"image_id {image_id!r}: 32 lowercase hex characters needed")
