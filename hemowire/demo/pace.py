"""How fast the microscopes capture: half of what this machine can take, unless asked otherwise; it times no engine."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace

import cv2

from cloud_worker.decode import DecodeLimits, decode
from cloud_worker.models.card import Preprocessing
from cloud_worker.opening import OpenRequest, open_image
from cloud_worker.preprocess import Prepared
from cloud_worker.refusal import Refusal
from edge_device.calibration.scale import ScaleUnknownError, estimate_um_per_px
from edge_device.cameras.settings import SimulatedCameraSettings
from edge_device.simulator import DiagnosisClass, draw_slide, render_field
from hemowire.demo.options import DemoOptions
from hemowire.demo.sources import find_images

#: Capture this share of what the machine can take, so that latency is not a queue's.
SHARE = 0.5
#: Tiles a second where the worker did not say.
UNMEASURED = 4.0
#: Processor seconds of an image's way through five programs beside pixels and network: measured with
#: small images here, 15 to 20 ms.
MESSAGES_S = 0.018


@dataclass(frozen=True, slots=True)
class Work:
    """What an image costs."""

    #: Pieces that the network sees; 1 where the first image is refused.
    tiles: int
    #: Processor seconds of everything but the network and the drawing of a simulated field.
    beside_s: float
    #: Processor seconds that a simulated field takes to be drawn; 0 for a folder's.
    drawing_s: float = 0.0


def work_per_image(options: DemoOptions, to: Preprocessing) -> Work:
    """Of the first image, measured here and now."""
    if options.images is not None:
        data = find_images(options.images)[0].read_bytes()
        drawing_s = 0.0
        um_per_px = _scale_of(data, options.um_per_px)
    else:
        camera = SimulatedCameraSettings(kind="simulated")
        data, drawing_s = _draw(camera)
        um_per_px = camera.um_per_px
    request = OpenRequest("0" * 32, um_per_px, to, DecodeLimits())
    # A first image without white cells says nothing of the others.
    opened = open_image(data, replace(request, count_white_cells=False))
    open_image(data, request)  # the first is slower
    start = time.process_time()
    open_image(data, request)
    # The microscope decodes, judges and corrects the same pixels: about as much again.
    beside_s = 2 * (time.process_time() - start) + MESSAGES_S
    tiles = opened.prepared.count if isinstance(opened.prepared, Prepared) else 1
    return Work(tiles, beside_s, drawing_s)


def rate_per_device(
    options: DemoOptions, to: Preprocessing, engine_tiles_per_s: float | None, devices: int
) -> float | None:
    """Images a second of each device; None is as fast as it goes.

    The engine's own rate is of the whole processor (or of a GPU); all else takes its time from the
    same cores, and is added to the engine's before the half is taken.
    """
    if options.rate == "max":
        return None
    if isinstance(options.rate, float):
        return options.rate / devices
    work = work_per_image(options, to)
    seconds = work.tiles / (engine_tiles_per_s or UNMEASURED)
    seconds += (work.beside_s + work.drawing_s) / (os.cpu_count() or 1)
    return SHARE / seconds / devices


def _scale_of(data: bytes, asked: float | str | None) -> float | None:
    if not isinstance(asked, str):
        return asked
    pixels = decode(data)
    try:
        return None if isinstance(pixels, Refusal) else estimate_um_per_px(pixels).um_per_px
    except ScaleUnknownError:
        return None


def _draw(camera: SimulatedCameraSettings) -> tuple[bytes, float]:
    """A simulated field as a file, and the seconds that it takes after a first to warm up."""
    slide = draw_slide(0)
    render_field(slide, DiagnosisClass.HEALTHY, 0)
    start = time.process_time()
    field = render_field(
        slide,
        DiagnosisClass.HEALTHY,
        1,
        width_px=camera.width_px,
        height_px=camera.height_px,
        um_per_px=camera.um_per_px,
    )
    took_s = time.process_time() - start
    done, data = cv2.imencode(".jpg", cv2.cvtColor(field.image, cv2.COLOR_RGB2BGR))
    if not done:
        raise RuntimeError("OpenCV cannot encode a simulated field")
    return bytes(data), took_s
