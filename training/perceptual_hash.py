"""A hash of what a picture shows, and which pictures show the same field, turned or mirrored.

The signs of the lowest 255 cosine components of a 32x32 grey picture about their median. It compares
pictures in all 8 orientations of a slide under a camera; it does not find crops or shifted fields.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 32
LOWEST = 16
BITS = LOWEST * LOWEST - 1
NEAR_BITS = 64
"""Pictures that differ in at most so many of the 255 bits show the same field; see `hash_pictures`."""
_ROWS = 512

Bits = NDArray[np.bool_]


def grey_thumbnail(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """H,W,3 -> 32,32: all that the hash reads of a picture."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def hash_thumbnails(thumbnails: NDArray[np.float32]) -> Bits:
    """N,32,32 -> 8,N,255: the hash of every picture in the 8 orientations, the upright one first.

    Each bit says whether a cosine component lies above the picture's median, so brightness and
    contrast do not matter and unrelated pictures differ in about 127 +- 8 bits.
    """
    k, x = np.arange(LOWEST)[:, None], np.arange(SIDE)[None]
    cosines = np.cos(np.pi * (2 * x + 1) * k / (2 * SIDE)).astype(np.float32)
    turned = []
    for quarter in range(4):
        seen = np.rot90(thumbnails, quarter, axes=(1, 2))
        turned += [seen, seen[:, :, ::-1]]
    hashes = []
    for seen in turned:
        components = (cosines @ seen @ cosines.T).reshape(len(seen), -1)[:, 1:]
        hashes.append(components > np.median(components, axis=1, keepdims=True))
    return np.stack(hashes)


def hash_word(hashes: Bits) -> str:
    """8,255 -> 64 hex digits that a turned or mirrored copy has too: the least of the eight."""
    return min(np.packbits(bits).tobytes().hex() for bits in hashes)


def near_pairs(hashes: Bits, most_bits: int = NEAR_BITS) -> Iterator[tuple[int, int, int]]:
    """Pairs (i, j, differing bits) with i < j of 8,N,255 hashes, whatever the orientation of j."""
    signs = hashes.astype(np.float32) * 2 - 1
    upright, count = signs[0], hashes.shape[1]
    for start in range(0, count, _ROWS):
        rows = upright[start : start + _ROWS]
        likeness = np.full((len(rows), count - start), -np.inf, np.float32)
        for seen in signs:
            np.maximum(likeness, rows @ seen[start:].T, out=likeness)
        for i, j in np.argwhere(likeness >= BITS - 2 * most_bits):
            if i < j:
                different = round((BITS - float(likeness[i, j])) / 2)
                yield start + int(i), start + int(j), different
