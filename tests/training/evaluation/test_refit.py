"""A trained bundle gets another score and keeps everything else; another data set is refused."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from cloud_worker.classify import Classifier
from cloud_worker.engines.engine import open_engine
from cloud_worker.engines.torch_engine import load_network
from cloud_worker.foreignness.loading import load_score
from cloud_worker.models.bundle_writing import write_bundle
from tests.training.evaluation.conftest import Probe
from training.data import DataError, read_image
from training.own_images import own_samples
from training.own_images import test_part as kept_for_testing
from training.refit_foreignness import main, refit
from training.seen import seen_digests

pytestmark = pytest.mark.timeout(300)
"""The probe is fitted and exported first."""


def test_a_refitted_bundle_differs_in_its_score_alone(probe: Probe, tmp_path: Path) -> None:
    out = tmp_path / "again"
    words = [str(probe.bundle.folder), "--data", str(probe.data), "--out", str(out)]
    assert main([*words, "--kind", "vim", "--percentile", "90"]) == 0
    from cloud_worker.models.bundle import load_bundle

    made = load_bundle(out)
    score = load_score(made)
    assert score is not None and score.kind == "vim"
    assert made.card.ood is not None and "90 % of the calibration part" in made.card.ood.fitted_on
    assert made.card.model_copy(update={"ood": None, "files": {}, "digest": ""}) == (
        probe.bundle.card.model_copy(update={"ood": None, "files": {}, "digest": ""})
    )
    assert seen_digests(made) == seen_digests(probe.bundle)
    before, after = (
        Classifier(one, open_engine(one, "openvino", threads=1)) for one in (probe.bundle, made)
    )
    calibration = probe.parts.calibration
    kept = 0
    for sample in calibration:
        pixels = read_image(sample.path)
        first, second = (c.classify_pixels(pixels, sample.um_per_px) for c in (before, after))
        assert first.class_map is not None and second.class_map is not None
        assert np.allclose(first.class_map, second.class_map, atol=1e-3)
        assert second.ood_distance is not None
        kept += second.ood_distance <= made.card.ood.threshold + 1e-6
    assert kept == pytest.approx(0.9 * len(calibration), abs=1)


def test_without_the_bundles_own_images_nothing_is_fitted(probe: Probe, tmp_path: Path) -> None:
    engine = open_engine(probe.bundle, "openvino", threads=1)
    with pytest.raises(DataError, match="lacks the bundle's training or calibration images"):
        refit(probe.bundle, engine, probe.parts.test, tmp_path / "none")


def test_a_bundle_from_before_digests_is_read_by_its_set_s_own_groups_and_gets_them(
    probe: Probe, tmp_path: Path
) -> None:
    score = load_score(probe.bundle)
    assert score is not None
    card = probe.bundle.card.model_copy(update={"files": {}, "digest": ""})
    old = write_bundle(
        tmp_path / "old", load_network(probe.bundle), card, ood_tensors=score.tensors()
    )
    assert not seen_digests(old)
    # A set with groups of its own, as it was before hemowire indexed any: no slide seeds.
    manifest = tmp_path / "set.csv"
    with manifest.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("path", "label", "group", "um_per_px"))
        rows.writerows((s.path, s.label, s.group, s.um_per_px) for s in probe.samples)
    samples = own_samples(old, manifest)
    assert {s.sha256 for s in kept_for_testing(old, samples)} == {
        s.sha256 for s in probe.parts.test
    }
    made = refit(
        old, open_engine(old, "openvino", threads=1), samples, tmp_path / "new", fit_images=12
    )
    assert seen_digests(made) == seen_digests(probe.bundle)
    assert made.card.limits_of_use == probe.bundle.card.limits_of_use
