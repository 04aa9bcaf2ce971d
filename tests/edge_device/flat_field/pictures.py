"""Frames with a light that the tests know: dark discs on an empty background, with noise."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
WIDTH, HEIGHT = 480, 300


def light(centre: tuple[float, float] = (0.1, -0.1), depth: float = 0.3) -> npt.NDArray[np.float32]:
    """A vignette with colour: blue falls off most."""
    x = np.linspace(-1, 1, WIDTH) - centre[0]
    y = np.linspace(-1, 1, HEIGHT) - centre[1]
    corner = (x[None, :] ** 2 + y[:, None] ** 2) / 2
    planes = [1 - depth * share * corner for share in (1.3, 1.0, 0.6)]
    return np.stack(planes, axis=2).astype(np.float32)


#: Another lamp: its light falls off to the other side, and red falls off most.
OTHER_LIGHT = np.ascontiguousarray(light((-0.4, 0.4), 0.22)[:, :, ::-1])


def frame(
    seed: int,
    shading: npt.NDArray[np.float32] | None = None,
    *,
    cells: int = 60,
    level: tuple[float, float, float] = (150, 170, 200),
) -> Pixels:
    """One frame in the light."""
    rng = np.random.default_rng(seed)
    scene = np.ones((HEIGHT, WIDTH, 3), np.float32)
    for _ in range(cells):
        place = (int(rng.integers(0, WIDTH)), int(rng.integers(0, HEIGHT)))
        cv2.circle(scene, place, 9, (0.75, 0.65, 0.85), cv2.FILLED)
    scene *= light() if shading is None else shading
    scene *= np.array(level, np.float32)
    scene += rng.normal(0, 1.5, scene.shape).astype(np.float32)
    return np.asarray(np.clip(scene + 0.5, 0, 255), np.uint8)


def blurred(bgr: Pixels) -> npt.NDArray[np.float64]:
    """The frame's local level per channel; of an empty frame, its light."""
    return np.asarray(cv2.GaussianBlur(bgr.astype(np.float32), (0, 0), 4), np.float64)
