"""What each microscope of the demo captures: its share of a folder as links, or its share of a count."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_device.cameras.image_files import SUFFIXES


class NoImagesError(ValueError):
    """The folder holds nothing to capture."""


@dataclass(frozen=True, slots=True)
class Share:
    """One device's captures: a folder with exactly these files, or a number of simulated fields."""

    device: str
    folder: Path | None
    files: tuple[Path, ...]
    count: int | None


def find_images(folder: Path) -> list[Path]:
    """All image files below `folder`, sorted by path."""
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not found:
        raise NoImagesError(
            f"--images {folder}: no image file below it ({', '.join(sorted(SUFFIXES))})"
        )
    return found


def share_folder(
    images: Path, devices: list[str], count: int | None, run_folder: Path
) -> list[Share]:
    """Deals the first `count` images to the devices in turn (all when None; again from the start
    when there are fewer), as links whose names keep the order, so that each link is one capture."""
    found = find_images(images)
    wanted = len(found) if count is None else count
    dealt: dict[str, list[Path]] = {device: [] for device in devices}
    for number in range(wanted):
        original = found[number % len(found)]
        device = devices[number % len(devices)]
        folder = run_folder / "cameras" / device
        folder.mkdir(parents=True, exist_ok=True)
        link = folder / f"{number:06d}_{original.name}"
        link.symlink_to(original)
        dealt[device].append(link)
    return [
        Share(device, run_folder / "cameras" / device, tuple(files), len(files))
        for device, files in dealt.items()
        if files
    ]


def share_count(devices: list[str], count: int | None) -> list[Share]:
    """Deals a number of simulated fields to the devices as evenly as it goes."""
    if count is None:
        return [Share(device, None, (), None) for device in devices]
    each, more = divmod(count, len(devices))
    numbers = [each + (1 if place < more else 0) for place in range(len(devices))]
    return [
        Share(device, None, (), number)
        for device, number in zip(devices, numbers, strict=True)
        if number
    ]
