"""Every score is small where training images are and large elsewhere, and survives storage; old bundles keep theirs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cloud_worker.classify import Classifier
from cloud_worker.decode import decode
from cloud_worker.engines.engine import Outputs, open_engine
from cloud_worker.foreignness.energy import Energy
from cloud_worker.foreignness.joint import fit_joint, textures_of
from cloud_worker.foreignness.loading import load_score
from cloud_worker.foreignness.mahalanobis import fit_mahalanobis
from cloud_worker.foreignness.neighbours import fit_neighbours
from cloud_worker.foreignness.patches import fit_patches, places_of
from cloud_worker.foreignness.residual import fit_virtual_logit
from cloud_worker.foreignness.score import Foreignness, percentile_of, percentile_table
from cloud_worker.foreignness.spread import measure_spread, nearest, spread_out
from cloud_worker.models.bundle import Bundle, write_bundle
from cloud_worker.models.bundle_folder import BundleRefusedError
from cloud_worker.models.card import BundleCard, OutOfDistribution
from cloud_worker.refusal import Refusal

pytestmark = pytest.mark.timeout(240)  # the first test exports the bundle it needs

RNG = np.random.default_rng(6)
CENTRES = np.array([[4.0] * 20, [-4.0] * 20])
LABELS = np.arange(600) % 2
SCALES = np.linspace(3, 0.1, 20)
FEATURES = (CENTRES[LABELS] + RNG.normal(size=(600, 20)) * SCALES).astype(np.float32)
HEAD = np.stack([np.full(20, 0.2), np.full(20, -0.2)])


def seen_of(features: NDArray[np.float32], seed: int = 1) -> Outputs:
    """Outputs with these pooled features, of maps that vary around them."""
    noise = np.random.default_rng(seed).normal(0, 0.3, (*features.shape, 3, 3))
    noise -= noise.mean(axis=(2, 3), keepdims=True)
    maps = (features[..., None, None] + noise).astype(np.float32)
    return Outputs((features @ HEAD.T).astype(np.float32), features, maps)


def fitted() -> list[Foreignness]:
    seen = seen_of(FEATURES)
    places = places_of(seen.maps).reshape(-1, 20)
    return [
        fit_mahalanobis(FEATURES, LABELS, 8),
        fit_neighbours(FEATURES, 8),
        fit_virtual_logit(FEATURES, seen.logits, 8),
        fit_patches(places, 8),
        fit_joint(FEATURES, textures_of(seen), LABELS, 8),
        Energy(),
    ]


def test_distances_of_training_features_are_near_one() -> None:
    model = fit_mahalanobis(FEATURES, LABELS, 8)
    assert model.distances_of(FEATURES).mean() == pytest.approx(1.0, abs=0.15)
    assert np.allclose(model.basis @ model.basis.T, np.eye(8), atol=1e-5)


def test_foreign_features_are_far_in_kept_and_in_left_out_directions() -> None:
    model = fit_mahalanobis(FEATURES, LABELS, 8)
    limit = np.percentile(model.distances_of(FEATURES), 99)
    thin = CENTRES[:1] + np.eye(20)[19] * 12
    assert model.distances_of(np.zeros((1, 20)))[0] > limit
    assert model.distances_of(thin)[0] > limit
    assert model.distances_of(CENTRES).max() < 0.3


@pytest.mark.parametrize("score", fitted(), ids=lambda score: str(score.kind))
def test_what_no_class_is_like_is_farther_than_nine_of_ten_own_images(
    score: Foreignness,
) -> None:
    own = score.distances(seen_of(FEATURES, seed=2))
    unlike = np.tile(np.where(np.arange(20) % 2, 3, -3), (20, 1)).astype(np.float32)
    foreign = score.distances(seen_of(unlike))
    assert own.shape == (600,) and (own > 0).all()
    assert np.median(foreign) > np.percentile(own, 90)


def test_one_foreign_place_is_seen_by_its_place_and_lost_in_the_mean() -> None:
    seen = seen_of(FEATURES)
    score = fit_patches(places_of(seen.maps).reshape(-1, 20), 20)
    spoiled = seen.maps[:50].copy()
    spoiled[:, 10:, 0, 0] += np.where(RNG.random((50, 10)) < 0.5, -3, 3)
    with_cell = Outputs(seen.logits[:50], spoiled.mean(axis=(2, 3)), spoiled)
    own = seen_of(FEATURES, seed=3)
    limit = np.percentile(score.distances(own), 90)
    assert (score.distances(with_cell) > limit).mean() > 0.9


def test_the_joint_distance_is_one_at_the_median_and_two_at_the_ninetieth_percentile() -> None:
    seen = seen_of(FEATURES)
    score = fit_joint(FEATURES, textures_of(seen), LABELS, 8)
    own = score.distances(seen_of(FEATURES, seed=4))
    assert np.median(own) == pytest.approx(1.0, abs=0.3)
    assert np.percentile(own, 90) == pytest.approx(2.0, abs=0.7)


def test_percentiles_count_calibration_images_that_lie_nearer() -> None:
    distances = np.linspace(1, 2, 1001)
    table = percentile_table(distances)
    assert len(table) == 101
    assert percentile_of(1.5, table) == pytest.approx(50)
    assert percentile_of(0.0, table) == 0 and percentile_of(9.0, table) == 100


def test_nearest_counts_from_the_first_and_whitening_makes_unit_variances() -> None:
    bank = np.array([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])
    point = np.array([[0.0, 0.0]])
    assert [nearest(point, bank, k)[0] for k in (1, 2, 3)] == pytest.approx([0, 5, 10])
    spread = measure_spread(FEATURES, 20)
    assert spread.whitened(FEATURES).var(axis=0) == pytest.approx(np.ones(20), abs=0.05)
    assert spread.residual(FEATURES).max() < 0.05


def test_a_spread_out_choice_reaches_every_corner() -> None:
    crowd = np.concatenate([RNG.normal(0, 0.01, (500, 2)), [[9.0, 9.0], [-9.0, 9.0]]])
    assert {500, 501} <= set(spread_out(crowd, 5))


def test_an_old_bundle_keeps_its_distance(resnet34_bundle: Bundle) -> None:
    score = load_score(resnet34_bundle)
    assert score is not None and resnet34_bundle.card.ood is not None
    assert score.kind == "mahalanobis"
    assert set(score.tensors()) == set(resnet34_bundle.card.ood.tensors)


def test_a_bundle_without_distance_has_none(densenet121_bundle: Bundle) -> None:
    assert load_score(densenet121_bundle) is None


@pytest.fixture(scope="module")
def joint_bundle(
    tmp_path_factory: pytest.TempPathFactory,
    resnet34_network: object,
    resnet34_bundle: Bundle,
) -> Bundle:
    """The random ResNet-34 with a joint score of noise."""
    engine = open_engine(resnet34_bundle, "openvino", threads=1)
    rng = np.random.default_rng(3)
    seen = engine.infer(rng.standard_normal((60, 3, 64, 64), dtype=np.float32))
    score = fit_joint(seen.features, textures_of(seen), np.arange(60) % 2, 4)
    distances = score.distances(seen)
    ood = OutOfDistribution(
        kind="joint",
        dims=4,
        tensors=tuple(sorted(score.tensors())),
        percentiles=percentile_table(distances),
        threshold=float(distances.max()) * 2,
    )
    card: BundleCard = resnet34_bundle.card.model_copy(
        update={"ood": ood, "files": {}, "digest": ""}
    )
    folder = tmp_path_factory.mktemp("joint") / "random5-resnet34"
    return write_bundle(folder, resnet34_network, card, ood_tensors=score.tensors())  # type: ignore[arg-type]  # a module


def test_a_bundle_gives_back_the_score_that_was_stored(
    joint_bundle: Bundle, resnet34_bundle: Bundle
) -> None:
    score = load_score(joint_bundle)
    assert score is not None and score.kind == "joint"
    engine = open_engine(joint_bundle, "openvino", threads=1)
    seen = engine.infer(np.random.default_rng(3).standard_normal((60, 3, 64, 64), np.float32))
    table = np.percentile(score.distances(seen), np.arange(101))
    assert joint_bundle.card.ood is not None
    # What is stored is half precision: small distances move by up to a quarter of a percent.
    assert table == pytest.approx(joint_bundle.card.ood.percentiles, rel=5e-3)


def test_a_bundle_that_lacks_a_part_of_its_score_is_refused(
    joint_bundle: Bundle, resnet34_bundle: Bundle
) -> None:
    assert joint_bundle.card.ood is not None
    card = resnet34_bundle.card.model_copy(update={"ood": joint_bundle.card.ood})
    mixed = dataclasses.replace(resnet34_bundle, card=card)
    with pytest.raises(BundleRefusedError, match=r"joint score lacks 'ood\."):
        load_score(mixed)


def test_no_file_format_and_no_header_changes_the_distance(
    joint_bundle: Bundle, tmp_path: Path
) -> None:
    """Equal pixels as PNG, as WebP without loss, and as PNG with other metadata: one verdict."""
    rng = np.random.default_rng(8)
    field = cv2.GaussianBlur(rng.integers(0, 255, (96, 96, 3), dtype=np.uint8), (0, 0), 3)
    files = [
        cv2.imencode(".png", field, [cv2.IMWRITE_PNG_COMPRESSION, level])[1].tobytes()
        for level in (0, 9)
    ]
    files.append(cv2.imencode(".webp", field, [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes())
    engine = open_engine(joint_bundle, "openvino", threads=1)
    classifier = Classifier(joint_bundle, engine, count_white_cells=False)  # noise has none
    found = []
    for data in files:
        pixels = decode(data)
        assert not isinstance(pixels, Refusal)
        assert np.array_equal(pixels, field[..., ::-1])
        found.append(classifier.classify_pixels(pixels, 0.25))
    assert len({one.ood_distance for one in found}) == 1
    assert found[0].ood_distance is not None
    assert len({one.decision for one in found}) == 1


def test_jpeg_tables_count_only_through_the_pixels_they_leave(joint_bundle: Bundle) -> None:
    """A JPEG's pixels, stored again without loss, are as foreign as the JPEG itself."""
    rng = np.random.default_rng(9)
    field = cv2.GaussianBlur(rng.integers(0, 255, (96, 96, 3), dtype=np.uint8), (0, 0), 3)
    classifier = Classifier(joint_bundle, open_engine(joint_bundle, "openvino", threads=1))
    for quality in (50, 95):
        data = cv2.imencode(".jpg", field, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        pixels = decode(data)
        assert not isinstance(pixels, Refusal)
        again = decode(cv2.imencode(".png", pixels[..., ::-1])[1].tobytes())
        assert not isinstance(again, Refusal)
        first, second = (classifier.classify_pixels(one, 0.25) for one in (pixels, again))
        assert first.ood_distance == second.ood_distance


def test_the_size_of_a_field_is_no_evidence(joint_bundle: Bundle) -> None:
    """A field of four equal tiles is as foreign as one of them."""
    rng = np.random.default_rng(10)
    tile = cv2.GaussianBlur(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8), (0, 0), 3)
    score = load_score(joint_bundle)
    assert score is not None
    engine = open_engine(joint_bundle, "openvino", threads=1)
    one = engine.infer(((tile / 255 - 0.5) / 0.25).transpose(2, 0, 1)[None].astype(np.float32))
    four = Outputs(*(np.repeat(part, 4, axis=0) for part in (one.logits, one.features, one.maps)))
    assert score.distances(four) == pytest.approx(np.repeat(score.distances(one), 4))
