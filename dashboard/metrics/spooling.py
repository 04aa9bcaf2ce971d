"""Puts the points of an event into the spool, with a time stamp that no other event has, in any run."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dashboard.metrics.lines import Point, line_of
from dashboard.metrics.places import TagValues
from dashboard.metrics.spool import Spool
from dashboard.metrics.timestamps import TimeStamps
from service_runtime.log import get_log

_STEPS_US: Final = {"us": 1, "ms": 1000}


class Spooling:
    """The one way into a spool; the lanes of its time stamps lie in the spool's folder."""

    def __init__(self, spool: Spool, time_step: str) -> None:
        self._spool = spool
        self._tags = TagValues()
        self._file = spool.folder / "time-stamps.json"
        self._stamps = TimeStamps(_load(self._file), step_us=_STEPS_US[time_step])

    @property
    def folded(self) -> int:
        """Tag values that were one too many."""
        return self._tags.folded

    def put(self, event: Sequence[Point]) -> None:
        """The points of one event share its time stamp and must differ in their tags."""
        stamp = self._stamps.take(time.time_ns())
        if self._stamps.must_save:
            self._save()
        lines = [line_of(self._fold(point), stamp) for point in event]
        self._spool.append([line for line in lines if line is not None])

    def _fold(self, point: Point) -> Point:
        allowed = {name: self._tags.allow(name, value) for name, value in point.tags.items()}
        return Point(point.measurement, allowed, point.fields)

    def _save(self) -> None:
        part = self._file.with_name(self._file.name + ".part")
        try:
            part.write_text(json.dumps(self._stamps.ceilings), encoding="ascii")
            part.replace(self._file)
            self._stamps.must_save = False
        except OSError as error:  # tried again with the next stamp
            get_log("metrics").error("time_stamps_not_saved", reason=str(error))


def _load(file: Path) -> dict[int, int]:
    try:
        found = json.loads(file.read_text(encoding="ascii"))
        return {int(lane): int(last_us) for lane, last_us in found.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        get_log("metrics").warning("time_stamps_unreadable", reason=str(error))
        return {}
