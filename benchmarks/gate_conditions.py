"""Good and blurred real fields under other noise, stain and light than the gate was calibrated in; it judges none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.gate_frames import (
    BLURS,
    OUT_OF_FOCUS,
    SCALES,
    Frame,
    Image,
    Light,
    camera_noise,
    defocused,
    paths_of,
    read,
    with_noise,
)


@dataclass(frozen=True, slots=True)
class Condition:
    """What differs from the field as it was taken."""

    name: str
    #: Power of the transmitted light, channel by channel: the stain's density times this.
    stain: float = 1.0
    exposure: float = 1.0
    #: Grey levels added to the camera's own noise (as squares add up), after blur and exposure.
    noise: float = 0.0


CONDITIONS: Final = (
    Condition("noise 2", noise=2),
    Condition("noise 4", noise=4),
    Condition("noise 8", noise=8),
    Condition("stain x0.7", stain=0.7),
    Condition("stain x1.3", stain=1.3),
    Condition("exposure x0.6", exposure=0.6),
    Condition("exposure x1.1", exposure=1.1),
    Condition("stain and exposure x0.7, noise 4", stain=0.7, exposure=0.7, noise=4),
)


def varied(root: Path, device: str, *, most: int, seed: int) -> Iterator[tuple[str, Frame]]:
    """Each condition's name with a good frame or one with a blur that counts."""
    rng = np.random.default_rng(seed)
    for path, slide in paths_of(root, device, most):
        if path.stem in OUT_OF_FOCUS:
            continue
        image = read(path)
        own = camera_noise(image)
        for stain in sorted({condition.stain for condition in CONDITIONS}):
            light = stained(image, stain)
            pictures = [("", light, 0.0)] + [
                (f"blur {sigma:g} px", defocused(light, sigma, kind), own)
                for sigma in BLURS[device]
                for kind in ("gaussian", "disc")
            ]
            for condition in CONDITIONS:
                if condition.stain != stain:
                    continue
                for bad, picture, noise in pictures:
                    taken = with_noise(
                        picture * np.float32(condition.exposure),
                        float(np.hypot(noise, condition.noise)),
                        rng,
                    )
                    frame = Frame(device, slide, path.stem, bad, taken, SCALES[device])
                    yield condition.name, frame


def stained(image: Image, strength: float) -> Light:
    """The same field with a stain of another strength (Beer-Lambert, against the background)."""
    light = image.astype(np.float32)
    if strength == 1:
        return light
    background = np.percentile(light.reshape(-1, 3)[::7], 95, axis=0).astype(np.float32)
    background = np.maximum(background, 1)
    share = np.maximum(light / background, np.float32(1e-3))
    return np.asarray(background * np.power(share, np.float32(strength)), np.float32)
