"""Planned times: followed as their file grows, kept when they are late, and never another schedule beside them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from edge_device.cameras.settings import FolderCameraSettings
from edge_device.schedule import open_schedule


def test_nothing_is_due_until_the_file_is_there_and_a_line_is_whole(tmp_path: Path) -> None:
    plan = tmp_path / "plan"
    schedule = open_schedule(None, plan)
    assert schedule.due_ns(0) is None
    plan.write_text("100\n25")
    assert schedule.due_ns(0) == 100
    schedule.taken()
    assert schedule.due_ns(0) is None
    with plan.open("a") as file:
        file.write("0\n")
    assert schedule.due_ns(0) == 250


def test_a_planned_time_stays_due_however_late_it_is_and_after_a_pause(tmp_path: Path) -> None:
    plan = tmp_path / "plan"
    plan.write_text("100\n200\n")
    schedule = open_schedule(None, plan)
    assert schedule.due_ns(10_000) == 100
    schedule.restart()
    assert schedule.due_ns(20_000) == 100
    schedule.taken()
    assert schedule.due_ns(20_000) == 200


def test_a_rate_and_a_plan_are_refused_together(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="two schedules"):
        FolderCameraSettings(kind="folder", folder=tmp_path, rate_per_s=1.0, planned=tmp_path)
