"""The agent as the bench sees it: its state from memory, its pictures, its actions; it asks no disk for the state."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from edge_device.actions import ACTIONS, Actions, Answer
from edge_device.bench import BenchState, Changes
from edge_device.bench import state as shown
from edge_device.bench.recent import RecentCaptures
from edge_device.capture import Pipeline
from edge_device.cases import CaseDesk
from edge_device.computer import software_version
from edge_device.health import Reporter
from edge_device.microscope import Microscope
from edge_device.owed import Owed
from edge_device.settings import EdgeSettings
from edge_device.transfer import Transfer
from service_runtime.boot import clock_is_synced, monotonic_s
from service_runtime.mqtt_session import MqttSession
from wire_protocol.manifest import OverrideReason
from wire_protocol.words import OVERRIDE_WORDS


class AgentOnBench:
    """`Bench` for the local page and socket; all methods belong to the event loop's thread."""

    def __init__(
        self,
        settings: EdgeSettings,
        *,
        session: MqttSession,
        microscope: Microscope,
        pipeline: Pipeline,
        cases: CaseDesk,
        transfer: Transfer,
        owed: Owed,
        reporter: Reporter,
        recent: RecentCaptures,
        actions: Actions,
    ) -> None:
        self._settings = settings
        self._session = session
        self._microscope = microscope
        self._pipeline = pipeline
        self._cases = cases
        self._transfer = transfer
        self._owed = owed
        self._reporter = reporter
        self._recent = recent
        self._actions = actions
        self._changes = Changes()
        self._focus: deque[float] = deque(maxlen=shown.FOCUS_HISTORY)
        #: Why the broker is away, in words.
        self.away = ""
        self._names = tuple(
            name
            for name in ACTIONS
            if pipeline.flat_field is not None or not name.startswith("flat_field")
        )

    def note(self) -> None:
        """Something that is shown is different now."""
        self._changes.note()

    def captured(self, focus: float | None) -> None:
        """A capture's focus; with a preview the bar follows the preview."""
        if focus is not None and not self._microscope.is_live:
            self._focus.append(focus)
        self.note()

    async def changed(self, seen: int) -> int:
        """Waits for a change after change number `seen`."""
        return await self._changes.after(seen)

    async def run(self, name: str, arguments: Mapping[str, Any], *, operator: str) -> Answer:
        """Does an action."""
        return await self._actions.run(name, arguments, operator=operator)

    async def preview_jpeg(self) -> bytes | None:
        """The camera's live picture."""
        picture = await self._microscope.preview()
        if picture is None:
            return None
        self._focus.append(picture.focus)
        self.note()
        return picture.jpeg

    async def capture_jpeg(self, image_id: str) -> bytes | None:
        """A small picture of a capture."""
        return await self._recent.picture(image_id)

    def state(self) -> BenchState:
        """Everything on the page."""
        settings, pipeline = self._settings, self._pipeline
        health = self._reporter.last
        encode = pipeline.encode
        limits = settings.outbox
        return BenchState(
            device=settings.device,
            site=settings.site,
            link=self._link(),
            halted=self._microscope.halted,
            paused=self._microscope.paused,
            case=self._case(),
            camera=shown.CameraShown(
                kind=settings.camera.kind,
                is_live=self._microscope.is_live,
                trigger=settings.camera.trigger,
                trouble=self._microscope.trouble,
            ),
            focus=shown.FocusShown(
                history=tuple(self._focus),
                # The preview is smaller than the picture: its scores have no limit.
                limit=None if self._microscope.is_live else pipeline.gate.min_focus,
            ),
            captures=self._recent.shown(pipeline.gate),
            queue=shown.QueueShown(
                images=len(self._owed),
                size_bytes=self._owed.held_bytes,
                max_bytes=limits.max_bytes,
                oldest_s_ago=None if health is None else health.oldest_waiting_s,
                counts={} if health is None else health.counts,
            ),
            computer=shown.DeviceShown(
                disk_free_bytes=None if health is None else health.disk_free_bytes,
                disk_min_free_bytes=limits.min_free_bytes,
                memory_bytes=None if health is None else health.memory_bytes,
                temperature_c=None if health is None else health.cpu_temperature_c,
                uptime_s=0 if health is None else health.uptime_s,
            ),
            versions=self._versions(),
            jpeg_quality=encode.jpeg_quality if encode.format == "jpeg" else None,
            actions=self._names,
            override_reasons=tuple(
                shown.Choice(name=reason.value, words=OVERRIDE_WORDS[reason])
                for reason in OverrideReason
            ),
        )

    def _link(self) -> shown.LinkShown:
        is_online = self._session.is_connected
        away = "offline" if self.away else "connecting"
        return shown.LinkShown(
            state="online" if is_online else away,
            words="" if is_online else self.away,
            rate_bytes_per_s=self._transfer.sender.pace.rate or None,
            clock_synced=clock_is_synced(),
        )

    def _case(self) -> shown.CaseShown:
        case, deadline = self._cases.current, self._cases.deadline
        if case is None:
            return shown.CaseShown(case_id=self._cases.standing_in, notice=self._cases.notice)
        now_s = monotonic_s()
        return shown.CaseShown(
            case_id=case.case_id,
            fields=case.fields,
            opened_s_ago=max(0.0, now_s - case.opened_s),
            closes_in_s=None if deadline is None else max(0.0, deadline - now_s),
            operator=case.operator,
            notice=self._cases.notice,
        )

    def _versions(self) -> shown.VersionsShown:
        flat, calibration = self._pipeline.flat_field, self._pipeline.calibration
        return shown.VersionsShown(
            software=software_version(),
            flat_field=0 if flat is None else flat.version,
            flat_field_frames=0 if flat is None else flat.state.learned_frames,
            calibration=0 if calibration is None else calibration.version,
        )
