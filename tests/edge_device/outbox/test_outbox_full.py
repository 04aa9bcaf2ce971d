"""A full outbox: by default capture stops and says so; by an operator's rule the oldest routine image goes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import ValidationError

from broker_config.local import LocalBroker
from edge_device.actions import outbox_actions
from edge_device.outbox import Outbox, read_snapshot
from edge_device.outbox.limits import Excess, age_alarm, excess, room
from edge_device.outbox.rows import NewCapture, OutboxRow, OutboxTotals
from edge_device.outbox.settings import OutboxSettings
from edge_device.outbox_thread import OutboxThread
from edge_device.owed import Owed
from edge_device.settings import EdgeSettings
from tests.edge_device.conftest import MakeImages
from tests.edge_device.far_side import FarSide
from tests.edge_device.in_loop import in_loop
from tests.edge_device.outbox.test_outbox_stat import fill
from tests.edge_device.test_agent import MakeSettings, agent, check_all_recorded
from tests.edge_device.test_agent_actions import lab
from tests.edge_device.test_edge_command import write_settings
from wire_protocol import machine_io as io
from wire_protocol.messages import Outcome

REFUSE = OutboxSettings(max_bytes=2**20, max_images=10, min_free_bytes=1000)
DROP = REFUSE.model_copy(update={"on_full": "drop_oldest_routine", "drop_operator": "kim"})


def folder_of(settings: EdgeSettings) -> Path:
    """Where its outbox lies."""
    return settings.data_dir / "outbox"


@pytest.mark.parametrize(
    ("held", "count", "free", "words", "over"),
    [
        (2**20 - 1, 9, 1000, "", Excess()),
        (2**20, 9, 1000, "outbox full: 1048576 bytes", Excess(0, 1)),
        (0, 10, 1000, "outbox full: 10 images", Excess(1, 0)),
        (0, 12, 900, "outbox full: 12 images", Excess(3, 100)),
        (0, 0, 999, "disk full: 999 bytes free", Excess(0, 1)),
    ],
)
def test_the_room_and_what_must_go_agree(
    held: int, count: int, free: int, words: str, over: Excess
) -> None:
    said = room(REFUSE, held, count, free)
    assert said.startswith(words) and bool(said) == bool(words)
    assert excess(REFUSE, held, count, free) == Excess(), "nothing is dropped by default"
    assert excess(DROP, held, count, free) == over
    if over:
        assert room(DROP, held - over.size_bytes, count - over.images, free + over.size_bytes) == ""


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"on_full": "drop_oldest_routine"}, "drop_operator"),
        ({"on_full": "drop_oldest_routine", "drop_operator": "Kim Lee"}, "drop_operator"),
        ({"max_age_s": 60.0}, "on_full"),
    ],
)
def test_no_rule_drops_without_a_name(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        OutboxSettings.model_validate(settings)


def test_the_oldest_image_that_waits_too_long_is_said_and_not_dropped() -> None:
    limits = OutboxSettings(alarm_age_s=3600)

    def totals(age_s: float | None) -> OutboxTotals:
        return OutboxTotals(9, 4, {"waiting": 2}, age_s, 10, 0)

    assert age_alarm(limits, totals(None)) == age_alarm(limits, totals(3599)) == ""
    assert age_alarm(limits, totals(7200)) == "oldest waiting 2 h: image number 4"


def test_freed_bytes_leave_the_account_and_the_debt_stays() -> None:
    owed = Owed()
    owed.add("a", "digest", 100)
    owed.freed("a")
    owed.freed("unknown")
    assert (owed.held_bytes, len(owed), owed.sha256_of("a")) == (0, 1, "digest")


@in_loop
async def test_captures_on_their_way_to_a_slow_disk_take_up_room(
    own_broker: LocalBroker,
    tmp_path: Path,
    make_images: MakeImages,
    edge_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_images(tmp_path / "in", 8)
    limits = {"min_free_bytes": 0, "max_images": 3}
    settings = edge_settings(own_broker, tmp_path / "in", outbox=limits)
    far = FarSide(own_broker)
    write = OutboxThread.add
    on_the_way: list[int] = []

    async def write_once_full(
        disk: OutboxThread, captures: Sequence[NewCapture]
    ) -> list[OutboxRow | None]:
        on_the_way.append(len(captures))
        await far.until(lambda: any("outbox full" in status.reason for status in far.statuses))
        return await write(disk, captures)

    monkeypatch.setattr(OutboxThread, "add", write_once_full)
    far.on_store = lambda store: io.PutFailed(store.key, permanent=False, reason="archive_away")
    async with far.running(), agent(settings):
        await far.until(lambda: any("outbox full: 3 images" in s.reason for s in far.statuses))
        far.on_store = lambda _store: None
        await far.until(lambda: len(far.recorded) == 8)
    check_all_recorded(settings, far, 8)
    assert on_the_way[0] < 3


@in_loop
async def test_by_the_rule_new_pictures_find_room_and_each_dropped_one_is_recorded_by_name(
    own_broker: LocalBroker, tmp_path: Path, make_images: MakeImages, edge_settings: MakeSettings
) -> None:
    make_images(tmp_path / "in", 15)
    rule = {"on_full": "drop_oldest_routine", "drop_operator": "kim", "max_images": 10}
    settings = edge_settings(own_broker, tmp_path / "in", outbox={"min_free_bytes": 0} | rule)
    far = FarSide(own_broker)
    far.on_store = lambda store: io.PutFailed(store.key, permanent=False, reason="archive_away")
    async with far.running(), agent(settings):
        await far.until(lambda: len(far.recorded) >= 5)
        assert {known.outcome for known in far.recorded.values()} == {Outcome.DROPPED}
        far.on_store = lambda _store: None
        await far.until(lambda: len(far.recorded) == 15)
    check_all_recorded(settings, far, 15)
    dropped = [row for row in read_snapshot(folder_of(settings)).rows if not row.bytes_held]
    assert {row.outcome for row in dropped} == {Outcome.DROPPED}
    assert {r.operator for r in far.rejections} == {"kim"}
    assert 5 <= len(dropped) < 15


@in_loop
async def test_too_old_is_dropped_only_by_the_rule(
    own_broker: LocalBroker,
    tmp_path: Path,
    edge_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outbox_actions, "_AGES_S", 0.05)
    folder = tmp_path / "scope-1" / "outbox"
    fill(folder, 2_000, stat_last=False)
    outbox = Outbox(folder)
    with outbox.transaction():
        outbox.db.execute("UPDATE meta SET clock_s = 7200")
    outbox.close()
    rule = {"on_full": "drop_oldest_routine", "drop_operator": "kim", "max_age_s": 3600.0}
    async with lab(
        own_broker, tmp_path, edge_settings, outbox={"min_free_bytes": 0} | rule
    ) as here:
        await here.far.until(lambda: len(here.far.recorded) == 50)
        dropped = [r for r in here.far.rejections if r.outcome is Outcome.DROPPED]
        assert dropped and {r.operator for r in dropped} == {"kim"}
        outcomes = {known.image_id: known.outcome for known in here.far.recorded.values()}
    for row in read_snapshot(folder).rows:
        assert row.outcome is outcomes[row.image_id]


def test_an_agent_with_a_damaged_database_ends_with_2_and_names_the_way_out(
    broker: LocalBroker, tmp_path: Path
) -> None:
    (tmp_path / "images").mkdir()
    config = write_settings(tmp_path, broker, tmp_path / "images")
    fill(tmp_path / "scope-1" / "outbox", 100, stat_last=False)
    (tmp_path / "scope-1" / "outbox" / "outbox.sqlite").write_bytes(b"?" * 4096)
    done = subprocess.run(
        [sys.executable, "-m", "hemowire", "edge", "--config", str(config)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 2
    assert "hemowire edge outbox rescue" in done.stderr
