"""The boxes that travel: in the picture's pixels, the most suspicious first, wherever the map's padding lies."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from cloud_worker.cells import Box, SeenField
from cloud_worker.cells.seen import largest_nucleus_first, most_evidence_first
from cloud_worker.finding import acute_evidence
from cloud_worker.models.card import Meaning

BOXES: tuple[Box, ...] = ((0, 0, 40, 40), (100, 0, 40, 40), (100, 100, 40, 40))
SEEN = SeenField(200, 160, BOXES, (30.0, 80.0, 50.0))


def ordered(
    evidence: NDArray[np.float32],
    padded: tuple[int, int] = (80, 100),
    pads: tuple[int, int] = (0, 0),
) -> list[int]:
    """Numbers of the boxes by evidence on a field at half the picture's scale."""
    boxes = most_evidence_first(SEEN, evidence, padded_px=padded, pads_px=pads, field_px=(80, 100))
    assert boxes is not None
    return [BOXES.index(box) for box in boxes]


def test_without_a_map_the_largest_nucleus_comes_first() -> None:
    assert largest_nucleus_first(SEEN) == (BOXES[1], BOXES[2], BOXES[0])
    assert largest_nucleus_first(SeenField(200, 160)) is None


def test_with_a_map_the_box_that_holds_most_of_the_evidence_comes_first() -> None:
    evidence = np.zeros((8, 10), np.float32)
    evidence[0, 0], evidence[5, 6] = 2.0, 3.0  # x 0..10 of 100, and y 50..60, x 60..70
    assert ordered(evidence) == [2, 0, 1]
    evidence[0, 6] = 9.0
    assert ordered(evidence) == [1, 2, 0]


def test_evidence_against_counts_for_nothing_and_a_tie_goes_to_the_larger_nucleus() -> None:
    evidence = np.full((8, 10), -1.0, np.float32)
    evidence[0, 0] = 0.5
    assert ordered(evidence) == [0, 1, 2]


def test_the_padding_at_top_and_left_moves_the_map_not_the_boxes() -> None:
    evidence = np.zeros((10, 13), np.float32)
    evidence[2 + 5, 3 + 6] = 1.0  # box 2 after 20 px of padding above and 30 at the left
    assert ordered(evidence, padded=(100, 130), pads=(20, 30))[0] == 2


def test_evidence_is_the_lead_of_the_strongest_acute_class() -> None:
    maps = np.array([[[5.0, 1.0]], [[2.0, 4.0]], [[1.0, 3.0]], [[4.0, 0.0]]], np.float32)
    meanings = (Meaning.ACUTE, Meaning.ACUTE, Meaning.CHRONIC, Meaning.NO_LEUKEMIA_PATTERN)
    assert acute_evidence(maps, meanings).tolist() == [[1.0, 1.0]]
    chronic = (Meaning.CHRONIC, *[Meaning.NO_LEUKEMIA_PATTERN] * 3)
    assert acute_evidence(maps, chronic).tolist() == [[1.0, -3.0]]


@pytest.mark.parametrize("count", [0, 1])
def test_few_boxes_are_no_special_case(count: int) -> None:
    seen = SeenField(200, 160, BOXES[:count], SEEN.nucleus_um2[:count])
    evidence = np.ones((1, 2), np.float32)
    got = most_evidence_first(
        seen, evidence, padded_px=(80, 100), pads_px=(0, 0), field_px=(80, 100)
    )
    assert got == BOXES[:count]
