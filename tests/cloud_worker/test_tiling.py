"""Every pixel of a field is seen by the network, and counts once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_worker.tiling import TilePlan, cut_tiles, plan_tiles, pool


def plan(
    height: int, width: int, tile: int = 32, overlap: float = 0.25, masked: int = 0
) -> TilePlan:
    return plan_tiles(
        height,
        width,
        tile_height_px=tile,
        tile_width_px=tile,
        overlap=overlap,
        masked_corner_px=masked,
    )


@given(
    st.integers(16, 200),
    st.integers(16, 200),
    st.floats(0, 0.75),
    st.integers(0, 16),
)
def test_tiles_cover_the_whole_field_and_nothing_else(
    height: int, width: int, overlap: float, masked: int
) -> None:
    made = plan(height, width, 32, overlap, masked)
    padded = (height + made.pad_top_px, width + made.pad_left_px)
    seen = np.zeros(padded, bool)
    unmasked = np.zeros(padded, bool)
    for top, left in made.corners():
        assert top >= 0 and left >= 0 and top + 32 <= padded[0] and left + 32 <= padded[1]
        seen[top : top + 32, left : left + 32] = True
        free = np.ones((32, 32), bool)
        if masked:
            free[-masked:, -masked:] = False
        unmasked[top : top + 32, left : left + 32] |= free
    assert seen.all()
    if masked:
        assert not unmasked[-masked:, -masked:].any()
        unmasked[-masked:, -masked:] = True
    assert unmasked.all()


@given(st.integers(16, 200), st.integers(16, 200), st.floats(0, 0.75))
def test_pooled_pixels_equal_the_mean_of_the_field(height: int, width: int, overlap: float) -> None:
    made = plan(height, width, 32, overlap)
    padded = (height + made.pad_top_px, width + made.pad_left_px)
    assert made.weights.sum() == pytest.approx(1.0)
    coverage = np.zeros(padded)
    for top, left in made.corners():
        coverage[top : top + 32, left : left + 32] += 1
    corners = made.corners()
    area = [(1 / coverage[t : t + 32, x : x + 32]).sum() / coverage.size for t, x in corners]
    assert np.allclose(area, made.weights)


def test_neighbouring_tiles_share_at_least_the_overlap() -> None:
    made = plan(100, 300, 32, 0.25)
    assert max(b - a for a, b in zip(made.lefts, made.lefts[1:], strict=False)) <= 24
    assert made.lefts[-1] == 300 - 32


def test_a_field_of_the_input_size_is_one_tile_and_unchanged() -> None:
    field = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    made = plan(32, 32)
    assert made.count == 1
    assert np.array_equal(cut_tiles(field, made)[0], field)


def test_a_smaller_field_is_padded_by_reflection_and_keeps_its_bottom_right_corner() -> None:
    field = np.random.default_rng(0).integers(0, 256, (20, 28, 3), np.uint8)
    (tile,) = cut_tiles(field, plan(20, 28))
    assert np.array_equal(tile[12:, 4:], field)
    assert np.array_equal(tile[11, 4:], field[1])
    assert np.array_equal(tile[12:, 3], field[:, 1])


def test_tiles_can_be_cut_in_parts() -> None:
    field = np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8)
    made = plan(90, 90)
    whole = cut_tiles(field, made)
    assert np.array_equal(
        np.concatenate([cut_tiles(field, made, 0, 5), cut_tiles(field, made, 5)]), whole
    )
    for tile, (top, left) in zip(whole, made.corners(), strict=True):
        assert np.array_equal(tile, field[top : top + 32, left : left + 32])


def test_pooling_logits_equals_pooling_features_through_a_linear_layer() -> None:
    rng = np.random.default_rng(1)
    features, weight, bias = rng.normal(size=(6, 8)), rng.normal(size=(3, 8)), rng.normal(size=3)
    weights = plan(64, 90).weights
    weights = weights[:6] / weights[:6].sum()
    logits = features @ weight.T + bias
    assert np.allclose(pool(logits, weights), weight @ pool(features, weights) + bias)
