"""Scenario files: the shipped ones are read, a wrong one is refused with the field and the limit."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.load.measure_names import check_name, unit_of
from benchmarks.load.scenario import load_scenario
from service_runtime.settings import SettingsError

_SCENARIOS = Path(__file__).resolve().parents[2] / "benchmarks" / "scenarios"
_GOOD = """
name = "mine"
title = "Mine"
baselines = ["single"]
[arrivals]
kind = "fixed"
rate_per_s = 2.0
[[targets]]
text = "fast"
measure = "over.single.offered_to_stored.p50_ms"
at_most = 1.5
"""


@pytest.mark.parametrize("path", sorted(_SCENARIOS.glob("*.toml")), ids=lambda path: path.stem)
def test_a_shipped_scenario_is_read_and_named_like_its_file(path: Path) -> None:
    scenario = load_scenario(path)
    assert scenario.name == path.stem
    assert scenario.targets


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("rate_per_s = 2.0", "rate_per_s = 0.0", "rate_per_s: .*greater than 0"),
        ("rate_per_s = 2.0", "rate = 2.0", "rate"),
        (
            'kind = "fixed"',
            'kind = "random"',
            "'fixed', 'poisson', 'bursts', 'engine_share', 'closed'",
        ),
        ('"single"]', '"pigeon"]', "baselines"),
        ('"single"]', '"http"]', "baselines that do not run: single"),
        ("over.single", "under.single", "no measure begins with 'under'"),
        ("p50_ms", "p51_ms", "'p51_ms' is none of min_ms, p50_ms"),
        ("at_most = 1.5", "", "one of at_most and at_least"),
        ("rate_per_s = 2.0", "rate_per_s = 9999.0", "at most 8589934592 allowed"),
        ('kind = "fixed"\nrate_per_s = 2.0', 'kind = "engine_share"\nshare = 3.0', "share"),
        (
            '[arrivals]\nkind = "fixed"\nrate_per_s = 2.0',
            '[images]\nclassified = false\n[arrivals]\nkind = "engine_share"\nshare = 0.5',
            "engine_share need images that are classified",
        ),
        ("[arrivals]", '[link]\ndevice = "5g"\n[arrivals]', "no link profile '5g'; known are"),
    ],
)
def test_a_wrong_scenario_is_refused_by_field_and_limit(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(_GOOD)
    assert load_scenario(path).name == "mine"
    path.write_text(_GOOD.replace(old, new))
    with pytest.raises(SettingsError, match=words):
        load_scenario(path)


def test_a_shipped_scenario_is_found_by_name_and_a_missing_file_told_what_there_is(
    tmp_path: Path,
) -> None:
    assert load_scenario(Path("quick")).name == "quick"
    with pytest.raises(SettingsError, match=r"no such file; by name there are .*fleet50"):
        load_scenario(tmp_path / "none.toml")


def test_a_measures_unit_follows_from_its_name() -> None:
    assert check_name("program.worker.growth_bytes") == ""
    assert unit_of("program.worker.growth_bytes") == "B"
    assert unit_of("times_limit.offered_to_stored.p50_ms") == "x"
    assert unit_of("over.single.offered_to_stored.p50_ms") == "ms"
    assert check_name("total.scheduled_to_published") == (
        "total has 2 parts behind it, each after a dot"
    )
