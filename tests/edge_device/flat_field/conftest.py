"""A FlatField that was taught one light."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_device.flat_field import FlatField, FlatFieldSettings
from tests.edge_device.flat_field.pictures import frame

Teach = Callable[..., FlatField]


@pytest.fixture
def taught(tmp_path: Path) -> Teach:
    """Makes a FlatField over tmp_path that learned `frames` frames; keywords are settings."""

    def make(frames: int = 8, **changes: object) -> FlatField:
        field = FlatField(tmp_path, FlatFieldSettings.model_validate(changes))
        for seed in range(frames):
            field.learn(frame(seed))
        return field

    return make
