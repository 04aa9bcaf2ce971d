"""Batches of one stage: shuffled, augmented and turned into what a network is given.

Order and augmentation depend on (seed, stage, epoch) alone, so a resumed run sees the batches that an
uninterrupted one would have seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cloud_worker.models.card import Preprocessing
from cloud_worker.preprocess import normalise
from training.augment import augment, cut_part
from training.backgrounds import background_colours, with_background
from training.recipe import Augmentation, Stage

Tiles = NDArray[np.uint8]
Numbers = NDArray[np.int64]
Pictures = tuple[Tensor, ...]
"""One batch N,3,H,W per picture that the network sees."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What one stage learns: tiles, the number of each one's class, and how many classes there are."""

    tiles: Tiles
    """T,H,W,3 in RGB, or T,H,W,4: what a segmentation keeps, or a white cell, is 255 in the fourth."""
    labels: Numbers
    classes: int
    balance: float
    """1 shows every class equally often, 0 as often as it comes."""
    inputs: tuple[str, ...] = ("original",)
    """The pictures of the network, as its row of the table says."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a network is given at once, and what it should say."""

    shown: Pictures
    labels: Tensor
    kept: Tensor | None
    """N,1,H,W: 1 where the tiles' fourth channel is set; None where they have none."""


@dataclass(frozen=True, slots=True)
class Batches:
    """All epochs of one stage."""

    lesson: Lesson
    stage: Stage
    by: Augmentation
    preprocessing: Preprocessing
    seed: tuple[int, int]
    """The recipe's seed and the stage's number."""

    @property
    def count(self) -> int:
        """Batches of one epoch; what does not fill a batch waits for another epoch."""
        return max(1, len(self.lesson.labels) // self.stage.batch)

    def of(self, epoch: int) -> Iterator[Batch]:
        """The batches of one epoch; one is prepared while the one before is learned."""
        rng = np.random.default_rng([*self.seed, epoch])
        order = balanced_order(self.lesson.labels, self.lesson.balance, rng)
        size = self.stage.batch
        chunks = [order[i * size : (i + 1) * size] for i in range(self.count)]
        seeds = rng.integers(1 << 62, size=len(chunks))
        with ThreadPoolExecutor(1) as pool:
            ahead = pool.submit(self._make, chunks[0], int(seeds[0]))
            for chunk, seed in zip(chunks[1:], seeds[1:], strict=True):
                ready = ahead.result()
                ahead = pool.submit(self._make, chunk, int(seed))
                yield ready
            yield ahead.result()

    def _make(self, chunk: Numbers, seed: int) -> Batch:
        own = np.random.default_rng(seed)
        tiles = np.stack([self._changed(self._on_background(i, own), own) for i in chunk])
        shown = pictures(tiles, self.preprocessing, self.lesson.inputs)
        kept = None
        if tiles.shape[3] > 3:
            kept = torch.from_numpy((tiles[..., 3] > 127).astype(np.float32))[:, None]
        return Batch(shown, torch.from_numpy(self.lesson.labels[chunk]), kept)

    def _on_background(self, number: int, rng: np.random.Generator) -> Tiles:
        """The tile, its background now and then in the colours of another tile's."""
        tile: Tiles = self.lesson.tiles[number]
        if not self.stage.other_background or rng.random() >= self.stage.other_background:
            return tile
        other = self.lesson.tiles[int(rng.integers(len(self.lesson.tiles)))]
        corner = self.preprocessing.masked_corner_px
        colours = [background_colours(one, corner) for one in (tile, other)]
        # Without a white cell nothing but its background could tell the tile's class.
        if colours[0] is None or colours[1] is None or not (tile[..., 3] > 127).any():
            return tile
        return with_background(tile, colours[0], colours[1])

    def _changed(self, tile: Tiles, rng: np.random.Generator) -> Tiles:
        tile = hide_corner(tile, self.preprocessing)
        tile = cut_part(tile, self.stage.height_px, self.stage.width_px, rng)
        return augment(tile, self.by, rng)


def pictures(tiles: Tiles, preprocessing: Preprocessing, inputs: Sequence[str]) -> Pictures:
    """Tiles N,H,W,3 or 4 -> a batch per picture; what a segmentation leaves out is black."""
    original = torch.from_numpy(normalise(tiles[..., :3], preprocessing))
    shown = {"original": original}
    if "segmented" in inputs:
        kept = torch.from_numpy(np.ascontiguousarray(tiles[..., 3] > 127))[:, None]
        if preprocessing.masked_corner_px:
            side = preprocessing.masked_corner_px
            kept[..., -side:, -side:] = False
        black = -torch.tensor(preprocessing.mean) / torch.tensor(preprocessing.std)
        shown["segmented"] = torch.where(kept, original, black[:, None, None])
    return tuple(shown[name].contiguous(memory_format=torch.channels_last) for name in inputs)


def balanced_order(labels: Numbers, balance: float, rng: np.random.Generator) -> Numbers:
    """As many indices as there are labels, shuffled; each class's share is between its own and equal.

    No index comes twice before all of its class have come once.
    """
    classes, counts = np.unique(labels, return_counts=True)
    shares = (1.0 / counts) ** balance * counts
    quotas = np.round(shares / shares.sum() * len(labels)).astype(int)
    picks = []
    for kind, quota in zip(classes, quotas, strict=True):
        members = np.flatnonzero(labels == kind)
        rounds = [rng.permutation(members) for _ in range(-(-quota // len(members)))]
        if rounds:
            picks.append(np.concatenate(rounds)[:quota])
    return np.asarray(rng.permutation(np.concatenate(picks)), np.int64)


def hide_corner(tile: Tiles, preprocessing: Preprocessing) -> Tiles:
    """The tile with its masked corner in the mean colour, so that no flip brings it into view."""
    side = preprocessing.masked_corner_px
    if not side:
        return tile
    tile = tile.copy()
    tile[-side:, -side:, :3] = np.round(np.array(preprocessing.mean) * 255).astype(np.uint8)
    tile[-side:, -side:, 3:] = 0
    return tile
