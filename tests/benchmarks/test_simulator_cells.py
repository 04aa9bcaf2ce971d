"""What the five-type classifier of single cells is shown: the same cell under other light and stain."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.simulator_cell_network import NUCLEUS, Crops, between_points, changed


def cell(light: tuple[float, float, float], stain: float) -> Crops:
    """A dark middle in a paler ring on an empty background: 1,80,80,3."""
    y, x = np.mgrid[-40:40, -40:40]
    far = np.hypot(x, y)
    absorbed = np.where(far < 14, 1.2, np.where(far < 24, 0.4, 0.0))[..., None]
    passed = np.exp(-stain * absorbed * np.array([1.0, 1.3, 0.6]))
    return np.asarray(np.round(passed * np.array(light) * 255)[None], np.uint8)


def test_light_camera_and_strength_of_the_stain_are_gone() -> None:
    shown = between_points(cell((0.95, 0.9, 0.85), 1.0))
    assert shown.shape == (1, 3, 80, 80)
    assert torch.allclose(shown[0, :, 0, 0], torch.ones(3), atol=0.01)
    assert torch.allclose(shown[0, :, 40, 40], torch.full((3,), NUCLEUS), atol=0.02)
    ring = NUCLEUS ** (0.4 / 1.2)
    assert torch.allclose(shown[0, :, 40, 60], torch.full((3,), ring), atol=0.02)
    for light, stain in (((0.4, 0.5, 0.6), 1.0), ((0.95, 0.9, 0.85), 0.6)):
        assert torch.allclose(between_points(cell(light, stain)), shown, atol=0.04)


def test_an_empty_crop_stays_finite() -> None:
    for level in (0, 128, 255):
        shown = between_points(np.full((2, 80, 80, 3), level, np.uint8))
        assert torch.isfinite(shown).all()


def test_changes_keep_shape_and_range() -> None:
    torch.manual_seed(1)
    shown = between_points(np.repeat(cell((0.9, 0.9, 0.9), 1.0), 16, axis=0))
    after = changed(shown)
    assert after.shape == shown.shape
    assert torch.isfinite(after).all()
    assert after.min() >= 0
    assert after.max() <= 1.2
    assert (after - shown).abs().mean() > 0.01
