"""Learning a light, dividing it out, going back: on pictures whose uneven light the tests paint themselves."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edge_device.flat_field import FlatField, FlatFieldSettings, Unfit, look

Pixels = npt.NDArray[np.uint8]
WIDTH, HEIGHT = 480, 300


def light(centre: tuple[float, float] = (0.1, -0.1), depth: float = 0.3) -> npt.NDArray[np.float32]:
    """A vignette with colour: blue falls off most."""
    x = np.linspace(-1, 1, WIDTH) - centre[0]
    y = np.linspace(-1, 1, HEIGHT) - centre[1]
    corner = (x[None, :] ** 2 + y[:, None] ** 2) / 2
    planes = [1 - depth * share * corner for share in (1.3, 1.0, 0.6)]
    return np.stack(planes, axis=2).astype(np.float32)


def frame(
    seed: int,
    shading: npt.NDArray[np.float32] | None = None,
    *,
    cells: int = 60,
    level: tuple[float, float, float] = (150, 170, 200),
) -> Pixels:
    """Dark discs on an empty background under the light, with noise."""
    rng = np.random.default_rng(seed)
    scene = np.ones((HEIGHT, WIDTH, 3), np.float32)
    for _ in range(cells):
        place = (int(rng.integers(0, WIDTH)), int(rng.integers(0, HEIGHT)))
        cv2.circle(scene, place, 9, (0.75, 0.65, 0.85), cv2.FILLED)
    scene *= light() if shading is None else shading
    scene *= np.array(level, np.float32)
    scene += rng.normal(0, 1.5, scene.shape).astype(np.float32)
    return np.asarray(np.clip(scene + 0.5, 0, 255), np.uint8)


def empty(bgr: Pixels) -> npt.NDArray[np.float64]:
    """Blurred level of the frame per channel, to be looked at where no cell is."""
    return np.asarray(cv2.GaussianBlur(bgr, (0, 0), 4), np.float64)


def taught(folder: Path, frames: int = 8, **changes: object) -> FlatField:
    field = FlatField(folder, FlatFieldSettings.model_validate(changes))
    for seed in range(frames):
        field.learn(frame(seed))
    return field


def test_frames_stay_as_they_are_until_enough_were_learned(tmp_path: Path) -> None:
    field = FlatField(tmp_path, FlatFieldSettings(min_frames=3))
    for seed in range(2):
        field.learn(frame(seed))
        raw = frame(seed)
        assert field.correct(raw) is raw
        assert field.version == 0
    assert field.state.learned_frames == 2
    assert field.state.needed_frames == 3
    assert "2 frames of this light learned, 3 needed: as it is" in field.state.said
    field.learn(frame(2))
    assert field.correct(frame(2)) is not frame(2)
    assert field.version == 1


def test_an_empty_frame_of_the_same_light_becomes_evenly_white(tmp_path: Path) -> None:
    field = taught(tmp_path)
    corrected = empty(field.correct(frame(99, cells=0)))
    assert field.version > 0
    assert np.abs(corrected - 220).max() < 5  # before: 105 to 200


def test_cells_do_not_burn_into_the_field(tmp_path: Path) -> None:
    crowded = FlatField(tmp_path, FlatFieldSettings())
    for seed in range(8):
        crowded.learn(frame(seed, cells=250))
    assert np.abs(empty(crowded.correct(frame(99, cells=0))) - 220).max() < 8


@pytest.mark.parametrize("bad", ["dark", "white"])
def test_a_frame_of_another_kind_teaches_nothing_and_stays_as_it_is(
    tmp_path: Path, bad: str
) -> None:
    field = taught(tmp_path)
    learned = field.state
    odd = np.full((HEIGHT, WIDTH, 3), {"dark": 6, "white": 255}[bad], np.uint8)
    field.learn(odd)
    assert field.correct(odd) is odd
    assert field.version == 0
    assert look(odd) is {"dark": Unfit.TOO_DARK, "white": Unfit.TOO_BRIGHT}[bad]
    field.learn(frame(50))
    field.correct(frame(50))
    assert field.state.learned_frames == learned.learned_frames + 9
    assert field.version == 1
