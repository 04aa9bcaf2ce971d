"""How fast the microscopes capture: half of what this machine can take, unless asked otherwise; it times no engine."""

from __future__ import annotations

import os
import time

import numpy as np

from cloud_worker.decode import decode
from cloud_worker.models.card import Preprocessing
from cloud_worker.preprocess import Prepared, prepare
from cloud_worker.refusal import Refusal
from edge_device.calibration.scale import ScaleUnknownError, estimate_um_per_px
from edge_device.cameras.settings import SimulatedCameraSettings
from edge_device.simulator import DiagnosisClass, draw_slide, render_field
from hemowire.demo.options import DemoOptions
from hemowire.demo.sources import find_images

#: Capture this share of what the engine measured, so that latency is not a queue's.
SHARE_OF_ENGINE = 0.5
#: Tiles a second where the worker did not say.
UNMEASURED = 4.0


def tiles_per_image(options: DemoOptions, to: Preprocessing) -> int:
    """Tiles that the network sees per image, from the first image; 1 where that one is refused."""
    if options.images is None:
        camera = SimulatedCameraSettings(kind="simulated")
        rgb = np.zeros((camera.height_px, camera.width_px, 3), np.uint8)
        prepared = prepare(rgb, camera.um_per_px, to)
    else:
        first = decode(find_images(options.images)[0].read_bytes())
        if isinstance(first, Refusal):
            return 1
        scale = options.um_per_px
        try:
            um_per_px = estimate_um_per_px(first).um_per_px if isinstance(scale, str) else scale
        except ScaleUnknownError:
            return 1
        prepared = prepare(first, um_per_px, to)
    return prepared.count if isinstance(prepared, Prepared) else 1


def rate_per_device(
    options: DemoOptions, to: Preprocessing, engine_tiles_per_s: float | None, devices: int
) -> float | None:
    """Images a second of each device; None is as fast as it goes.

    A simulated microscope renders on the processor that the engine needs, so that time is added to
    the engine's before the half is taken.
    """
    if options.rate == "max":
        return None
    if isinstance(options.rate, float):
        return options.rate / devices
    seconds = tiles_per_image(options, to) / (engine_tiles_per_s or UNMEASURED)
    if options.images is None:
        seconds += render_s() / (os.cpu_count() or 1)
    return SHARE_OF_ENGINE / seconds / devices


def render_s() -> float:
    """Seconds that a simulated field takes here, measured on one after a first to warm up."""
    slide = draw_slide(0)
    render_field(slide, DiagnosisClass.HEALTHY, 0)
    start = time.perf_counter()
    render_field(slide, DiagnosisClass.HEALTHY, 1)
    return time.perf_counter() - start
