"""Thumbnails are small JPEGs of the field, with the id where a person sees it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from cloud_worker.thumbnail import LONG_SIDE_PX, make_thumbnail
from tests.cloud_worker.images import a_field

IMAGE_ID = "0" * 26 + "3f9c2a"


def _pixels(jpeg: bytes) -> np.ndarray:
    assert jpeg[:2] == b"\xff\xd8"
    return np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB))


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (900, 1440), (224, 224), (30, 20)])
def test_it_keeps_the_shape_and_never_enlarges(width: int, height: int) -> None:
    small = _pixels(make_thumbnail(a_field(1, width, height), IMAGE_ID))
    assert max(small.shape[:2]) == min(LONG_SIDE_PX, max(width, height))
    assert small.shape[1] / small.shape[0] == pytest.approx(width / height, rel=0.02)


def test_the_end_of_the_id_is_burned_in_and_the_field_is_not_touched_elsewhere() -> None:
    field = a_field(2)
    first = _pixels(make_thumbnail(field, IMAGE_ID)).astype(int)
    other = _pixels(make_thumbnail(field, "0" * 26 + "777777")).astype(int)
    same_end = _pixels(make_thumbnail(field, "f" * 26 + "3f9c2a")).astype(int)
    differs = np.abs(first - other).max(axis=2) > 40
    rows, columns = np.nonzero(differs)
    assert len(rows) > 20
    assert rows.max() < 32
    assert columns.max() < 96
    assert (first == same_end).all()
    assert np.abs(first[40:] - field[40:]).mean() < 6


def test_the_input_is_left_alone() -> None:
    field = a_field(3)
    before = field.copy()
    make_thumbnail(field, IMAGE_ID)
    assert (field == before).all()
