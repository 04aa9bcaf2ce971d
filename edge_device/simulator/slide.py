"""A slide: stain, light, optics and camera, drawn from a seed and never from the class.

The slide id is the group of all its fields: a split with fields of one slide on both sides leaks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Absorbance per unit of dye in linear light (R, G, B): the species that a Romanowsky stain leaves.
AZURE_VIOLET, AZURE_BLUE, EOSIN, HAEMOGLOBIN = range(4)
DYES = 4
# Azure B stacked on DNA is violet; laboratories lie between a deep purple and a bright blue-violet.
_VIOLET = ((1.00, 1.36, 0.56), (0.92, 1.28, 0.22))
_BLUE = (0.98, 0.62, 0.15)  # azure B on RNA
_EOSIN = (0.16, 0.92, 0.78)  # eosin Y on basic proteins: salmon
# Haemoglobin with eosin through thin cells: pink in an acid buffer, slate blue in an alkaline one.
_HAEMOGLOBIN = ((0.36, 0.74, 0.62), (0.78, 0.66, 0.40))

# An operator exposes so that the empty slide, with its noise, is just below clipping.
_WHITE_LEVEL = (218.0, 243.0)

_SLIDE_STREAM = 11


@dataclass(frozen=True, slots=True)
class Slide:
    """One simulated slide under one microscope and camera."""

    seed: int
    slide_id: str
    stain_matrix: npt.NDArray[np.float32]  # (4, 3) absorbance of each dye species
    stain_strength: float
    red_cell_strength: float
    background_rgb: tuple[float, float, float]  # colour of the empty slide in linear light
    white_level: float  # of 255, to which the empty slide is exposed where it is brightest
    white_balance: tuple[float, float, float]
    gamma: float
    saturation: float
    plasma: float  # stain of the dried plasma between the cells
    red_cell_cover: float  # share of the area under red cells, 0..1
    red_cell_overlap: float  # how readily they lie on each other, 0..1
    red_cell_clumping: float
    red_cell_chains: float  # share that lies against another one, 0..1
    red_cell_pallor: float
    red_cell_crenation: float  # share of cells with a scalloped rim, 0..1
    platelets_per_mm2: float
    vignetting: float  # loss of light in the corners, 0..1
    vignetting_centre: tuple[float, float]
    shading_rgb: tuple[float, float, float]  # colour cast that grows towards the corners
    blur_um: float
    defocus: float  # signed; makes rims bright or dark and blurs
    tilt: float  # defocus gained from one side of the field to the other
    tilt_direction: float
    fringe_px: float  # lateral colour error at the edge of a 640-pixel field
    photons: float  # electrons at full scale: sets the shot noise
    read_noise: float
    sharpening: float
    dirt: float
    jpeg_quality: int


def slide_seed(seed: int, stream: int, index: int) -> int:
    """An unrelated 63-bit slide seed for the index-th slide of a stream."""
    words = np.random.SeedSequence([seed, stream, index]).generate_state(2, np.uint32)
    return (int(words[0]) << 31) ^ int(words[1])


def draw_slide(seed: int) -> Slide:
    """Draw a slide; the same seed gives the same slide, whatever will be rendered on it."""
    rng = np.random.default_rng([_SLIDE_STREAM, seed])

    def between(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    brightness, acidity = between(0, 1) ** 1.5, between(0, 1) ** 1.6
    matrix = np.array(
        [_mix(_VIOLET, brightness), _BLUE, _EOSIN, _mix(_HAEMOGLOBIN, acidity)], np.float64
    )
    matrix *= np.exp(rng.normal(0, 0.05, (4, 3))) * np.exp(rng.normal(0, 0.08, (4, 1)))
    warmth = between(-0.55, 1.0)
    white_level = between(*_WHITE_LEVEL)
    background = (
        (1 - 0.28 * max(-warmth, 0.0)) * float(np.exp(rng.normal(0, 0.015))),
        1 - 0.17 * max(warmth, 0.0) - 0.12 * max(-warmth, 0.0),
        (1 - 0.34 * max(warmth, 0.0)) * float(np.exp(rng.normal(0, 0.02))),
    )
    return Slide(
        seed=seed,
        slide_id=f"slide-{seed:016x}",
        stain_matrix=matrix.astype(np.float32),
        stain_strength=float(np.exp(rng.normal(0, 0.16))),
        red_cell_strength=float(np.exp(rng.normal(-0.35, 0.24))),
        background_rgb=background,
        white_level=white_level,
        white_balance=(between(0.96, 1.04), 1.0, between(0.96, 1.04)),
        gamma=between(2.0, 2.5),
        saturation=between(0.88, 1.25),
        plasma=between(0.0, 0.06) ** 1.2,
        red_cell_cover=between(0.18, 0.72),
        red_cell_overlap=between(0.0, 0.6) ** 1.5,
        red_cell_clumping=between(0.0, 1.2),
        red_cell_chains=between(0.05, 0.75),
        red_cell_pallor=between(0.15, 0.95),
        red_cell_crenation=between(0.0, 0.8) ** 4,
        platelets_per_mm2=between(200, 1400),
        vignetting=between(0.05, 0.25),
        vignetting_centre=(between(-0.15, 0.15), between(-0.15, 0.15)),
        shading_rgb=(between(-0.05, 0.05), between(-0.03, 0.03), between(-0.05, 0.05)),
        blur_um=between(0.12, 0.25),
        defocus=float(rng.normal(0, 0.38)),
        tilt=between(0.0, 0.6),
        tilt_direction=between(0.0, 2 * np.pi),
        fringe_px=float(rng.normal(0, 0.5)),
        photons=float(10 ** rng.uniform(3.4, 4.3)),
        read_noise=between(0.001, 0.005),
        sharpening=between(0.0, 0.6),
        dirt=between(0.0, 1.0) ** 2,
        jpeg_quality=int(rng.integers(78, 97)),
    )


def _mix(
    ends: tuple[tuple[float, ...], tuple[float, ...]], share: float
) -> npt.NDArray[np.float64]:
    return (1 - share) * np.array(ends[0]) + share * np.array(ends[1])
