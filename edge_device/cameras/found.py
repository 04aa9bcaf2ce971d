"""Which cameras this machine has, read from where the kernel and Picamera2 say it; it opens none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_device.cameras.picamera2 import import_picamera2
from edge_device.cameras.shots import CameraError


@dataclass(frozen=True, slots=True)
class FoundCamera:
    """One camera, and what `camera.kind` and `camera.device` (or `camera.camera`) would be."""

    kind: str
    device: str
    name: str
    note: str = ""


def v4l2_cameras(
    sys_class: Path = Path("/sys/class/video4linux"), dev: Path = Path("/dev")
) -> list[FoundCamera]:
    """The video devices; of a name that stays the same over restarts, that one."""
    stable = {}
    for link in sorted((dev / "v4l" / "by-id").glob("*")):
        stable[link.resolve().name] = str(link)
    found = []
    for entry in sorted(sys_class.glob("video*"), key=_number):
        name = _read(entry / "name") or "without a name"
        # A USB camera's second device tells of its frames and gives none.
        note = "metadata only" if _read(entry / "index") not in ("", "0") else ""
        device = dev / entry.name
        if not device.exists():
            note = f"{device} is not there"
        found.append(FoundCamera("v4l2", stable.get(entry.name, str(device)), name, note))
    return found


def picamera2_cameras() -> list[FoundCamera]:
    """Raspberry Pi cameras; raises CameraError where Picamera2 cannot be imported."""
    info = import_picamera2().global_camera_info()
    return [
        FoundCamera("picamera2", str(number), str(camera.get("Model", "without a name")))
        for number, camera in enumerate(info)
    ]


def all_cameras() -> tuple[list[FoundCamera], str]:
    """What there is, and why Raspberry Pi cameras cannot be seen ("" where they can)."""
    found = v4l2_cameras()
    try:
        return found + picamera2_cameras(), ""
    except CameraError as error:
        return found, str(error).removeprefix("camera.kind: ")


def _number(entry: Path) -> tuple[int, str]:
    digits = entry.name.removeprefix("video")
    return (int(digits) if digits.isdigit() else 0, entry.name)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
