"""Fitting a bundle's foreignness score on its training part; it sees no image that a threshold is fixed on.

Each score is fitted on images as they are and on the same ones with small changes of light, focus and
JPEG quality: what a good laboratory's own variation looks like must not count as foreign.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from cloud_worker.engines.engine import Outputs
from cloud_worker.foreignness.energy import Energy
from cloud_worker.foreignness.joint import fit_joint, textures_of
from cloud_worker.foreignness.mahalanobis import fit_mahalanobis
from cloud_worker.foreignness.neighbours import fit_neighbours
from cloud_worker.foreignness.patches import fit_patches, places_of
from cloud_worker.foreignness.residual import fit_virtual_logit
from cloud_worker.foreignness.score import Foreignness, percentile_table
from cloud_worker.models.card import OutOfDistribution

Rgb = NDArray[np.uint8]

FIT_IMAGES = 800
CARRIED: Final = "joint"
"""The score that new bundles carry: chosen by the five tests (docs/models/judging.md)."""
PLACES_OF = 150
"""Images whose places are kept, where a score needs places."""
_GAIN, _BLUR_PX, _QUALITY = 0.12, 1.0, (65, 95)


@dataclass(frozen=True, slots=True)
class Learned:
    """What training tiles look like to the network."""

    features: NDArray[np.float32]
    """N,C."""
    textures: NDArray[np.float32]
    """N,2C: means and deviations."""
    logits: NDArray[np.float32]
    """N,K."""
    places: NDArray[np.float32]
    """P,C of some tiles' last maps."""
    labels: NDArray[np.int64]
    """N."""
    place_labels: NDArray[np.int64]
    """P."""
    fifths: NDArray[np.int64]
    """N: which fifth of the file order a tile comes from; 0 where nobody asks."""
    place_fifths: NDArray[np.int64]
    """P."""

    def without(self, kind: int) -> Learned:
        """As if the class had never been there."""
        return self._kept(self.labels != kind, self.place_labels != kind)

    def without_fifth(self, fifth: int) -> Learned:
        """As if that stretch of files had never been there."""
        return self._kept(self.fifths != fifth, self.place_fifths != fifth)

    def _kept(self, kept: NDArray[np.bool_], places: NDArray[np.bool_]) -> Learned:
        return Learned(
            self.features[kept],
            self.textures[kept],
            self.logits[kept],
            self.places[places],
            self.labels[kept],
            self.place_labels[places],
            self.fifths[kept],
            self.place_fifths[places],
        )


def small_changes(image: Rgb, seed: int) -> Rgb:
    """Light, focus and JPEG quality a little off, each drawn from the seed."""
    rng = np.random.default_rng([41, seed])
    gains = 1 + rng.uniform(-_GAIN, _GAIN, 3)
    changed = np.clip(np.rint(image * gains), 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        changed = np.asarray(
            cv2.GaussianBlur(changed, (0, 0), rng.uniform(0.2, _BLUR_PX)), np.uint8
        )
    if rng.random() < 0.5:
        quality = int(rng.integers(*_QUALITY))
        data = cv2.imencode(".jpg", changed, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        changed = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return changed


class Learner:
    """Takes outputs one by one and keeps of each what scores are fitted on; its maps only of some."""

    def __init__(self, *, places_of_every: int = 0) -> None:
        self._every = places_of_every
        self._features: list[NDArray[np.float32]] = []
        self._textures: list[NDArray[np.float32]] = []
        self._logits: list[NDArray[np.float32]] = []
        self._labels: list[int] = []
        self._places: list[NDArray[np.float32]] = []
        self._place_labels: list[int] = []
        self._fifths: list[int] = []
        self._place_fifths: list[int] = []
        self._count = 0

    def add(self, seen: Outputs, labels: Sequence[int], fifth: int = 0) -> None:
        """Tiles of one image, the class number of each, and where in the file order the image stands."""
        self._features.append(seen.features.astype(np.float32))
        self._textures.append(textures_of(seen))
        self._logits.append(seen.logits.astype(np.float32))
        self._labels += [int(label) for label in labels]
        self._fifths += [fifth] * len(labels)
        for maps, label in zip(seen.maps, labels, strict=True):
            if self._every and self._count % self._every == 0:
                places = places_of(maps[None])[0].astype(np.float32)
                self._places.append(places)
                self._place_labels += [int(label)] * len(places)
                self._place_fifths += [fifth] * len(places)
            self._count += 1

    def learned(self) -> Learned:
        """All that was kept."""
        features = np.concatenate(self._features)
        none = np.zeros((0, features.shape[1]), np.float32)
        return Learned(
            features=features,
            textures=np.concatenate(self._textures),
            logits=np.concatenate(self._logits),
            places=np.concatenate(self._places) if self._places else none,
            labels=np.array(self._labels, np.int64),
            place_labels=np.array(self._place_labels, np.int64),
            fifths=np.array(self._fifths, np.int64),
            place_fifths=np.array(self._place_fifths, np.int64),
        )


def carried_card(
    score: Foreignness, calibration: NDArray[np.float64], percentile: float, *, images: int
) -> OutOfDistribution:
    """What a card says of a fitted score, its threshold fixed on the calibration part's distances."""
    return OutOfDistribution.model_validate(
        {
            "kind": score.kind,
            "dims": score.dims,
            "tensors": tuple(sorted(score.tensors())),
            "percentiles": percentile_table(calibration),
            "threshold": float(np.percentile(calibration, percentile)),
            "fitted_on": "train part, as it is and with small changes of light, focus and JPEG "
            f"quality; threshold: {percentile:g} % of the calibration part, {images} images",
        }
    )


def fit_score(kind: str, learned: Learned, dims: int = 64) -> Foreignness:
    """A score of this kind; ValueError for a name that is none."""
    if kind == "mahalanobis":
        return fit_mahalanobis(learned.features, learned.labels, dims)
    if kind == "joint":
        return fit_joint(learned.features, learned.textures, learned.labels, dims)
    if kind == "neighbours":
        return fit_neighbours(learned.features, dims)
    if kind == "vim":
        return fit_virtual_logit(learned.features, learned.logits, dims)
    if kind == "energy":
        return Energy()
    if kind == "patches":
        return fit_patches(learned.places, dims)
    raise ValueError(f"no foreignness score {kind!r}")
