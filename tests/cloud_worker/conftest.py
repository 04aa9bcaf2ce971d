"""Bundles with random weights, made once per run: real files, real engines, no training."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cloud_worker.foreignness.mahalanobis import fit_mahalanobis
from cloud_worker.foreignness.score import percentile_table
from cloud_worker.models.bundle import Bundle, load_bundle, write_bundle
from cloud_worker.models.card import (
    BundleCard,
    Calibration,
    ClassCard,
    Meaning,
    OutOfDistribution,
    Preprocessing,
    Recipe,
    Thresholds,
    TrainingData,
)
from cloud_worker.models.registry import build_network

SIDE_PX = 64
CLASSES = (
    ClassCard(name="ALL", key="all", meaning=Meaning.ACUTE, display="acute lymphoblastic leukemia"),
    ClassCard(name="AML", key="aml", meaning=Meaning.ACUTE, display="acute myeloid leukemia"),
    ClassCard(
        name="CLL", key="cll", meaning=Meaning.CHRONIC, display="chronic lymphocytic leukemia"
    ),
    ClassCard(name="CML", key="cml", meaning=Meaning.CHRONIC, display="chronic myeloid leukemia"),
    ClassCard(
        name="Healthy",
        key="healthy",
        meaning=Meaning.NO_LEUKEMIA_PATTERN,
        display="no leukemia pattern",
    ),
)


def card_of(architecture: str, *, side_px: int = SIDE_PX, ood: bool = False) -> BundleCard:
    """A card of an untrained five-class network."""
    return BundleCard(
        architecture=architecture,
        task="random5",
        classes=CLASSES,
        preprocessing=Preprocessing(
            height_px=side_px,
            width_px=side_px,
            um_per_px=0.25,
            mean=(0.5, 0.5, 0.5),
            std=(0.25, 0.25, 0.25),
            masked_corner_px=8,
        ),
        calibration=Calibration(temperature=1.5),
        thresholds=Thresholds(t_acute=0.4, t_chronic=0.5, abstention=0.5),
        ood=OutOfDistribution(dims=4, percentiles=tuple(np.linspace(0.5, 3, 101)), threshold=2.8)
        if ood
        else None,
        training_data=TrainingData(
            kind="synthetic", name="synthetic", licence="MIT", credit="none", grouped_by="nothing"
        ),
        recipe=Recipe(name="none", command="none", seeds={"torch": 7}, initial_weights="random"),
        limits_of_use=("Random weights: for tests only.",),
    )


def random_network(architecture: str, classes: int = 5, side_px: int = SIDE_PX) -> nn.Module:
    """Random weights with batch-norm statistics of noise, so that activations keep a usable size."""
    torch.manual_seed(7)
    network = build_network(architecture, classes).train()
    # Without batch normalisation a forward pass learns nothing.
    normalised = any(isinstance(part, nn.BatchNorm2d) for part in network.modules())
    with torch.no_grad():
        for _ in range(10 if normalised else 0):
            network(torch.randn(4, 3, side_px, side_px))
    return network.eval()


@pytest.fixture(scope="session")
def make_card() -> Callable[..., BundleCard]:
    """The function that makes a card of an untrained five-class network."""
    return card_of


@pytest.fixture(scope="session")
def resnet34_network() -> nn.Module:
    """ResNet-34 with random weights."""
    return random_network("resnet34")


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], Bundle]) -> Bundle:
    """The bundle, made by the first of this run's test processes that needs it."""
    base = factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = root / "bundles" / name
    folder.parent.mkdir(exist_ok=True)
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return load_bundle(folder) if folder.is_dir() else make(folder)


@pytest.fixture(scope="session")
def resnet34_bundle(
    tmp_path_factory: pytest.TempPathFactory, resnet34_network: nn.Module
) -> Bundle:
    """A five-class ResNet-34 bundle with random weights and a fitted distance."""
    card = card_of("resnet34", ood=True)
    noise = torch.randn(60, 3, SIDE_PX, SIDE_PX, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        features = resnet34_network(noise)[1].numpy()
    model = fit_mahalanobis(features, np.arange(60) % 2, 4)
    distances = model.distances_of(features)
    assert card.ood is not None
    ood = card.ood.model_copy(
        update={
            "percentiles": percentile_table(distances),
            "threshold": float(distances.max()) * 1.05,
        }
    )
    card = card.model_copy(update={"ood": ood})
    return made_once(
        tmp_path_factory,
        "random5-resnet34",
        lambda folder: write_bundle(folder, resnet34_network, card, ood_tensors=model.tensors()),
    )


@pytest.fixture(scope="session")
def densenet121_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A five-class DenseNet-121 bundle with random weights and no distance."""
    return made_once(
        tmp_path_factory,
        "random5-densenet121",
        lambda folder: write_bundle(folder, random_network("densenet121"), card_of("densenet121")),
    )
