"""A bench with rendered fields, for looking at the page: `python -m tests.edge_device.bench.pretend_bench --port 8766`.

Every picture comes from the simulator; the agent behind it is pretended, the page and server are real.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import tempfile
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from edge_device.bench.local_client import LocalAnswer
from edge_device.bench.settings import BenchSettings
from edge_device.bench.state import (
    BenchState,
    CameraShown,
    CaptureShown,
    CaseShown,
    Choice,
    DeviceShown,
    FocusShown,
    LinkShown,
    QueueShown,
    ScoreShown,
    VersionsShown,
)
from edge_device.simulator import draw_slide, render_field
from tests.chromium import chromium
from tests.edge_device.bench.bench_for_tests import BenchForTests, served
from wire_protocol.json_messages import Reason
from wire_protocol.machine_io import OutboxState
from wire_protocol.manifest import Priority
from wire_protocol.messages import Outcome
from wire_protocol.words import OVERRIDE_WORDS

ACTIONS = (
    "calibrate", "capture", "close_case", "flat_field_undo", "move_field", "open_case", "pause",
    "report", "restart", "resume", "send_anyway", "set_quality",
)  # fmt: skip
LIMIT = 16.0
DUST = "Debris or bubbles: 3 dark specks that are no cells. Clean the slide if there are more."


def image_id(n: int) -> str:
    return f"{n:032x}"


def rendered(n: int, blur_px: float) -> npt.NDArray[np.uint8]:
    """A simulated field, 800x500."""
    rgb = render_field(draw_slide(5 + n % 3), "ALL", n, width_px=800, height_px=500).image
    blurred = cv2.GaussianBlur(rgb, (0, 0), blur_px) if blur_px else rgb
    return np.asarray(cv2.cvtColor(blurred, cv2.COLOR_RGB2BGR), np.uint8)


@cache
def jpeg_of_a_field() -> bytes:
    """One of them as the camera would give it."""
    return jpeg(rendered(0, 0))


def jpeg(bgr: npt.NDArray[np.uint8]) -> bytes:
    return bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 80])[1])


def capture(n: int, state: OutboxState, **changes: Any) -> CaptureShown:
    """Capture number `n` of case H26-0413."""
    fields: dict[str, Any] = {
        "image_id": image_id(n), "seq": n, "taken_s_ago": 4 + (13 - n) * 31, "case_id": "H26-0413",
        "state": state, "has_picture": True, "can_move": True, "scores": scores(22.1 + 3 * (n % 3)),
        "outcome": Outcome.DIAGNOSED if state is OutboxState.RECORDED else None,
    }  # fmt: skip
    return CaptureShown.model_validate(fields | changes)


def scores(focus: float) -> tuple[ScoreShown, ...]:
    return (
        ScoreShown(name="focus", value=focus, at_least=LIMIT),
        ScoreShown(name="white_level", value=214, at_least=80),
        ScoreShown(name="contrast", value=9.4, at_least=1.8),
        ScoreShown(name="clipped_white_percent", value=0.3, at_most=40),
    )


def refused(n: int, **changes: Any) -> CaptureShown:
    return capture(n, OutboxState.REJECTED, **{
        "reason": Reason.FOCUS, "can_send_anyway": True, "scores": scores(9.4),
        "verdict": f"Out of focus: score 9.4, at least {LIMIT:.1f} needed. Refocus and take again.",
    } | changes)  # fmt: skip


def pretended() -> BenchState:
    """A good moment of a working day."""
    recorded = [capture(n, OutboxState.RECORDED) for n in range(9, 3, -1)]
    return BenchState(
        device="scope-1",
        site="lab",
        link=LinkShown(state="online", rate_bytes_per_s=412_000, clock_offset_ms=3.2),
        case=CaseShown(case_id="H26-0413", fields=12, opened_s_ago=620, closes_in_s=1540),
        camera=CameraShown(kind="simulated", is_live=True, trigger="command"),
        focus=FocusShown(
            history=tuple(15 + 8 * math.sin(n / 11) + 0.6 * math.sin(n * 1.7) for n in range(24)),
            limit=LIMIT,
        ),
        captures=(
            capture(13, OutboxState.SENDING),
            refused(12),
            capture(11, OutboxState.STORED, warnings=(DUST,)),
            capture(10, OutboxState.RECORDED, priority=Priority.STAT),
            *recorded,
            capture(3, OutboxState.RECORDED, case_id="H26-0412"),
        ),
        queue=QueueShown(images=1, size_bytes=812_000, oldest_s_ago=4),
        computer=DeviceShown(
            disk_free_bytes=21_400_000_000, disk_min_free_bytes=536_870_912,
            memory_bytes=118_000_000, temperature_c=51, uptime_s=402_000,
        ),
        versions=VersionsShown(
            software="0.1.0", flat_field=7, flat_field_frames=412, calibration=2
        ),
        jpeg_quality=95,
        actions=ACTIONS,
        override_reasons=tuple(Choice(name=k, words=v) for k, v in OVERRIDE_WORDS.items()),
    )  # fmt: skip


class PretendBench(BenchForTests):
    """Focus drifts as if a knob was turned; captures are taken and travel."""

    def __init__(self) -> None:
        super().__init__(shown=pretended())
        self._fields = [rendered(n, 0) for n in range(4)]
        self.pictures = {
            image_id(n): jpeg(rendered(n, 4 if n == 12 else 0)) for n in range(3, 14)
        }  # fmt: skip

    async def preview_jpeg(self) -> bytes | None:
        score = (self.shown.focus.history or (LIMIT,))[-1]
        blur = max(0.0, 0.35 * (LIMIT + 5 - score))
        sharp = self._fields[0]
        return jpeg(np.asarray(cv2.GaussianBlur(sharp, (0, 0), blur) if blur > 0.3 else sharp))

    async def run(self, name: str, arguments: Mapping[str, Any], *, operator: str) -> LocalAnswer:
        await super().run(name, arguments, operator=operator)
        now = self.shown
        if name in ("pause", "resume"):
            self.show(paused=name == "pause")
        elif name in ("open_case", "close_case"):
            self.show(
                case=CaseShown(case_id=arguments.get("case_id"), opened_s_ago=0, closes_in_s=1800)
            )
        elif name == "capture":
            await asyncio.sleep(0.4)
            n = now.captures[0].seq + 1
            sharp = now.focus.history[-1] >= LIMIT
            self.pictures[image_id(n)] = jpeg(rendered(n, 0 if sharp else 4))
            made = {"case_id": now.case.case_id, "taken_s_ago": 0}
            taken = capture(n, OutboxState.WAITING, **made) if sharp else refused(n, **made)
            self.show(captures=(taken, *now.captures)[:12])
        return LocalAnswer(True, {"counts": {"recorded": 10}, "uptime_s": 402_000.0})

    async def turn(self) -> None:
        """Turns the knob for ever."""
        while True:
            await asyncio.sleep(0.5)
            score = 15 + 8 * math.sin(time.monotonic() / 4)
            focus = self.shown.focus
            self.show(focus=FocusShown(history=(*focus.history, score)[-60:], limit=LIMIT))


async def _main(port: int, picture: Path | None) -> None:
    bench = PretendBench()
    with tempfile.TemporaryDirectory() as folder:
        async with served(bench, Path(folder), BenchSettings(port=port)) as server:
            if picture is None:
                await bench.turn()
            else:
                await asyncio.to_thread(_photograph, server.url, picture, Path(folder))


def _photograph(url: str, picture: Path, folder: Path) -> None:
    """The page on the small screen at a microscope, in 128 colours."""
    with chromium(folder / "profile") as browser:
        browser.look_like(800, 480, touch=True)
        browser.go(url)
        browser.until("!document.getElementById('preview').hidden")
        browser.until("[...document.querySelectorAll('.thumb img')].every((one) => one.complete)")
        browser.picture(folder / "page.png")
    with Image.open(folder / "page.png") as shot:
        shot.convert("RGB").quantize(128).save(picture, optimize=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8766)
    parser.add_argument("--picture", type=Path, help="take a picture of the page and end")
    given = parser.parse_args()
    asyncio.run(_main(0 if given.picture else given.port, given.picture))
