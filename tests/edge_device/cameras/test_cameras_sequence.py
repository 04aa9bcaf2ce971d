"""One picture of many frames: waiting for rest knows noise from movement; the sharpest of a burst is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest

from edge_device.cameras import Pixels, focus_of
from edge_device.cameras.sequence import is_still, sharpest, take_sequence, wait_for_rest
from edge_device.simulator import draw_slide, render_field


@pytest.fixture(scope="module")
def field() -> Pixels:
    return render_field(draw_slide(11), "ALL", 0, width_px=480, height_px=360).image


def noisy(picture: Pixels, seed: int, *, sigma: float = 3.0, jpeg: int | None = None) -> Pixels:
    noise = np.random.default_rng(seed).standard_normal(picture.shape, dtype=np.float32)
    frame = np.clip(picture + sigma * noise + 0.5, 0, 255).astype(np.uint8)
    if jpeg is not None:
        _, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, jpeg])
        frame = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return frame


def moved(picture: Pixels, by_px: float) -> Pixels:
    height, width = picture.shape[:2]
    shift = np.array([[1, 0, by_px], [0, 1, by_px / 2]], np.float32)
    return np.asarray(
        cv2.warpAffine(picture, shift, (width, height), borderMode=cv2.BORDER_REFLECT), np.uint8
    )


def one_after_another(frames: Iterator[Pixels]) -> Callable[[], Pixels]:
    return lambda: next(frames)


def never() -> bool:
    return False


@pytest.mark.parametrize("sigma", [0.0, 1.0, 3.0, 6.0])
@pytest.mark.parametrize("jpeg", [None, 90, 75])
def test_noise_is_rest_and_five_pixels_of_movement_are_not(
    field: Pixels, sigma: float, jpeg: int | None
) -> None:
    before = noisy(field, 1, sigma=sigma, jpeg=jpeg)
    assert is_still(before, noisy(field, 2, sigma=sigma, jpeg=jpeg))
    assert not is_still(before, noisy(moved(field, 5), 2, sigma=sigma, jpeg=jpeg))


def test_a_lamp_that_flickers_is_rest(field: Pixels) -> None:
    brighter = np.clip(field.astype(np.int16) + 4, 0, 255).astype(np.uint8)
    assert is_still(noisy(field, 1), noisy(brighter, 2))


def test_a_change_of_size_is_no_rest(field: Pixels) -> None:
    assert not is_still(field, np.ascontiguousarray(field[:-2]))


def test_waiting_ends_when_the_stage_has_stopped(field: Pixels) -> None:
    places = [40, 30, 20, 10, 0, 0, 0, 0]
    frames = (noisy(moved(field, place), n) for n, place in enumerate(places))
    assert wait_for_rest(one_after_another(frames), 2, never) == (7, True)


def test_rest_must_last(field: Pixels) -> None:
    """A stage that turns stands still for one frame."""
    places = [20, 10, 10, 20, 30, 30, 30]
    frames = (noisy(moved(field, place), n) for n, place in enumerate(places))
    assert wait_for_rest(one_after_another(frames), 2, never) == (7, True)


def test_waiting_has_a_limit_and_says_that_it_was_reached(field: Pixels) -> None:
    frames = (noisy(moved(field, 10 * n), n) for n in range(10))
    left = iter([False, False, False, True])
    assert wait_for_rest(one_after_another(frames), 2, lambda: next(left)) == (4, False)


def test_the_sharpest_of_a_burst_is_taken_and_all_scores_are_kept(field: Pixels) -> None:
    frames = [np.asarray(cv2.GaussianBlur(field, (0, 0), s), np.uint8) for s in (3.0, 0.5, 2.0)]
    picture, scores, chosen = sharpest(one_after_another(iter(frames)), 3, focus_of)
    assert chosen == 1 and picture is frames[1]
    assert scores == tuple(focus_of(frame) for frame in frames)
    assert scores[1] > scores[2] > scores[0]


def test_a_sequence_waits_first_and_then_chooses(field: Pixels) -> None:
    still = [noisy(field, n) for n in range(3)]
    burst = [noisy(np.asarray(cv2.GaussianBlur(field, (0, 0), s), np.uint8), 9) for s in (2, 1)]
    picture, sequence = take_sequence(
        one_after_another(iter(still + burst)),
        settle_frames=2,
        is_over=never,
        burst=2,
        focus=focus_of,
    )
    assert sequence is not None and picture is burst[1]
    assert (sequence.waited_frames, sequence.is_still, sequence.chosen) == (3, True, 1)


def test_without_waiting_and_burst_one_frame_is_read_and_nothing_is_measured(
    field: Pixels,
) -> None:
    def focus(_picture: Pixels) -> float:
        raise AssertionError("nobody asked for the focus")

    picture, sequence = take_sequence(
        one_after_another(iter([field])), settle_frames=0, is_over=never, burst=1, focus=focus
    )
    assert picture is field and sequence is None
