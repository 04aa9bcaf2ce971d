"""The fields that previews are made of: simulated, a Raspberry Pi's, mosaics of real cells, as files that travel."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.encoding import BALL4_UM_PER_PX, CHULA_UM_PER_PX
from cloud_worker.models.bundle import Bundle
from edge_device.encoding.encode import Encoded, EncodeSettings, encode, open_pixels
from edge_device.simulator import DiagnosisClass, draw_slide, render_field
from training.data import read_data_set, read_image
from training.own_images import test_part

Rgb = NDArray[np.uint8]
SIMULATED_PX: Final = (1920, 1080)
SIMULATED_UM_PER_PX: Final = 0.2
#: Images of one class side by side: the four-class set has single images, no fields.
MOSAIC: Final = (4, 3)
BALL4_CLASSES: Final = ("Benign", "Early", "Pre", "Pro")


@dataclass(frozen=True, slots=True)
class Source:
    """A set of fields, and the bundle that answers on them."""

    name: str
    what: str
    um_per_px: float
    bundle: Bundle
    #: The files of the fields, in order.
    files: Iterator[bytes]


def simulated(bundle: Bundle, count: int) -> Source:
    """One field of each of `count` slides, classes in turn, as a camera with default settings sends it."""
    return Source(
        "simulated",
        f"synthetic fields, {SIMULATED_PX[0]}x{SIMULATED_PX[1]}, encoded as a device does",
        SIMULATED_UM_PER_PX,
        bundle,
        _simulated(count),
    )


def chula(root: Path, bundle: Bundle, count: int) -> Source:
    """Whole fields of a Raspberry Pi camera, the files as they are."""
    files = sorted((root / "chula_fields").rglob("*.jpg"))[:count]
    return Source(
        "chula",
        "Raspberry Pi fields, 1440x900, the files as they are, real; read at the coarsest scale that "
        "the bundle takes: by their red cells they have 0.10 um per pixel, at which the full image's "
        "answer is magnification and no draft is made of a preview",
        CHULA_UM_PER_PX,
        bundle,
        (file.read_bytes() for file in files),
    )


def ball4(root: Path, bundle: Bundle, count: int) -> Source:
    """Mosaics of held-out real images of one class, as if they were one field."""
    across, down = MOSAIC
    return Source(
        "ball4",
        f"held-out images of one class, real, {across} x {down} of them side by side as one field of "
        f"{224 * across}x{224 * down}: by itself each is so small that it rides in its offer",
        BALL4_UM_PER_PX,
        bundle,
        _mosaics(root, bundle, count),
    )


def real_data() -> Path | None:
    """Where HEMOWIRE_REAL_DATA says that real data lie."""
    found = os.environ.get("HEMOWIRE_REAL_DATA")
    return None if found is None else Path(found)


def _simulated(count: int) -> Iterator[bytes]:
    kinds = list(DiagnosisClass)
    width, height = SIMULATED_PX
    for number in range(count):
        field = render_field(
            draw_slide(9500 + number),
            kinds[number % len(kinds)],
            0,
            width_px=width,
            height_px=height,
            um_per_px=SIMULATED_UM_PER_PX,
        )
        yield _file(field.image)


def _mosaics(root: Path, bundle: Bundle, count: int) -> Iterator[bytes]:
    samples = read_data_set(root / "ball4", list(BALL4_CLASSES), um_per_px=BALL4_UM_PER_PX)
    held_out = test_part(bundle, samples)
    across, down = MOSAIC
    wanted = across * down
    for number in range(count):
        label = BALL4_CLASSES[number % len(BALL4_CLASSES)]
        own = [sample for sample in held_out if sample.label == label]
        order = np.random.default_rng(number).permutation(len(own))[:wanted]
        images = [read_image(own[at].path) for at in order]
        rows = [np.hstack(images[at : at + across]) for at in range(0, wanted, across)]
        yield _file(np.ascontiguousarray(np.vstack(rows)))


def _file(rgb: Rgb) -> bytes:
    bgr = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), np.uint8)
    encoded = encode(open_pixels(bgr), EncodeSettings())
    if not isinstance(encoded, Encoded):
        raise SystemExit(f"a field cannot be encoded: {encoded.text}")
    return encoded.data
