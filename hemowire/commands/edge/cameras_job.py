"""`hemowire edge cameras`: the cameras of this machine and of the settings; takes one frame to a file when asked."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from edge_device.cameras import Camera, Shot
    from edge_device.cameras.found import FoundCamera
    from edge_device.settings import EdgeSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `hemowire edge cameras`."""
    parser.add_argument(
        "--config", type=Path, metavar="edge.toml", help="name this device's own camera too"
    )
    parser.add_argument(
        "--take",
        type=Path,
        metavar="FILE.png",
        help="take one frame with the camera of --config into this file, and score it",
    )
    parser.add_argument(
        "--wait",
        type=float,
        default=20.0,
        metavar="SECONDS",
        help="how long to wait for that frame (default 20)",
    )


def run(args: argparse.Namespace) -> int:
    """Lists and takes; 1 where no frame came, 2 for wrong settings or a camera that is refused."""
    from edge_device.cameras import CameraError
    from edge_device.cameras.found import all_cameras
    from edge_device.settings import EdgeSettings
    from service_runtime.log import configure_logging
    from service_runtime.settings import SettingsError, load_settings

    configure_logging("error")
    if args.take is not None and args.config is None:
        print("hemowire edge cameras: --take needs --config edge.toml", file=sys.stderr)
        return 2
    try:
        settings = load_settings(EdgeSettings, args.config) if args.config else None
        found, hidden = all_cameras()
        _print_cameras(found, hidden, settings)
        if settings is None or args.take is None:
            return 0
        return _take(settings, args.take, args.wait)
    except (SettingsError, CameraError) as error:
        print(f"hemowire edge cameras: {error}", file=sys.stderr)
        return 2


def _print_cameras(found: list[FoundCamera], hidden: str, settings: EdgeSettings | None) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(soft_wrap=True, highlight=False)
    table = Table(box=None, pad_edge=False)
    for column in ("kind", "device", "name", "note"):
        table.add_column(column, no_wrap=True)
    for camera in found:
        table.add_row(camera.kind, camera.device, camera.name, camera.note)
    if found:
        console.print(table)
    else:
        console.print("No camera is connected to this machine.", markup=False)
    if hidden:
        console.print(f"Raspberry Pi cameras were not looked for: {hidden}.", markup=False)
    if settings is not None:
        console.print(f"{settings.device} uses {_described(settings)}.", markup=False)


def _described(settings: EdgeSettings) -> str:
    from edge_device.cameras import (
        FolderCameraSettings,
        Picamera2CameraSettings,
        SimulatedCameraSettings,
        V4l2CameraSettings,
    )

    match settings.camera:
        case FolderCameraSettings(folder=folder, mode=mode):
            missing = "" if folder.is_dir() else ", which is not there"
            return f"the folder {folder} ({mode}){missing}"
        case SimulatedCameraSettings(seed=seed):
            return f"the simulated camera (seed {seed})"
        case V4l2CameraSettings(device=device):
            return f"the V4L2 camera {device}"
        case Picamera2CameraSettings(camera=number):
            return f"the Raspberry Pi camera {number}"


def _take(settings: EdgeSettings, path: Path, wait_s: float) -> int:
    import cv2

    from edge_device.cameras import Unusable, open_camera
    from edge_device.encoding.encode import open_file, open_pixels
    from edge_device.outbox.rows import Refusal

    if path.suffix.lower() not in (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"):
        print(f"hemowire edge cameras: --take {path}: name it .png or .jpg", file=sys.stderr)
        return 2
    cv2.setNumThreads(1)
    camera = open_camera(settings.camera, lambda _key: False, max_bytes=settings.encode.max_bytes)
    try:
        shot = _wait_for_shot(camera, wait_s)
        if shot is None:
            why = camera.trouble or "it gave none"
            print(f"No frame within {wait_s:g} s: {why}.", file=sys.stderr)
            return 1
    finally:
        camera.close()
    match shot.content:
        case Unusable(refusal=refusal):
            print(f"{shot.source}: {refusal.text}", file=sys.stderr)
            return 1
        case bytes():
            opened = open_file(shot.content, settings.encode)
        case _:
            opened = open_pixels(shot.content)
    if isinstance(opened, Refusal):
        print(f"{shot.source}: {opened.text}", file=sys.stderr)
        return 1
    try:
        is_written = cv2.imwrite(str(path), opened.pixels)
    except cv2.error:
        is_written = False
    if not is_written:
        print(f"hemowire edge cameras: --take {path}: cannot be written", file=sys.stderr)
        return 2
    height, width = opened.pixels.shape[:2]
    print(f"{shot.source}: {width} x {height} px -> {path}")
    if shot.sequence is not None:
        rest = "at rest" if shot.sequence.is_still else "still moving"
        focus = ", ".join(f"{score:.1f}" for score in shot.sequence.focus)
        print(f"the view was {rest}; focus of the burst {focus}; took frame {shot.sequence.chosen}")
    _print_scores(settings, opened.pixels)
    return 0


def _wait_for_shot(camera: Camera, wait_s: float) -> Shot | None:
    from edge_device.cameras import Nothing, Shot

    until = time.monotonic() + wait_s
    while not isinstance(taken := camera.take(), Shot):
        if taken is Nothing.EVER or time.monotonic() >= until:
            return None
        time.sleep(min(camera.poll_s, 0.2))
    return taken


def _print_scores(settings: EdgeSettings, bgr: npt.NDArray[np.uint8]) -> None:
    """Before any correction of the light: what the camera itself gives."""
    from rich.console import Console
    from rich.table import Table

    from edge_device.calibration import (
        CalibrationError,
        effective_gate,
        effective_scale,
        load_calibration,
    )
    from edge_device.gate import judge, measure

    try:
        calibration = load_calibration(settings.data_dir)
    except CalibrationError as error:
        print(f"hemowire edge cameras: {error}", file=sys.stderr)
        calibration = None
    scale = effective_scale(settings.um_per_px, calibration)
    scores = measure(bgr, scale if isinstance(scale, float) else None)
    verdict = judge(scores, effective_gate(settings.gate, calibration))
    console = Console(soft_wrap=True, highlight=False)
    table = Table(box=None, pad_edge=False)
    table.add_column("score")
    table.add_column("value", justify="right")
    for name, value in scores.by_name().items():
        table.add_row(name.replace("_", " "), f"{value:g}" if value is not None else "-")
    console.print(table)
    refusal = verdict.refusal
    console.print(f"The gate: {refusal.text if refusal else 'passes'}", markup=False)
    for warning in verdict.warnings:
        console.print(f"Warning: {warning.text}", markup=False)
