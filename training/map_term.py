"""The loss's map terms: how much evidence lies outside white cells, for the true class or for any; pure.

A class's map is the network's own arithmetic (its mean plus the bias is the logit), so where it is
positive is where the score was gained. A field's class can only be told by its white cells: evidence
from elsewhere is learned by chance. The share is the very one that `benchmarks.simulator_acceptance`
measures; the network is told nothing of it when it serves.

What all classes share changes no probability, and a network may hide behind it: one had learned maps
that are negative everywhere, with no mass that could lie outside. So the classes' mean is taken off, here
from the weights that the term reads and in `centre` from those that are served: a map shows what speaks
for its class more than for the others. Then, at each place, what one class loses the others gain: a
network may call one class wherever the others find no cells, all over the field. The term of all maps
leaves it nothing to say there, neither for a class nor against one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_LEAST_MASS = 1e-3


def share_outside(maps: Tensor, weight: Tensor, labels: Tensor, white_cells: Tensor) -> Tensor:
    """Mean over images of the share of positive mass outside; images without a white cell count not.

    maps N,C,h,w; weight K,C of the layer behind the pooling; labels N; white_cells N,1,H,W of 0 and 1.
    """
    own = torch.einsum("nchw,nc->nhw", maps.float(), _centred(weight)[labels])
    return _outside(torch.relu(own)[:, None], white_cells)


def share_outside_of_all(maps: Tensor, weight: Tensor, white_cells: Tensor) -> Tensor:
    """The same of all classes' evidence, for and against; shapes as above."""
    every = torch.einsum("nchw,kc->nkhw", maps.float(), _centred(weight))
    return _outside(every.abs().sum(1, keepdim=True), white_cells)


def _centred(weight: Tensor) -> Tensor:
    return weight.float() - weight.float().mean(0)


def _outside(mass: Tensor, white_cells: Tensor) -> Tensor:
    # Spread over the field as a map is shown: a place of the map is as wide as a cell.
    spread = nn.functional.interpolate(mass, size=white_cells.shape[2:], mode="bilinear")
    total = spread.sum(dim=(1, 2, 3))
    outside = (spread * (1 - white_cells)).sum(dim=(1, 2, 3)) / (total + _LEAST_MASS)
    shown = (white_cells.sum(dim=(1, 2, 3)) > 0).float()
    return (outside * shown).sum() / shown.sum().clamp(min=1)


def centre(layer: nn.Linear) -> None:
    """Takes the classes' mean off weight K,C and bias K: no probability changes."""
    with torch.no_grad():
        layer.weight.sub_(layer.weight.mean(0))
        layer.bias.sub_(layer.bias.mean())
