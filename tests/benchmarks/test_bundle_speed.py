"""Bundles side by side: one row each, with size and speed."""

from __future__ import annotations

import pytest

from benchmarks.bundle_speed import main


def test_each_bundle_has_a_row_with_its_size_and_its_speed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["--bundle", "synthetic5-mobilenet_v2", "--rounds", "1", "--seconds", "0.2"]
    assert main(words) == 0
    row = capsys.readouterr().out.strip().splitlines()[-1]
    name, size, field, engine, rate, by_cpu = (cell.strip() for cell in row.strip("| ").split("|"))
    assert name.startswith("synthetic5-mobilenet_v2@") and engine.startswith("openvino")
    assert 5 < float(size) < 7 and field == "432 x 320"
    assert float(rate) > 0 and float(by_cpu) > 0
