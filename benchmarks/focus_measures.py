"""Focus measures that the gate's was chosen among, each of a grey plane with 100 as its white; none judges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

import cv2
import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.float32]

_NOISE_KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
#: Gradient energy under which there is nothing but a camera's steps of grey.
_LEAST_EDGES = 5.0


@dataclass(frozen=True, slots=True)
class Seen:
    """A field as a measure gets it."""

    grey: Plane
    #: White noise that the camera's own pixels show, carried to this scale.
    noise: float
    #: Grey level of the background before it was made 100.
    white: float


Measure = Callable[[Seen], float]


def laplacian_variance(grey: Plane) -> float:
    """Pech-Pacheco 2000."""
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())


def modified_laplacian(grey: Plane) -> float:
    """Nayar and Nakagawa 1994."""
    kernel = np.array([[-1, 2, -1]], np.float32)
    across, down = cv2.filter2D(grey, -1, kernel), cv2.filter2D(grey, -1, kernel.T)
    return float((np.abs(across) + np.abs(down)).mean())


def tenengrad(grey: Plane) -> float:
    """Mean squared Sobel gradient."""
    return float((cv2.Sobel(grey, -1, 1, 0) ** 2 + cv2.Sobel(grey, -1, 0, 1) ** 2).mean())


def brenner(grey: Plane) -> float:
    """Brenner 1976."""
    return float(((grey[:, 2:] - grey[:, :-2]) ** 2).mean())


def normalised_variance(grey: Plane) -> float:
    """Groen 1985."""
    return float(grey.var() / grey.mean())


def dct_ratio(grey: Plane) -> float:
    """Energy of the middle frequencies over that of the low ones."""
    side = min(512, *(length // 2 * 2 for length in grey.shape))
    energy = cv2.dct(cv2.resize(grey, (side, side))) ** 2
    away = np.hypot(*np.mgrid[:side, :side]) / side
    middle, low = (away > 0.15) & (away < 0.4), (away > 0.01) & (away < 0.1)
    return float(energy[middle].sum() / energy[low].sum())


def wavelet_ratio(grey: Plane) -> float:
    """Haar detail of the two finest levels over that of the two coarser ones."""
    energies: list[float] = []
    rest: npt.NDArray[np.floating] = grey
    for _ in range(4):
        rest = rest[: rest.shape[0] // 2 * 2, : rest.shape[1] // 2 * 2]
        a, b, c, d = rest[::2, ::2], rest[::2, 1::2], rest[1::2, ::2], rest[1::2, 1::2]
        energies.append(float(((a - b + c - d) ** 2 + (a + b - c - d) ** 2).mean()) / 4)
        rest = (a + b + c + d) / 4
    return (energies[0] + energies[1]) / (energies[2] + energies[3] + 0.5)


def band_ratio(grey: Plane) -> float:
    """Band of 1 to 2 px, less noise, over that of 4 to 8 px."""
    half = np.asarray(cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    fine = _band(grey, 1) - 0.0357 * noise(grey) ** 2
    return 100 * max(0.0, fine) / (_band(half, 2) + 0.5)


def laplacian_over(
    softening_px: float,
    *,
    less_noise: Literal["", "scale", "camera"],
    power: float = 0.0,
    edges_less_noise: bool = False,
) -> Measure:
    """Laplacian energy after a softening, over a power of gradient energy, less noise.

    The noise is measured at the working scale or, where cells leave nothing else, at the camera's own.
    """

    def measure(seen: Seen) -> float:
        soft = _softened(seen.grey, softening_px)
        sigma = {"": 0.0, "scale": noise(seen.grey), "camera": seen.noise}[less_noise]
        fine, coarse = _gains(softening_px)
        detail = max(0.0, laplacian_variance(soft) - fine * sigma**2)
        edges = tenengrad(soft)
        if edges_less_noise:
            edges = max(0.0, edges - coarse * sigma**2)
        return float(detail / (edges + _LEAST_EDGES) ** power)

    return measure


@cache
def _gains(softening_px: float) -> tuple[float, float]:
    """What white noise of variance 1 has left of Laplacian and gradient energy after a softening."""
    point = np.zeros((65, 65), np.float32)
    point[32, 32] = 1
    soft = _softened(point, softening_px)
    laplacian = np.asarray(cv2.Laplacian(soft, cv2.CV_32F))
    return float((laplacian**2).sum()), tenengrad(soft) * soft.size


def _softened(grey: Plane, sigma: float) -> Plane:
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), sigma), np.float32) if sigma else grey


def noise(grey: Plane) -> float:
    """Standard deviation of white noise (Immerkaer 1996); the median ignores edges."""
    response = np.abs(cv2.filter2D(grey, -1, _NOISE_KERNEL)[1::4, 1::3])
    return float(np.median(response)) / 0.6745 / 6


def _band(grey: npt.NDArray[np.float32] | cv2.typing.MatLike, sigma: float) -> float:
    finer, coarser = (
        cv2.GaussianBlur(grey, (0, 0), sigma),
        cv2.GaussianBlur(grey, (0, 0), 2 * sigma),
    )
    return float(np.var(cv2.subtract(finer, coarser)))


def _of_grey(measure: Callable[[Plane], float]) -> Measure:
    return lambda seen: measure(seen.grey)


def laplacian_of_raw_levels(seen: Seen) -> float:
    """Variance of the Laplacian of the camera's own grey levels, the light not divided out."""
    return laplacian_variance(seen.grey) * (seen.white / 100) ** 2


_SOFTENINGS_PX: Final = (0.5, 0.75, 1.0)
_POWERS: Final = (0.2, 0.3, 0.5, 0.7, 1.0)

#: Variance of the Laplacian "over background^2" is plain here: the background is 100 already.
MEASURES: Final[dict[str, Measure]] = {
    "normalised variance": _of_grey(normalised_variance),
    "Tenengrad": _of_grey(tenengrad),
    "Brenner": _of_grey(brenner),
    "modified Laplacian": _of_grey(modified_laplacian),
    "DCT ratio": _of_grey(dct_ratio),
    "Haar wavelet ratio": _of_grey(wavelet_ratio),
    "band ratio less noise": _of_grey(band_ratio),
    "variance of Laplacian, grey levels as they are": laplacian_of_raw_levels,
    "variance of Laplacian / background^2": laplacian_over(0, less_noise=""),
    "the same less noise": laplacian_over(0, less_noise="scale"),
    "L 0.5 px / gradient^0.7 less noise at 0.25 um": laplacian_over(
        0.5, less_noise="scale", power=0.7
    ),
    **{f"L {s:g} px": laplacian_over(s, less_noise="") for s in _SOFTENINGS_PX},
    **{
        f"L {s:g} px less camera noise": laplacian_over(s, less_noise="camera")
        for s in _SOFTENINGS_PX
    },
    **{
        f"L {s:g} px / gradient^{p:g} less camera noise": laplacian_over(
            s, less_noise="camera", power=p
        )
        for s in _SOFTENINGS_PX
        for p in _POWERS
    },
    **{
        f"L {s:g} px / gradient, both less camera noise": laplacian_over(
            s, less_noise="camera", power=1, edges_less_noise=True
        )
        for s in _SOFTENINGS_PX
    },
}
