"""Multiplies a frame by a smooth gain, a strip of rows at a time; it holds no map of the frame's size.

Between the nodes the gain is linear. A strip is some tens of rows, so that its gains stay in the
processor's cache: 1440x900 takes about 1.5 ms, and the memory besides the result is one strip.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from edge_device.flat_field.background import LogField, Pixels

#: Elements of a strip's gains: 256 KiB of float32.
_STRIP_ELEMENTS = 65_536


def gains(
    shape: LogField, level: npt.NDArray[np.float32], *, white_level: float, max_gain: float
) -> tuple[npt.NDArray[np.float32], float]:
    """The gain at each node, and the share of nodes where `max_gain` held one back."""
    wanted = np.float32(white_level) / (np.exp(shape) * level)
    limited = float(np.mean((wanted > max_gain).any(axis=2)))
    return np.minimum(wanted, np.float32(max_gain)), limited


def multiply(bgr: Pixels, at_nodes: npt.NDArray[np.float32], *, out: Pixels) -> None:
    """`out` = `bgr` times the gain, rounded and clipped at 255; `out` may be `bgr`."""
    height, width = bgr.shape[:2]
    rows = _widen(at_nodes, width)
    places = np.arange(height, dtype=np.float32) * ((len(rows) - 1) / max(1, height - 1))
    above = np.minimum(places.astype(np.intp), len(rows) - 2)
    share = places - above
    most = max(1, _STRIP_ELEMENTS // (3 * width))
    top = 0
    while top < height:
        node = above[top]
        bottom = min(int(np.searchsorted(above, node, side="right")), top + most)
        strip = share[top:bottom, None] * (rows[node + 1] - rows[node])
        strip += rows[node]
        source, target = bgr[top:bottom].reshape(bottom - top, -1), out[top:bottom]
        if out.flags.c_contiguous:
            cv2.multiply(source, strip, target.reshape(bottom - top, -1), dtype=cv2.CV_8U)
        else:
            product = cv2.multiply(source, strip, dtype=cv2.CV_8U)
            target[:] = np.asarray(product).reshape(target.shape)
        top = bottom


def _widen(at_nodes: npt.NDArray[np.float32], width: int) -> npt.NDArray[np.float32]:
    """The rows of nodes at every pixel of a row: (rows, 3 * width)."""
    places = np.arange(width, dtype=np.float32) * ((at_nodes.shape[1] - 1) / max(1, width - 1))
    left = np.minimum(places.astype(np.intp), at_nodes.shape[1] - 2)
    share = (places - left)[:, None]
    wide = at_nodes[:, left] * (1 - share) + at_nodes[:, left + 1] * share
    return np.ascontiguousarray(wide, np.float32).reshape(len(at_nodes), -1)
