"""The AC-GAN of Karar et al. 2022: a classifier that is a GAN's discriminator, and the generator.

The paper gives no layers: these are the usual ones for 28x28 pixels, and no other input fits. How the
two are trained (the class loss on real images only) is the training's business.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

SIDE_PX = 28
NOISE = 100


class AcGanClassifier(nn.Module):
    """The discriminator: four convolutions, then a source head (real or made) and a class head."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        # Normalisation follows the activation, and the first and last convolution have none.
        self.features = nn.Sequential(
            *_stage(3, 16, stride=2, normalised=False),
            *_stage(16, 32, stride=2, normalised=True),
            *_stage(32, 64, stride=2, normalised=True),
            *_stage(64, 128, stride=1, normalised=False),
        )
        self.source = nn.Linear(128 * 4 * 4, 1)
        self.classifier = nn.Linear(128 * 4 * 4, classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x: N,3,28,28 -> class logits N,K; features N,128; maps N,128,4,4."""
        maps = self.features(x)
        return self.classifier(maps.float().flatten(1)), maps.float().mean(dim=(2, 3)), maps

    def judge(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x: N,3,28,28 -> logit of being real N; class logits N,K."""
        flat = self.features(x).float().flatten(1)
        return self.source(flat).squeeze(1), self.classifier(flat)


class AcGanGenerator(nn.Module):
    """G(class, z): N class numbers and N,100 noise -> images N,3,28,28 in -1..1."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, NOISE)
        self.dense = nn.Linear(NOISE, 128 * 7 * 7)
        self.paint = nn.Sequential(
            nn.BatchNorm2d(128),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(128, 128, 3, padding=1),
            nn.BatchNorm2d(128),
            nn.LeakyReLU(0.2),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(128, 64, 3, padding=1),
            nn.BatchNorm2d(64),
            nn.LeakyReLU(0.2),
            nn.Conv2d(64, 3, 3, padding=1),
            nn.Tanh(),
        )

    def forward(self, kind: Tensor, z: Tensor) -> Tensor:
        """Class numbers N and noise N,100 -> images."""
        seed = self.dense(self.embedding(kind) * z).unflatten(1, (128, 7, 7))
        painted: Tensor = self.paint(seed)
        return painted

    def draw(self, kind: Tensor, random: torch.Generator | None = None) -> Tensor:
        """One image per class number, from fresh noise."""
        z = torch.randn(len(kind), NOISE, generator=random).to(kind.device)
        drawn: Tensor = self(kind, z)
        return drawn


def _stage(inputs: int, outputs: int, *, stride: int, normalised: bool) -> list[nn.Module]:
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, 3, stride, padding=1),
        nn.LeakyReLU(0.2),
        nn.Dropout(0.25),
    ]
    return [*layers, nn.BatchNorm2d(outputs)] if normalised else layers
