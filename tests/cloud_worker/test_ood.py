"""The distance is small where training images are, large elsewhere, and survives storage."""

import numpy as np
import pytest

from cloud_worker.models.bundle import Bundle
from cloud_worker.ood import fit_ood, load_ood, percentile_of, percentile_table

pytestmark = pytest.mark.timeout(240)  # the first test exports the bundle it needs

RNG = np.random.default_rng(6)
CENTRES = np.array([[4.0] * 20, [-4.0] * 20])
LABELS = np.arange(600) % 2
SCALES = np.linspace(3, 0.1, 20)
FEATURES = CENTRES[LABELS] + RNG.normal(size=(600, 20)) * SCALES


def test_distances_of_training_features_are_near_one() -> None:
    model = fit_ood(FEATURES, LABELS, 8)
    distances = model.distances(FEATURES)
    assert distances.mean() == pytest.approx(1.0, abs=0.15)
    assert np.allclose(model.basis @ model.basis.T, np.eye(8), atol=1e-5)


def test_foreign_features_are_far_in_kept_and_in_left_out_directions() -> None:
    model = fit_ood(FEATURES, LABELS, 8)
    limit = np.percentile(model.distances(FEATURES), 99)
    between = np.zeros((1, 20))
    thin = CENTRES[:1] + np.eye(20)[19] * 12
    assert model.distances(between)[0] > limit
    assert model.distances(thin)[0] > limit
    assert model.distances(CENTRES).max() < 0.3


def test_percentiles_count_calibration_images_that_lie_nearer() -> None:
    distances = np.linspace(1, 2, 1001)
    table = percentile_table(distances)
    assert len(table) == 101
    assert percentile_of(1.5, table) == pytest.approx(50)
    assert percentile_of(0.0, table) == 0 and percentile_of(9.0, table) == 100


def test_a_bundle_gives_back_what_was_fitted(resnet34_bundle: Bundle) -> None:
    model = load_ood(resnet34_bundle)
    assert model is not None and resnet34_bundle.card.ood is not None
    assert model.centres.shape == (2, 512) and model.basis.shape == (4, 512)
    assert set(model.tensors()) == set(resnet34_bundle.card.ood.tensors)


def test_a_bundle_without_distance_has_none(densenet121_bundle: Bundle) -> None:
    assert load_ood(densenet121_bundle) is None
