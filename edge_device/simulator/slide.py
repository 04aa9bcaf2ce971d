"""A slide: stain, light, optics and camera, drawn from a seed and never from the class.

The slide id is the group of all its fields: a split with fields of one slide on both sides leaks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Absorbance per unit of dye in linear light (R, G, B): the species that a Romanowsky stain leaves.
AZURE_VIOLET, AZURE_BLUE, EOSIN, HAEMOGLOBIN = range(4)
_STAIN_MATRIX = np.array(
    [
        [1.00, 1.32, 0.48],  # azure B stacked on DNA: violet
        [1.00, 0.62, 0.17],  # azure B on RNA: blue
        [0.16, 0.88, 0.74],  # eosin Y on basic proteins: salmon
        [0.42, 0.62, 0.58],  # haemoglobin with eosin, seen through thin cells
    ],
    dtype=np.float32,
)

_SLIDE_STREAM = 11


@dataclass(frozen=True, slots=True)
class Slide:
    """One simulated slide under one microscope and camera."""

    seed: int
    slide_id: str
    stain_matrix: npt.NDArray[np.float32]  # (4, 3) absorbance of each dye species
    stain_strength: float
    red_cell_tint: tuple[float, float]  # eosin and azure mixed into the red cells (buffer pH)
    background_rgb: tuple[float, float, float]  # linear light of the empty slide
    white_balance: tuple[float, float, float]
    gamma: float
    saturation: float
    red_cell_cover: float  # share of the area under red cells, 0..1
    red_cell_overlap: float  # how readily they lie on each other, 0..1
    red_cell_clumping: float
    red_cell_pallor: float
    platelets_per_mm2: float
    vignetting: float  # loss of light in the corners, 0..1
    vignetting_centre: tuple[float, float]
    shading_rgb: tuple[float, float, float]  # colour cast that grows towards the corners
    blur_um: float
    defocus: float  # signed; makes rims bright or dark and blurs
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

    matrix = (
        _STAIN_MATRIX * np.exp(rng.normal(0, 0.07, (4, 3))) * np.exp(rng.normal(0, 0.12, (4, 1)))
    )
    warmth = between(-1.0, 1.0)
    background = (
        between(0.82, 1.0),
        between(0.84, 0.97) - 0.05 * max(warmth, 0.0),
        between(0.84, 0.97) - 0.20 * max(warmth, 0.0),
    )
    return Slide(
        seed=seed,
        slide_id=f"slide-{seed:016x}",
        stain_matrix=matrix.astype(np.float32),
        stain_strength=float(np.exp(rng.normal(0, 0.16))),
        red_cell_tint=(between(0.0, 0.35), between(0.0, 0.30)),
        background_rgb=background,
        white_balance=(between(0.93, 1.07), 1.0, between(0.93, 1.07)),
        gamma=between(2.0, 2.5),
        saturation=between(0.85, 1.25),
        red_cell_cover=between(0.15, 0.70),
        red_cell_overlap=between(0.0, 0.6) ** 1.5,
        red_cell_clumping=between(0.0, 1.2),
        red_cell_pallor=between(0.45, 1.0),
        platelets_per_mm2=between(200, 1400),
        vignetting=between(0.05, 0.25),
        vignetting_centre=(between(-0.15, 0.15), between(-0.15, 0.15)),
        shading_rgb=(between(-0.05, 0.05), between(-0.03, 0.03), between(-0.05, 0.05)),
        blur_um=between(0.12, 0.25),
        defocus=float(rng.normal(0, 0.45)),
        photons=float(10 ** rng.uniform(3.4, 4.3)),
        read_noise=between(0.001, 0.005),
        sharpening=between(0.0, 0.5),
        dirt=between(0.0, 1.0) ** 2,
        jpeg_quality=int(rng.integers(78, 97)),
    )
