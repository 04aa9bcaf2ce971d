"""Learning a light and dividing it out: even, neutral, no cells burnt in, nothing learned from odd frames."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_device.flat_field import Background, FlatField, FlatFieldSettings, Unfit, look
from edge_device.flat_field.background import NODES, rms
from edge_device.flat_field.profile import Profile
from edge_device.flat_field.store import FrameKind
from tests.edge_device.flat_field.conftest import Teach
from tests.edge_device.flat_field.pictures import HEIGHT, OTHER_LIGHT, WIDTH, blurred, frame, light


def test_frames_stay_as_they_are_until_enough_were_learned(tmp_path: Path) -> None:
    field = FlatField(tmp_path, FlatFieldSettings(min_frames=3))
    for seed in range(2):
        raw = frame(seed)
        field.learn(raw)
        assert field.correct(raw) is raw
        assert field.version == 0
    assert field.state.learned_frames == 2
    assert field.state.needed_frames == 3
    assert "2 frames of this light learned, 3 needed: as it is" in field.state.said
    raw = frame(2)
    field.learn(raw)
    assert field.correct(raw) is not raw
    assert field.version == 1
    assert field.state.said.startswith("corrected; 3 frames")


def test_an_empty_frame_of_the_same_light_becomes_evenly_white(taught: Teach) -> None:
    field = taught()
    raw = frame(99, cells=0)
    assert np.ptp(blurred(raw)) > 80
    assert np.abs(blurred(field.correct(raw)) - 220).max() < 4


@pytest.mark.parametrize("white_level", [200, 230])
def test_the_background_gets_the_white_level_of_the_settings(
    taught: Teach, white_level: int
) -> None:
    corrected = blurred(taught(white_level=white_level).correct(frame(99, cells=0)))
    assert np.abs(corrected - white_level).max() < 4


def test_cells_do_not_burn_into_the_field(tmp_path: Path) -> None:
    crowded = FlatField(tmp_path, FlatFieldSettings())
    for seed in range(8):
        crowded.learn(frame(seed, cells=250))
    assert np.abs(blurred(crowded.correct(frame(99, cells=0))) - 220).max() < 5


def test_cells_keep_their_contrast(taught: Teach) -> None:
    field = taught()
    empty, with_cells = field.correct(frame(99, cells=0)), field.correct(frame(99, cells=60))
    green = with_cells[:, :, 1] / empty[:, :, 1].astype(np.float64)
    cell_share = float((green < 0.8).mean())
    assert cell_share > 0.05
    assert np.median(green[green < 0.8]) == pytest.approx(0.65, abs=0.02)


def test_a_brighter_exposure_is_balanced_by_the_frame_itself(taught: Teach) -> None:
    corrected = taught().correct(frame(99, cells=0, level=(162, 181, 210)))
    assert np.abs(blurred(corrected) - 220).max() < 4


def test_a_field_full_of_cells_is_not_made_white(taught: Teach) -> None:
    field = taught()
    # The colour of thin cells everywhere: it cannot be told from a background of another tint.
    full = frame(99, cells=0, level=(150 * 0.85, 170 * 0.80, 200 * 0.9))
    corrected = blurred(field.correct(full))
    assert field.version
    assert corrected[:, :, 1].mean() < 210


def test_a_clump_that_hides_the_background_does_not_bend_the_light() -> None:
    raw = frame(5)
    raw[60:200, 100:260] = (raw[60:200, 100:260] * np.array((0.75, 0.65, 0.85))).astype(np.uint8)
    found = look(raw)
    assert isinstance(found, Background)
    assert _distance_from_painted(found) < 0.012


def test_a_minority_of_frames_that_differ_does_not_move_the_field() -> None:
    settings = FlatFieldSettings(min_frames=2, recent_frames=9)
    profile = Profile(FrameKind("", WIDTH, HEIGHT), settings)
    steady = np.zeros((*NODES, 3), np.float32)
    level = np.array((150, 170, 200), np.float32)
    for shape in [steady] * 5 + [steady + np.float32(0.02)] * 4:
        profile.learn(Background(shape, level, 1.0))
    assert profile.shape is not None
    assert np.array_equal(profile.shape, steady)


ODD: dict[str, tuple[Callable[[], np.ndarray[tuple[int, ...], np.dtype[np.uint8]]], Unfit]] = {
    "dark": (lambda: np.full((HEIGHT, WIDTH, 3), 6, np.uint8), Unfit.TOO_DARK),
    "clipped": (lambda: np.full((HEIGHT, WIDTH, 3), 255, np.uint8), Unfit.TOO_BRIGHT),
    "half dark": (
        lambda: np.concatenate([frame(0)[:150], np.zeros((150, WIDTH, 3), np.uint8)]),
        Unfit.NO_BACKGROUND,
    ),
    "tiny": (lambda: np.full((40, 60, 3), 180, np.uint8), Unfit.TOO_SMALL),
}


@pytest.mark.parametrize("name", ODD)
def test_a_frame_of_another_kind_teaches_nothing(taught: Teach, name: str) -> None:
    make, reason = ODD[name]
    field = taught(min_frames=6)
    odd = make()
    assert look(odd) is reason
    for _ in range(30):
        field.learn(odd)
    field.learn(frame(50))
    assert np.abs(blurred(field.correct(frame(99, cells=0))) - 220).max() < 4
    assert field.version == 1
    assert field.state.learned_frames == 9


@pytest.mark.parametrize("name", ["dark", "clipped", "tiny"])
def test_a_frame_that_cannot_be_judged_stays_as_it_is(taught: Teach, name: str) -> None:
    field = taught()
    odd = ODD[name][0]()
    assert field.correct(odd) is odd
    assert field.version == 0
    assert field.state.said.startswith(ODD[name][1].value)


def test_another_lamp_is_said_left_alone_and_then_learned(taught: Teach) -> None:
    field = taught(min_frames=4)
    for seed in range(3):
        raw = frame(seed, OTHER_LIGHT)
        field.learn(raw)
        assert field.correct(raw) is raw
        assert field.version == 0
        said = f"the light changed: {seed + 1} frames of this light learned, 4 needed: as it is"
        assert field.state.said == said
    for seed in range(3, 5):
        field.learn(frame(seed, OTHER_LIGHT))
    corrected = field.correct(frame(99, OTHER_LIGHT, cells=0))
    assert np.abs(blurred(corrected) - 220).max() < 6
    other = field.version
    # The first lamp comes back: it is known at once.
    first = field.correct(frame(98, cells=0))
    assert np.abs(blurred(first) - 220).max() < 6
    assert 0 < field.version < other


def test_each_frame_size_has_a_field_of_its_own(taught: Teach) -> None:
    field = taught()
    raw = frame(1)
    assert field.correct(raw[:, :-8]).shape == (HEIGHT, WIDTH - 8, 3)
    assert field.version == 0
    field.correct(raw)
    assert field.version == 1


def test_in_place_gives_the_same_pixels_without_a_second_frame(taught: Teach) -> None:
    field = taught()
    raw = frame(99)
    expected = field.correct(raw)
    assert not np.array_equal(expected, raw)
    assert field.correct(raw, in_place=True) is raw
    assert np.array_equal(raw, expected)


def test_gain_is_limited_and_that_is_said(taught: Teach) -> None:
    field = taught(max_gain=1.5)
    corrected = field.correct(frame(99, cells=0))
    assert blurred(corrected)[:, :, 0].max() < 150 * 1.5 + 3
    assert field.state.gain_limited_percent > 10
    assert "would need more than the most gain" in field.state.said


def test_pixels_that_clip_are_counted(taught: Teach) -> None:
    field = taught()
    raw = frame(99, cells=0)
    field.correct(raw)
    assert field.state.clipped_percent == 0
    patch = raw[100:160, 200:300].astype(np.float32)
    raw[100:160, 200:300] = np.minimum(patch * 1.25, 255).astype(np.uint8)
    field.learn(frame(0))
    field.correct(raw)
    assert field.version
    assert 2 < field.state.clipped_percent < 8  # the patch is 4 % of the frame


def test_learning_follows_a_lamp_that_ages_and_writes_rarely(tmp_path: Path) -> None:
    now = [0.0]
    settings = FlatFieldSettings(min_frames=4, recent_frames=8, write_every_frames=20)
    field = FlatField(tmp_path, settings, now_s=lambda: now[0])
    old = OTHER_LIGHT
    for seed in range(120):
        now[0] += 60.0
        share = np.float32(0.15 * seed / 120)
        field.learn(frame(seed, light() * (1 - share) + old * share))
    final = light() * np.float32(0.85) + old * np.float32(0.15)
    assert np.abs(blurred(field.correct(frame(99, final, cells=0))) - 220).max() < 8
    assert 3 <= field.version <= 9


def test_the_look_finds_the_light_that_was_painted() -> None:
    found = look(frame(3, cells=120))
    assert isinstance(found, Background)
    assert _distance_from_painted(found) < 0.006


def _distance_from_painted(found: Background) -> float:
    rows = np.linspace(0, HEIGHT - 1, NODES[0]).round().astype(int)
    columns = np.linspace(0, WIDTH - 1, NODES[1]).round().astype(int)
    truth = np.log(light()[rows][:, columns])
    return rms(found.shape - (truth - truth.mean(axis=(0, 1))))
