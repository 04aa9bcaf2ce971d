"""How one picture is taken: wait until the view rests, then the sharpest of N frames; pure, it knows no camera."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from edge_device.cameras.shots import Pixels, Sequence

Focus = Callable[[Pixels], float]
NextFrame = Callable[[], Pixels]

#: Frames are compared in blocks of this many pixels: noise averages out, movement stays.
_BLOCK_PX = 24
#: Blocks of two frames at rest differ by their noise alone, whose level the single pixels tell; this
#: leaves room for noise that JPEG has smeared over its blocks.
_NOISE_FACTOR = 3.5
#: Grey levels; what two frames may differ by whose noise the single pixels do not tell: rounding, and
#: a JPEG that smooths the empty background but keeps the noise's coarse waves. One pixel of movement
#: differs by more.
_LEAST_DIFFERENCE = 0.8


def take_sequence(
    next_frame: NextFrame,
    *,
    settle_frames: int,
    is_over: Callable[[], bool],
    burst: int,
    focus: Focus,
) -> tuple[Pixels, Sequence | None]:
    """The picture and how it came about; None where there was neither waiting nor choosing.

    `is_over` says that the limit of the waiting is reached.
    """
    waited, is_at_rest = 0, True
    if settle_frames:
        waited, is_at_rest = wait_for_rest(next_frame, settle_frames, is_over)
    if burst == 1 and not settle_frames:
        return next_frame(), None
    picture, scores, chosen = sharpest(next_frame, burst, focus)
    return picture, Sequence(waited, is_at_rest, scores, chosen)


def wait_for_rest(
    next_frame: NextFrame, still_frames: int, is_over: Callable[[], bool]
) -> tuple[int, bool]:
    """How many frames were looked at, and whether the last `still_frames` of them were at rest."""
    before = next_frame()
    looked, still = 1, 0
    while not is_over():
        after = next_frame()
        looked += 1
        still = still + 1 if is_still(before, after) else 0
        if still >= still_frames:
            return looked, True
        before = after
    return looked, False


def is_still(before: Pixels, after: Pixels) -> bool:
    """Whether two frames in a row differ by no more than their noise and a change of the lamp.

    Noise is independent from pixel to pixel, movement is not: in the means over blocks of n x n
    pixels noise falls to 1/n, movement of cells stays. The noise's own level comes from the
    difference between neighbouring pixels of the two frames' difference, by its median, which a
    moving edge here and there does not lift.
    """
    if before.shape != after.shape:
        return False
    difference = cv2.subtract(_green(after), _green(before), dtype=cv2.CV_32F)
    noise = float(np.median(np.abs(np.diff(difference[::4], axis=1)))) / (0.6745 * 2**0.5)
    size = (max(1, difference.shape[1] // _BLOCK_PX), max(1, difference.shape[0] // _BLOCK_PX))
    blocks = cv2.resize(difference, size, interpolation=cv2.INTER_AREA)
    moved = float(np.std(blocks))  # the mean goes with the lamp
    return moved <= max(_LEAST_DIFFERENCE, _NOISE_FACTOR * noise / _BLOCK_PX)


def sharpest(
    next_frame: NextFrame, frames: int, focus: Focus
) -> tuple[Pixels, tuple[float, ...], int]:
    """The sharpest of so many frames, the focus of each, and which it is; holds two at most."""
    best = next_frame()
    scores, chosen = [focus(best)], 0
    for number in range(1, frames):
        frame = next_frame()
        scores.append(focus(frame))
        if scores[number] > scores[chosen]:
            best, chosen = frame, number
    return best, tuple(scores), chosen


def _green(frame: Pixels) -> Pixels:
    """The channel with the least noise, in which blood cells show most."""
    return np.ascontiguousarray(frame[:, :, 1])
