"""Focus measures that the gate's was chosen among, each of a grey plane with 100 as its white; none judges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.float32]

_NOISE_KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
#: Variance of white noise after the Laplacian, plain and after a blur of half a pixel.
_PLAIN_GAIN, _SOFT_GAIN = 20.0, 5.04


def laplacian_variance(grey: Plane) -> float:
    """Pech-Pacheco 2000."""
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())


def laplacian_variance_less_noise(grey: Plane) -> float:
    """The same, less what the camera's noise (Immerkaer 1996) alone would have."""
    return max(0.0, laplacian_variance(grey) - _PLAIN_GAIN * noise(grey) ** 2)


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
    """Band of 1 to 2 px, less noise, over that of 4 to 8 px: the gate's first measure."""
    half = np.asarray(cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    fine = _band(grey, 1) - 0.0357 * noise(grey) ** 2
    return 100 * max(0.0, fine) / (_band(half, 2) + 0.5)


def detail_per_edges(power: float) -> Callable[[Plane], float]:
    """Laplacian energy, less noise, over a power of gradient energy; 0.7 is the gate's."""

    def measure(grey: Plane) -> float:
        soft = np.asarray(cv2.GaussianBlur(grey, (0, 0), 0.5), np.float32)
        detail = laplacian_variance(soft) - _SOFT_GAIN * noise(grey) ** 2
        return float(max(0.0, detail) / (tenengrad(soft) + 20) ** power)

    return measure


def noise(grey: Plane) -> float:
    """Standard deviation of white noise; the median ignores edges."""
    response = np.abs(cv2.filter2D(grey, -1, _NOISE_KERNEL)[1::4, 1::3])
    return float(np.median(response)) / 0.6745 / 6


def _band(grey: npt.NDArray[np.float32] | cv2.typing.MatLike, sigma: float) -> float:
    finer, coarser = (
        cv2.GaussianBlur(grey, (0, 0), sigma),
        cv2.GaussianBlur(grey, (0, 0), 2 * sigma),
    )
    return float(np.var(cv2.subtract(finer, coarser)))


MEASURES: Final[dict[str, Callable[[Plane], float]]] = {
    "normalised variance": normalised_variance,
    "Tenengrad": tenengrad,
    "Brenner": brenner,
    "modified Laplacian": modified_laplacian,
    "variance of Laplacian": laplacian_variance,
    "variance of Laplacian less noise": laplacian_variance_less_noise,
    "DCT ratio": dct_ratio,
    "Haar wavelet ratio": wavelet_ratio,
    "band ratio less noise (the gate's first)": band_ratio,
    "Laplacian / gradient^0 less noise": detail_per_edges(0),
    "Laplacian / gradient^0.5 less noise": detail_per_edges(0.5),
    "Laplacian / gradient^0.7 less noise (the gate's)": detail_per_edges(0.7),
    "Laplacian / gradient^1 less noise": detail_per_edges(1),
}
