"""The gate's labelled frames: real fields as they are, and spoilt in known ways; it judges none of them.

Slides: of chula the file name's prefix, of ball4 the near-duplicate group, of pbc (one cell a
picture, no slide known) the file. What is bad, and why, stands beside BLURS.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Light = npt.NDArray[np.float32]

#: um per pixel: of red cells 7.2 um across (ball4's own bundle says 0.56 of the same pictures).
SCALES: Final = {"chula": 0.10, "ball4": 0.50, "pbc": 0.10}
#: Gaussian sigma in px that counts as bad. ball4: from 0.75 um on, where 26 % of the results of
#: ball4-densenet121 change (11 % at 0.5 um). chula and pbc: from 0.4 um on, stricter, because
#: chromatin is gone for the eye; nothing in those sets tells which result is right.
BLURS: Final = {"chula": (4.0, 6.0, 8.0), "ball4": (1.5, 2.0, 3.0), "pbc": (4.0, 6.0, 8.0)}
#: Milder, for the record; not counted.
MILD: Final = {"chula": (2.0, 3.0), "ball4": (0.75, 1.0), "pbc": (2.0, 3.0)}
#: Out of focus as it was taken, by eye beside N-1B_0247, the same field in focus; looked at because
#: one measure set it apart.
OUT_OF_FOCUS: Final = frozenset({"N-1B_0246"})
#: Crops of 720x450 px away from every YOLO box that hold an unlabelled white cell all the same,
#: found by eye; position 0 to 8, row by row in steps of (225, 360) px.
_UNLABELLED: Final = frozenset(
    (
        *("B-57_0061:8", "B-57_0063:4", "B-57_0063:6", "B-59_0179:6", "B-59_0179:8"),
        *("B-59_0180:8", "E-11_0609:0", "L-3B_0479:0", "M-3B_0480:6", "N-1B_0254:2"),
        *("E-4B_0192:8", "N-1B_0253:2"),
    )
)
#: Crops of 112x112 px of ball4 without any white cell, by eye: class, number, top, left.
_BALL4_EMPTY: Final = (
    "Benign 142 56 0,Benign 247 0 0,Benign 301 0 112,Benign 307 0 0,Benign 392 0 0,Benign 423 0 0,"
    "Benign 455 0 0,Early 073 56 0,Early 213 56 0,Early 570 0 0,Early 697 0 0,Pre 038 0 0,"
    "Pre 199 0 0,Pre 251 0 0,Pre 255 56 112,Pre 273 0 0,Pro 004 0 0,Pro 038 0 0,Pro 179 0 0,"
    "Pro 194 56 56,Pro 233 0 0,Pro 303 56 0,Pro 334 0 0,Pro 581 0 0,Pro 612 0 0"
)


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture with what is wrong with it; "" is good."""

    device: str
    slide: str
    name: str
    bad: str
    image: Image
    um_per_px: float


def disc(radius: float) -> npt.NDArray[np.float32]:
    """The blur of geometric defocus, sum 1."""
    reach = int(np.ceil(radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    kernel = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)
    return np.asarray(kernel / kernel.sum(), np.float32)


def blurred(image: Image, sigma: float, kind: str, rng: np.random.Generator) -> Image:
    """Out of focus: the optics blur, then the camera's noise, as much as the field had."""
    return with_noise(defocused(image.astype(np.float32), sigma, kind), camera_noise(image), rng)


def defocused(light: Light, sigma: float, kind: str) -> Light:
    """A defocus disc of radius 2 sigma has the variance of a Gaussian of sigma."""
    if kind == "gaussian":
        return np.asarray(cv2.GaussianBlur(light, (0, 0), sigma), np.float32)
    return np.asarray(cv2.filter2D(light, -1, disc(2 * sigma)), np.float32)


def with_noise(light: Light, sigma: float, rng: np.random.Generator) -> Image:
    """As a camera gives it, its noise the same in all channels and without a JPEG after it.

    Noise of each channel by itself, then a JPEG of 92, left a fifth of the noise that real fields
    show in their grey: such blurred pictures were told by their quiet, not by their blur.
    """
    if sigma:
        noise = rng.standard_normal(light.shape[:2], dtype=np.float32) * np.float32(sigma)
        light = light + noise[..., None]
    return np.clip(np.rint(light), 0, 255).astype(np.uint8)


def exposed(image: Image, gain: float) -> Image:
    """The camera's exposure times `gain` (in its own tone curve)."""
    return np.asarray(cv2.convertScaleAbs(image, alpha=gain), np.uint8)


def labelled(root: Path, device: str, *, most: int, seed: int) -> Iterator[Frame]:
    """Every good frame of a device with its spoilt versions."""
    rng = np.random.default_rng(seed)
    scale = SCALES[device]
    for path, slide in paths_of(root, device, most):
        image = read(path)
        if path.stem in OUT_OF_FOCUS:
            yield Frame(device, slide, path.stem, "defocus as taken", image, scale)
            continue
        frames: list[tuple[str, Image]] = [("", image)]
        for sigma in BLURS[device]:
            for kind in ("gaussian", "disc"):
                frames.append((f"blur {sigma:g} px", blurred(image, sigma, kind, rng)))
        for sigma in MILD[device]:
            frames.append((f"mild blur {sigma:g} px", blurred(image, sigma, "gaussian", rng)))
        for gain in (0.2, 0.3):
            frames.append(("too dark", exposed(image, gain)))
        white = float(np.percentile(image, 95))
        for gain in (1.8, 2.5):
            frames.append(("too bright", exposed(image, 255 / white * gain)))
        for bad, picture in frames:
            yield Frame(device, slide, path.stem, bad, picture, scale)
        if device == "chula":
            for place, picture in red_cells_only(path, image):
                yield Frame(device, slide, f"{path.stem}:{place}", "no white cell", picture, scale)
            for corner, picture in backgrounds(image):
                yield Frame(device, slide, f"{path.stem}@{corner}", "empty", picture, scale)
    if device == "ball4":
        yield from _ball4_red_cells_only(root)


def paths_of(root: Path, device: str, most: int) -> list[tuple[Path, str]]:
    """At most `most` good pictures, evenly over the set, each with its slide."""
    if device == "chula":
        paths = sorted((root / "chula_fields").glob("*/*.jpg"))
        found = [(path, path.stem.rsplit("_", 1)[0]) for path in paths]
    elif device == "pbc":
        paths = sorted((root / "pbc").glob("*/*.jpg"))
        found = [(path, path.stem) for path in paths if path.parent.name != "platelet"]
    else:
        with (root / "ball4" / "index.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        found = [(root / "ball4" / row["path"], row["near_duplicate_group"]) for row in rows]
    step = max(1, len(found) // most)
    return found[::step][:most]


def read(path: Path) -> Image:
    """A picture as BGR; ValueError names one that cannot be read."""
    image = cv2.imread(str(path))
    if image is None:
        raise ValueError(f"{path} is no picture")
    return np.asarray(image, np.uint8)


def red_cells_only(path: Path, image: Image) -> Iterator[tuple[int, Image]]:
    """Crops of half a chula field without a white cell."""
    height, width = image.shape[:2]
    boxes = _boxes(path, width, height)
    for place in (0, 2, 4, 6, 8):
        top, left = 225 * (place // 3), 360 * (place % 3)
        if f"{path.stem}:{place}" in _UNLABELLED:
            continue
        if not any(
            left - 20 < x1 and x0 < left + 740 and top - 20 < y1 and y0 < top + 470
            for x0, y0, x1, y1 in boxes
        ):
            yield place, np.ascontiguousarray(image[top : top + 450, left : left + 720])


def backgrounds(image: Image) -> Iterator[tuple[str, Image]]:
    """Windows of a field that hold no cell at all: even but for noise over 300x300 px."""
    side = 300
    for top in range(0, image.shape[0] - side + 1, 100):
        for left in range(0, image.shape[1] - side + 1, 100):
            window = image[top : top + side, left : left + side]
            small = cv2.resize(
                cv2.cvtColor(window, cv2.COLOR_BGR2GRAY), (30, 30), interpolation=cv2.INTER_AREA
            ).astype(np.float32)
            if float(np.abs(small - cv2.GaussianBlur(small, (0, 0), 3)).max()) < 3.0:
                yield f"{top},{left}", np.ascontiguousarray(window)
                return


def _ball4_red_cells_only(root: Path) -> Iterator[Frame]:
    for entry in _BALL4_EMPTY.split(","):
        kind, number, top, left = entry.split()
        prefix = "WBC-Benign" if kind == "Benign" else f"WBC-Malignant-{kind}"
        path = root / "ball4" / "original" / kind / f"{prefix}-{number}.jpg"
        y, x = int(top), int(left)
        image = np.ascontiguousarray(read(path)[y : y + 112, x : x + 112])
        yield Frame("ball4", path.stem, path.stem, "no white cell", image, SCALES["ball4"])


def _boxes(path: Path, width: int, height: int) -> list[tuple[float, float, float, float]]:
    boxes = []
    for line in path.with_suffix(".txt").read_text(encoding="utf-8").splitlines():
        if line.strip():
            x, y, w, h = (float(word) for word in line.split()[1:])
            boxes.append(
                (
                    (x - w / 2) * width,
                    (y - h / 2) * height,
                    (x + w / 2) * width,
                    (y + h / 2) * height,
                )
            )
    return boxes


def camera_noise(image: Image) -> float:
    """The field's own noise, median of its channels (Immerkaer 1996)."""
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    response = np.abs(cv2.filter2D(image.astype(np.float32), -1, kernel))[1::4, 1::3]
    return float(np.median(np.median(response.reshape(-1, 3), axis=0)) / 0.6745 / 6)
