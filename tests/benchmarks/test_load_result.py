"""The result document: written and read back the same, and what is none refused by name."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]

from benchmarks.load.histogram import add_up, histogram_of
from benchmarks.load.result import ResultRefusedError, read_result, write_result
from tests.benchmarks.example_result import make_example


def test_a_document_is_read_as_it_was_written(tmp_path: Path) -> None:
    document = make_example()
    write_result(document, tmp_path / "a.json")
    assert read_result(tmp_path / "a.json") == document


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "no JSON"),
        ("[]", "no hemowire.bench document"),
        ('{"schema": "hemowire.bench", "version": 2}', "version 2 of hemowire.bench"),
        ('{"schema": "hemowire.bench", "version": 1}', "hemowire: Field required"),
    ],
)
def test_what_is_no_document_is_refused_with_its_reason(
    tmp_path: Path, content: str, words: str
) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(ResultRefusedError, match=words):
        read_result(path)


def test_histograms_are_added_and_their_percentiles_never_averaged() -> None:
    low = histogram_of([1.0] * 90).latency("x")
    high = histogram_of([100.0] * 10).latency("x")
    whole = add_up([low, high])
    assert whole.count == 100
    assert whole.p90_ms == pytest.approx(1.0, rel=0.001)
    assert whole.p95_ms == pytest.approx(100.0, rel=0.001)


def test_percentiles_are_those_that_the_hdr_library_gives() -> None:
    draw = random.Random(5)
    samples = [draw.lognormvariate(3, 1) for _ in range(997)]
    mine = histogram_of(samples).latency("x")
    library = HdrHistogram.decode(mine.hdr.encode())
    assert library.get_total_count() == 997
    for point in mine.curve:
        theirs = library.get_value_at_percentile(point.percentile) / 1000
        assert point.ms == pytest.approx(theirs), point
    assert mine.max_ms == pytest.approx(max(samples), rel=0.001)
    assert mine.min_ms == pytest.approx(min(samples), rel=0.001)
