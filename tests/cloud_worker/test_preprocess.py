"""Training and serving see the same pixels, at the same physical scale, or a refusal in words."""

import numpy as np
import pytest
from numpy.typing import NDArray

from cloud_worker.models.card import Preprocessing
from cloud_worker.preprocess import Prepared, prepare, resample
from cloud_worker.refusal import Refusal
from wire_protocol.json_messages import Reason

SETTINGS = Preprocessing(
    height_px=64, width_px=64, um_per_px=0.25, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3)
)


def picture(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)


def prepared(rgb: NDArray[np.uint8], um_per_px: float, to: Preprocessing = SETTINGS) -> Prepared:
    done = prepare(rgb, um_per_px, to)
    assert isinstance(done, Prepared)
    return done


def test_an_image_at_the_bundles_scale_is_only_normalised() -> None:
    rgb = picture(64, 64)
    tiles = prepared(rgb, 0.25).tiles()
    expected = (rgb / 255 - np.array(SETTINGS.mean)) / np.array(SETTINGS.std)
    assert tiles.dtype == np.float32 and tiles.shape == (1, 3, 64, 64)
    assert np.allclose(tiles[0], expected.transpose(2, 0, 1), atol=1e-5)


@pytest.mark.parametrize("um_per_px", [0.25 / 1.5, 0.2, 0.25, 0.3, 0.375])
def test_an_image_is_resampled_by_physical_scale(um_per_px: float) -> None:
    field = prepared(picture(300, 240), um_per_px).field
    assert field.shape == (round(300 * um_per_px / 0.25), round(240 * um_per_px / 0.25), 3)


@pytest.mark.parametrize("um_per_px", [None, 0.0, -1.0, float("nan"), 0.166, 0.376, 10.0])
def test_unknown_scale_or_off_by_more_than_half_again_is_a_magnification_refusal(
    um_per_px: float | None,
) -> None:
    refusal = prepare(picture(300, 300), um_per_px, SETTINGS)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.MAGNIFICATION
    assert "needed" in refusal.text and refusal.text.endswith(".")


def test_shrinking_averages_areas() -> None:
    rgb = np.zeros((90, 90, 3), np.uint8)
    rgb[::3] = 255
    assert abs(float(resample(rgb, 2 / 3).mean()) - 85) < 1


def test_a_field_that_is_mostly_padding_is_outside_scope() -> None:
    refusal = prepare(picture(31, 64), 0.25, SETTINGS)
    assert isinstance(refusal, Refusal) and refusal.reason is Reason.OUTSIDE_SCOPE
    assert isinstance(prepare(picture(32, 64), 0.25, SETTINGS), Prepared)


def test_the_masked_corner_is_the_mean_in_every_tile_and_the_rest_untouched() -> None:
    masked = SETTINGS.model_copy(update={"masked_corner_px": 10})
    rgb = picture(100, 150)
    with_mask = prepared(rgb, 0.25, masked).tiles()
    assert (with_mask[:, :, -10:, -10:] == 0).all()
    plain = prepared(rgb, 0.25).tiles()
    assert np.array_equal(with_mask[:, :, :-10], plain[:, :, :-10])
    changed = rgb.copy()
    changed[-10:, -10:] = 0
    assert np.array_equal(prepared(changed, 0.25, masked).tiles(), with_mask)


def test_tiles_asked_for_in_parts_are_the_same_tiles() -> None:
    done = prepared(picture(200, 200), 0.25)
    assert done.count > 4
    assert np.array_equal(np.concatenate([done.tiles(0, 3), done.tiles(3)]), done.tiles())


def test_something_else_than_rgb_bytes_is_a_bug_not_a_refusal() -> None:
    with pytest.raises(ValueError, match="RGB"):
        prepare(np.zeros((64, 64), np.uint8), 0.25, SETTINGS)
