"""A small bundle that was really fitted: a random ResNet-34 whose last layer learned 60 simulated fields."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from cloud_worker.models.bundle_folder import Bundle
from cloud_worker.models.bundle_writing import write_bundle
from cloud_worker.models.card import (
    BundleCard,
    Calibration,
    ClassCard,
    Meaning,
    Preprocessing,
    Recipe,
    Thresholds,
    TrainingData,
)
from cloud_worker.models.registry import build_network
from edge_device.simulator import DiagnosisClass
from edge_device.simulator.dataset import FieldSettings, write_data_set
from training.data import Sample, read_data_set
from training.fitting_foreignness import Learner, carried_card, fit_score
from training.images import load_images
from training.make_bundle import outputs_of
from training.seen import seen_tensors
from training.split import Parts, describe, split_by_group

SETTINGS = FieldSettings(width_px=160, height_px=120, um_per_px=0.45, white_cells=(3, 5))
MEANINGS = {
    "ALL": Meaning.ACUTE,
    "AML": Meaning.ACUTE,
    "CLL": Meaning.CHRONIC,
    "CML": Meaning.CHRONIC,
    "healthy": Meaning.NO_LEUKEMIA_PATTERN,
}


@dataclass(frozen=True, slots=True)
class Probe:
    """The bundle, its data set, and how that was split."""

    bundle: Bundle
    data: Path
    samples: tuple[Sample, ...]
    parts: Parts


@pytest.fixture(scope="session")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Probe:
    """60 fields of 30 slides, half of them to learn from."""
    root = tmp_path_factory.mktemp("probe")
    classes = list(DiagnosisClass)
    write_data_set(root / "data", classes, slides=6, fields=2, seed=5, settings=SETTINGS)
    names = list(MEANINGS)
    samples = read_data_set(root / "data", names)
    parts = split_by_group(samples, calibration=0.3, test=0.3, seed=1)
    shape = Preprocessing(
        height_px=96,
        width_px=128,
        um_per_px=0.5625,
        mean=(0.85, 0.8, 0.83),
        std=(0.15, 0.15, 0.12),
    )
    train, calibration = (load_images(p, names, shape) for p in (parts.train, parts.calibration))
    torch.manual_seed(3)
    network = build_network("resnet34", len(names)).train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(8, 3, 96, 128))
    network.eval()
    features = np.concatenate([o.features for o in outputs_of(network, train.tiles, shape)])
    own = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-3)
    truth = np.eye(len(names))[train.labels] * 6 - 1.2
    gain = own.T @ np.linalg.solve(own @ own.T + 30 * np.eye(len(own)), truth)
    weight = gain.T / (features.std(axis=0) + 1e-3)
    head = dict(network.named_parameters())
    with torch.no_grad():
        head["fc.weight"].copy_(torch.from_numpy(weight.astype(np.float32)))
        head["fc.bias"].copy_(
            torch.from_numpy(-(weight @ features.mean(axis=0)).astype(np.float32))
        )
    learner = Learner()
    start = 0
    for seen in outputs_of(network, train.tiles, shape):
        learner.add(seen, [int(n) for n in train.labels[start : start + len(seen.logits)]])
        start += len(seen.logits)
    score = fit_score("joint", learner.learned(), 8)
    distances = np.concatenate(
        [score.distances(o) for o in outputs_of(network, calibration.tiles, shape)]
    )
    card = BundleCard(
        architecture="resnet34",
        task="probe5",
        classes=tuple(
            ClassCard(name=n, key=n.lower(), meaning=m, display=f"{m} (simulated)")
            for n, m in MEANINGS.items()
        ),
        preprocessing=shape,
        calibration=Calibration(temperature=0.8, fitted_on="calibration part"),
        thresholds=Thresholds(t_acute=0.4, t_chronic=0.5, abstention=0.6),
        ood=carried_card(score, distances, 97.5, images=len(parts.calibration)),
        training_data=TrainingData(
            kind="synthetic",
            name="synthetic",
            licence="MIT",
            credit="the simulator",
            grouped_by="slide",
            splits={name: describe(part) for name, part in parts.named().items()},
        ),
        recipe=Recipe(
            name="probe",
            command="pytest",
            seeds={"split": 1},
            settings={"split.calibration": 0.3, "split.test": 0.3},
            initial_weights="random",
        ),
        limits_of_use=("For tests only.",),
    )
    bundle = write_bundle(
        root / "probe5-resnet34",
        network,
        card,
        ood_tensors=score.tensors(),
        seen=seen_tensors(parts),
    )
    return Probe(bundle, root / "data", tuple(samples), parts)
