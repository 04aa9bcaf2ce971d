"""Link profiles: the shipped ones are sound, wrong ones are refused by name, and the arithmetic holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.links import Direction, LinkProfile, find_profile, profile_names
from benchmarks.links.profile import UnknownProfileError


@pytest.mark.parametrize("name", profile_names())
def test_every_shipped_profile_can_be_read(name: str) -> None:
    profile = find_profile(name)
    assert profile.name == name
    assert profile.is_shaped == (name != "loopback")


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownProfileError, match=r"'10mbi'; known are loopback, lan, 10mbit"):
        find_profile("10mbi")


def test_a_wrong_table_is_refused_with_its_key(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[odd]\ntitle = "odd"\nup = { rate_bit_per_s = 1 }\n')
    with pytest.raises(UnknownProfileError, match=r"\[odd\]: up.rate_bit_per_s"):
        find_profile("odd", file)


def test_the_limit_counts_headers_and_the_one_way_delay() -> None:
    way = Direction(rate_bit_per_s=10e6, delay_ms=20)
    profile = LinkProfile(name="x", title="x", up=way)
    assert profile.wire_bytes(1448) == 1500
    assert profile.wire_bytes(1449) == 1449 + 104
    # One packet, of 1.2 ms, finds the token bucket full.
    assert profile.transfer_s(1448 * 1001, way) == pytest.approx(1.2 + 0.02)
