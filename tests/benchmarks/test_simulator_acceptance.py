"""The acceptance tests of the simulated smears, small: what tells the class, and what must not."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.simulator_acceptance import leak_shown, neighbours
from benchmarks.simulator_bayes import most_likely, reader_accuracy
from benchmarks.simulator_readers import (
    Fields,
    Values,
    colour_statistics,
    render_fields,
    scored,
    separation,
    taught_by_colour,
)
from edge_device.simulator import CellType, DiagnosisClass
from edge_device.simulator.confounding import Sources
from training.evaluation.map_places import share_inside

COARSE = 0.8


def colours(fields: Fields) -> Values:
    return np.stack([colour_statistics(field.image) for field in fields.fields])


@pytest.fixture(scope="module")
def tied() -> Fields:
    return render_fields(12, 1, sources=Sources.TIED, um_per_px=COARSE)


def test_confounded_sources_give_the_class_away_until_they_are_swapped(tied: Fields) -> None:
    again = render_fields(12, 2, sources=Sources.TIED, um_per_px=COARSE)
    swapped = render_fields(12, 3, sources=Sources.SWAPPED, um_per_px=COARSE)
    taught = colours(tied)
    same, other = (
        scored(
            fields.labels, taught_by_colour(taught, tied.labels, colours(fields)), fields.slides
        ).value
        for fields in (again, swapped)
    )
    assert same >= 0.95
    assert other <= 0.4


def test_independent_sources_do_not_give_the_class_away_without_white_cells() -> None:
    train, test = (
        render_fields(20, seed, background_only=True, um_per_px=COARSE) for seed in (4, 5)
    )
    found = scored(
        test.labels, taught_by_colour(colours(train), train.labels, colours(test)), test.slides
    )
    assert found.low <= 0.2 <= found.high


def test_augmenting_before_the_split_shows_what_an_honest_split_does_not() -> None:
    fields = render_fields(10, 6, um_per_px=COARSE)
    leaky, honest = leak_shown(fields, 7, copies=5)
    assert leaky.value >= 0.9
    assert honest.value <= 0.5


def test_no_truth_parameter_parts_neighbouring_types() -> None:
    value, where = neighbours(cells=200)
    assert value < 0.9, where


def test_more_white_cells_make_the_perfect_reader_surer() -> None:
    accuracies = [reader_accuracy((cells, cells), 300) for cells in (1, 2, 5)]
    assert 0.7 < accuracies[0] < accuracies[1] < accuracies[2] < 1.0


def test_the_perfect_reader_knows_what_each_class_is_made_of() -> None:
    assert most_likely([CellType.LYMPHOBLAST] * 3) is DiagnosisClass.ALL
    assert most_likely([CellType.MYELOBLAST] * 3) is DiagnosisClass.AML
    assert most_likely([CellType.SMALL_LYMPHOCYTE] * 5) is DiagnosisClass.CLL
    assert most_likely([CellType.MYELOCYTE, CellType.SEGMENTED]) is DiagnosisClass.CML
    assert most_likely([CellType.SEGMENTED] * 4) is DiagnosisClass.HEALTHY


def test_a_map_s_share_on_white_cells_counts_positive_mass_only() -> None:
    cells = np.zeros((40, 40), np.uint8)
    cells[:, :20] = 1
    heat = np.array([[3.0, 1.0], [3.0, -9.0]])
    # Interpolation spreads some of the left half's mass over the middle.
    assert share_inside(heat, cells) == pytest.approx(6 / 7, abs=0.1)
    assert share_inside(-np.ones((2, 2)), cells) == 0.0


def test_separation_is_a_half_for_equals_and_one_for_strangers() -> None:
    assert separation([1, 2, 3], [1, 2, 3]) == pytest.approx(0.5)
    assert separation([1, 2], [3, 4]) == separation([3, 4], [1, 2]) == 1.0
