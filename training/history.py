"""What happened epoch by epoch, as it is kept beside a bundle; it judges nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the training part."""

    epoch: int
    """Counted from 1."""
    loss: float
    accuracy: float
    learning_rate: float
    seconds: float
    validation_loss: float | None = None
    validation_accuracy: float | None = None
    generator_loss: float | None = None
    """Of an AC-GAN only."""
    real_accuracy: float | None = None
    """Of an AC-GAN only: how often its discriminator tells real from generated."""


@dataclass(frozen=True, slots=True)
class StageHistory:
    """All epochs of one stage."""

    name: str
    learns: str
    epochs: tuple[Epoch, ...] = ()
    best_epoch: int | None = None
    """Whose weights were kept; None where the last ones are."""
    stopped_early: bool = False

    def after(self, epoch: Epoch) -> StageHistory:
        """One epoch longer."""
        return replace(self, epochs=(*self.epochs, epoch))

    def plain(self) -> dict[str, Any]:
        """For JSON and for checkpoints."""
        return {**asdict(self), "epochs": [asdict(epoch) for epoch in self.epochs]}


def read_history(plain: Sequence[dict[str, Any]]) -> list[StageHistory]:
    """What `plain` wrote."""
    return [
        StageHistory(**{**stage, "epochs": tuple(Epoch(**epoch) for epoch in stage["epochs"])})
        for stage in plain
    ]
