"""The thresholds inside a served network keep the pixels that the authors' segmentation keeps."""

from __future__ import annotations

import numpy as np
import torch

from cloud_worker.cells.authors import authors_thresholds, mask_as_authors
from cloud_worker.models.fusion import Fusion
from cloud_worker.models.registry import build_network, build_served_network
from cloud_worker.models.segment_inside import ColourThresholds

MEAN, STD = (0.7, 0.6, 0.7), (0.15, 0.2, 0.1)


def colours() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Any colours, and many about the violet that the thresholds keep."""
    rng = np.random.default_rng(3)
    any_colour = rng.integers(0, 256, (96, 256, 3))
    violet = np.array([120, 90, 180]) + rng.integers(-60, 60, (96, 256, 3))
    both = np.clip(np.concatenate([any_colour, violet]), 0, 255)
    return np.asarray(both, np.uint8)


def normalised(rgb: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> torch.Tensor:
    pixels = torch.from_numpy(rgb.astype(np.float32)).permute(2, 0, 1)[None] / 255
    return (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def thresholds() -> ColourThresholds:
    module = ColourThresholds()
    limits = authors_thresholds()
    module.set((limits.hue, limits.saturation, limits.value), MEAN, STD)
    return module


def test_they_agree_with_the_library_on_all_but_rounding() -> None:
    rgb = colours()
    segmented = thresholds()(normalised(rgb))[0].permute(1, 2, 0)
    black = -torch.tensor(MEAN) / torch.tensor(STD)
    kept = ~torch.isclose(segmented, black).all(dim=-1).numpy()
    expected = mask_as_authors(rgb)
    assert 0.05 < expected.mean() < 0.6
    assert (kept == expected).mean() > 0.999


def test_what_is_kept_keeps_its_colour() -> None:
    images = normalised(colours())
    segmented = thresholds()(images)
    kept = torch.from_numpy(mask_as_authors(colours()))
    share = (segmented == images).all(dim=1)[0][kept].float().mean()
    assert share > 0.99


def test_a_served_fusion_makes_of_the_original_what_training_gave_it_as_two() -> None:
    torch.manual_seed(1)
    trained = build_network("fusion_mobilenet", 4).eval()
    served = build_served_network("fusion_mobilenet", 4).eval()
    assert isinstance(served, Fusion)
    assert served.segment is not None
    served.segment.load_state_dict(thresholds().state_dict())
    served.load_state_dict(trained.state_dict(), strict=False)
    image = normalised(colours()[64:128, :64])
    with torch.inference_mode():
        expected = trained(image, served.segment(image))[0]
        alone = served(image)[0]
        blind = trained(image)[0]
    assert torch.allclose(alone, expected)
    assert not torch.allclose(alone, blind)
