"""`hemowire records` as people and scripts call it: reconcile, list and new-store-id on real stores and archives."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from cloud_worker.archive import Archive
from dashboard.blobs import ArchiveAway, BlobArchive
from dashboard.device_facts import DevicePresence
from dashboard.outcomes import read_store_id
from dashboard.reports import report_of_diagnosis, report_of_rejection
from dashboard.store import Filed, RecordsStore
from hemowire.cli import main
from service_runtime.boot import wall_time
from tests.dashboard.reports_for_tests import AT, content, diagnosis, digest, hex_id, rejection
from wire_protocol.json_messages import Health
from wire_protocol.manifest import ContentType, Manifest


def manifest(number: int) -> Manifest:
    return Manifest(
        image_id=hex_id("image", number),
        outbox_id=hex_id("outbox", 0),
        seq=number + 1,
        sha256=digest(number),
        size_bytes=len(content(number)),
        content_type=ContentType.JPEG,
        width_px=10,
        height_px=10,
        captured_at=AT,
        clock_synced=True,
        captured_ns=1,
        boot_id=hex_id("boot", 0),
    )


def health(next_seq: int, waiting: int = 0, oldest: int | None = None) -> Health:
    return Health(
        site="lab",
        device="scope-1",
        outbox_id=hex_id("outbox", 0),
        next_seq=next_seq,
        oldest_unrecorded_seq=oldest,
        counts={"recorded": next_seq - 1 - waiting, "waiting": waiting},
        queue_bytes=0,
        disk_free_bytes=1,
        boot_id=hex_id("boot", 0),
        uptime_s=1.0,
    )


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """The worker's own archive, with the images 0 and 1."""
    opened = Archive(str(tmp_path / "archive"), "w1")
    opened.probe()
    for number in (0, 1):
        opened.put("lab", "scope-1", manifest(number), content(number))
    return opened


@pytest.fixture
def config(tmp_path: Path, url: str) -> Path:
    path = tmp_path / "records.toml"
    path.write_text(
        f'database_url = "{url}"\narchive_url = "{tmp_path}/archive"\n'
        '[broker]\nusername = "records"\n'
    )
    return path


def fill(store: RecordsStore, *, online: bool = True) -> None:
    """Images 0 and 1 diagnosed, 2 rejected on the device."""
    reports = [report_of_diagnosis(diagnosis(n), "lab", "scope-1") for n in (0, 1)]
    reports.append(report_of_rejection(rejection(2), "lab", "scope-1"))
    work = [Filed(report, True) for report in reports]
    store.commit([*work, DevicePresence("lab", "scope-1", online, "")], wall_time())


def reconcile(config: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    code = main(["records", "reconcile", "--config", str(config), "--json"])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, found


def test_reconcile_exits_0_where_every_image_is_accounted_for(
    store: RecordsStore, config: Path, archive: Archive, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(store)
    store.commit([health(4)], wall_time())
    code, found = reconcile(config, capsys)
    assert (code, found["clean"]) == (0, True)
    assert main(["records", "reconcile", "--config", str(config)]) == 0
    shown = capsys.readouterr().out
    assert "clean" in shown
    assert "scope-1" in shown


def test_reconcile_exits_1_and_names_what_is_missing(
    store: RecordsStore,
    config: Path,
    archive: Archive,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    fill(store, online=False)
    archive.put("lab", "scope-1", manifest(7), content(7))
    gone = next((tmp_path / "archive").rglob(digest(0)))
    gone.unlink()
    orphan = hashlib.sha256(b"orphan").hexdigest()
    folder = tmp_path / "archive" / "blobs" / "sha256" / orphan[:2]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / orphan).write_bytes(b"orphan")
    store.commit([health(6, waiting=1, oldest=5)], wall_time())
    code, found = reconcile(config, capsys)
    assert code == 1
    [outbox] = found["outboxes"]
    assert outbox["gaps"] == [[4, 4]]
    assert outbox["is_silent"] is True
    assert [m["seq"] for m in found["unrecorded"]] == [8]
    assert [i["seq"] for i in found["records_without_blob"]] == [1]
    assert found["orphan_blobs"] == [orphan]
    assert (folder / orphan).exists(), "nothing is deleted by itself"
    assert main(["records", "reconcile", "--config", str(config)]) == 1
    shown = capsys.readouterr().out
    assert "LOST: seq 4" in shown
    assert "NOT clean" in shown


def test_a_conflict_in_the_store_makes_reconcile_exit_1(
    store: RecordsStore, config: Path, archive: Archive, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(store)
    other = diagnosis(0, image_sha256=digest(1))
    store.commit(
        [Filed(report_of_diagnosis(other, "lab", "scope-1"), True), health(4)], wall_time()
    )
    code, found = reconcile(config, capsys)
    assert code == 1
    assert [c["verdict"] for c in found["conflicts"]] == ["conflict_image"]


def test_list_shows_every_image_with_the_warning(
    store: RecordsStore, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(store)
    assert main(["records", "list", "--config", str(config), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["set_aside"] == []
    rows = found["images"]
    assert [(row["seq"], row["outcome"]) for row in rows] == [
        (1, "diagnosed"),
        (2, "diagnosed"),
        (3, "rejected"),
    ]
    assert main(["records", "list", "--config", str(config)]) == 0
    shown = capsys.readouterr().out
    assert "Research use only" in shown
    assert "100 %" not in shown


def test_list_shows_what_was_set_aside_and_why(
    store: RecordsStore, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(store)
    other = Filed(report_of_diagnosis(diagnosis(0, image_sha256=digest(1)), "lab", "scope-1"), True)
    unseen = Filed(report_of_diagnosis(diagnosis(5), "lab", "scope-1"), False)
    for _ in range(2):
        store.commit([other, unseen], wall_time())
    assert main(["records", "list", "--config", str(config), "--json"]) == 0
    aside = json.loads(capsys.readouterr().out)["set_aside"]
    assert [(row["verdict"], row["times"]) for row in aside] == [
        ("conflict_image", 2),
        ("blob_missing", 2),
    ]
    assert main(["records", "list", "--config", str(config)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "the image id belongs to other bytes or another place (2 times" in shown
    assert f"seq 6 image {hex_id('image', 5)[-6:]}: its bytes are not in the archive" in shown
    assert shown.index("2 reports set aside.") < shown.index("3 images.")


@pytest.mark.parametrize("action", ["run", "reconcile"])
def test_an_archive_that_cannot_be_opened_exits_2_without_its_password(
    store: RecordsStore, config: Path, capsys: pytest.CaptureFixture[str], action: str
) -> None:
    folder = config.read_text().split('archive_url = "')[1].split('"')[0]
    config.write_text(config.read_text().replace(folder, "nobodys://key:hush@bucket"))
    assert main(["records", action, "--config", str(config)]) == 2
    said = capsys.readouterr().err
    assert "hemowire records: archive nobodys://***@bucket" in said
    assert "hush" not in said


def test_new_store_id_changes_it_and_refuses_where_there_is_no_store(
    store: RecordsStore, config: Path, url: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    before = store.store_id
    assert main(["records", "new-store-id", "--config", str(config)]) == 0
    assert read_store_id(url) == capsys.readouterr().out.strip() != before
    nowhere = tmp_path / "nowhere.toml"
    nowhere.write_text(config.read_text().replace("records.sqlite", "nowhere.sqlite"))
    assert main(["records", "new-store-id", "--config", str(nowhere)]) == 2
    assert not (tmp_path / "nowhere.sqlite").exists()
    assert "no such file" in capsys.readouterr().err


def test_an_archive_that_is_not_there_is_said_so_and_never_called_empty(
    store: RecordsStore, config: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["records", "reconcile", "--config", str(config)]) == 2
    assert "does not exist" in capsys.readouterr().err
    looking = BlobArchive(str(tmp_path / "archive"))
    with pytest.raises(ArchiveAway):
        looking.present([digest(0)])
    looking.close()


def test_the_records_store_sees_the_blobs_that_a_worker_puts(
    archive: Archive, tmp_path: Path
) -> None:
    looking = BlobArchive(str(tmp_path / "archive"))
    assert looking.present([digest(0), digest(1), digest(2)]) == {digest(0), digest(1)}
    assert sorted(m.manifest.seq for m in looking.manifests()) == [1, 2]
    assert set(looking.blobs()) == {digest(0), digest(1)}
    looking.close()
