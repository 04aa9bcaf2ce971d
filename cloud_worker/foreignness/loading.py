"""The score that a bundle carries, put together from the tensors of its weights file; it fits nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cloud_worker.foreignness.energy import Energy
from cloud_worker.foreignness.joint import load_joint
from cloud_worker.foreignness.mahalanobis import Mahalanobis
from cloud_worker.foreignness.neighbours import Neighbours
from cloud_worker.foreignness.patches import Patches
from cloud_worker.foreignness.residual import VirtualLogit
from cloud_worker.foreignness.score import Foreignness
from cloud_worker.foreignness.spread import Spread
from cloud_worker.models.bundle_folder import Bundle, BundleRefusedError

Stored = Mapping[str, NDArray[np.float32]]


def _spread(stored: Stored) -> Spread:
    return Spread(stored["ood.centre"], stored["ood.basis"], stored["ood.variances"])


_KINDS: Final[dict[str, Callable[[Stored], Foreignness]]] = {
    "mahalanobis": lambda stored: Mahalanobis(
        stored["ood.centres"],
        stored["ood.basis"],
        stored["ood.variances"],
        stored["ood.residual_variance"],
    ),
    "neighbours": lambda stored: Neighbours(_spread(stored), stored["ood.bank"]),
    "patches": lambda stored: Patches(_spread(stored), stored["ood.bank"]),
    "vim": lambda stored: VirtualLogit(_spread(stored), stored["ood.scale"]),
    "energy": lambda stored: Energy(),
    "joint": load_joint,
}


def load_score(bundle: Bundle) -> Foreignness | None:
    """The bundle's fitted score, or None where it carries none; BundleRefusedError where parts lack."""
    if bundle.card.ood is None:
        return None
    tensors: Mapping[str, NDArray[Any]] = bundle.tensors("ood.")
    stored = {name: array.astype(np.float32) for name, array in tensors.items()}
    try:
        return _KINDS[bundle.card.ood.kind](stored)
    except KeyError as missing:
        problem = f"its {bundle.card.ood.kind} score lacks {missing}"
        raise BundleRefusedError(bundle.folder, problem) from missing
