"""Bad links: the limits' arithmetic, honest verdicts, and one struck image through real programs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from benchmarks.bad_links.cases import BESIDE, OURS, PROFILES, SIZES, WAYS, Case, Way
from benchmarks.bad_links.measuring import Carried, Tally, measure
from benchmarks.bad_links.table import rows, struck_rows, verdicts
from benchmarks.baselines.baseline import Method
from benchmarks.link_limit import Case as Ends
from benchmarks.link_limit import a_site
from benchmarks.links import Direction, LinkProfile, Outages, find_profile
from benchmarks.links.kernel import why_not
from benchmarks.links.link import Implementation

TEN = find_profile("10mbit")
SINGLE = Way(Method.SINGLE)


def carried(
    took_s: float, *, is_struck: bool = False, attempts: int = 1, failure: str = ""
) -> Carried:
    """One image."""
    return Carried(took_s, False, is_struck, 1.04, 1.0, attempts, failure)


def tally(case: Case, way: Way, *images: Carried) -> Tally:
    """All of them."""
    return Tally(case, way, list(images))


def test_the_limit_is_wire_bytes_a_round_trip_and_the_way() -> None:
    case = Case("b", TEN, 850_000)
    sending_s = (TEN.wire_bytes(850_000) - TEN.mtu_bytes) * 8 / 10e6
    assert case.limit_s == pytest.approx(sending_s + 0.04 + 0.02)
    inline = Case("b", TEN, 22_000)
    assert inline.limit_s == pytest.approx((TEN.wire_bytes(22_000) - 1500) * 8 / 10e6 + 0.02)
    both = Case("b", TEN, 850_000, both_ends=True)
    chunk_s = TEN.transfer_s(64 * 1024, TEN.down)
    assert both.limit_s == pytest.approx(case.limit_s + 0.04 + chunk_s)


def test_lost_packets_travel_again_in_the_limit() -> None:
    lossy = find_profile("2mbit_lossy")
    case = Case("a", lossy, 850_000)
    sending_s = (lossy.wire_bytes(850_000) - 1500) * 8 / 2e6 / 0.98
    assert case.limit_s == pytest.approx(sending_s + 0.1 + 0.05)


def test_every_letter_has_a_link_and_only_one_has_outages() -> None:
    profiles = {letter: find_profile(name) for letter, (name, _) in PROFILES.items()}
    assert [letter for letter, p in profiles.items() if p.outages is not None] == ["d"]
    assert [size for size in SIZES if Case("d", profiles["d"], size).strike_after_s(0) == 0] == [
        22_000
    ]
    assert WAYS[0] == OURS


def test_a_way_that_is_behind_is_said_to_be() -> None:
    case = Case("b", TEN, 850_000)
    limit_s = case.limit_s
    ours, other = tally(case, OURS, carried(1.2 * limit_s)), tally(case, SINGLE, carried(limit_s))
    cubic = tally(case, BESIDE[1], carried(0.1))
    text = "\n".join(verdicts([ours, other, cubic]))
    assert "1.20 of the limit, at most 1.10: missed" in text
    assert "best other way (single) / hemowire: 0.83, behind: missed" in text
    ours = tally(case, OURS, carried(1.02 * limit_s))
    text = "\n".join(verdicts([ours, other, cubic]))
    assert "missed" not in text
    assert "level: met" in text


def test_what_was_lost_or_sent_from_its_beginning_is_counted() -> None:
    case = Case("d", find_profile("20mbit_outages"), 850_000)
    ours = tally(
        case,
        OURS,
        carried(0.4),
        carried(31.0, is_struck=True, attempts=2),
        carried(0.0, failure="not complete in 60 s"),
    )
    text = "\n".join(verdicts([ours]))
    assert "1 of 1 struck images sent from the beginning again, at most 0: missed" in text
    assert "lost by hemowire: 1, at most 0: missed" in text
    [row] = struck_rows([ours])
    assert "| 31.0 | 1.02 |" in row
    [row] = rows([ours])
    assert row.endswith("| 1 |")
    assert "| 0.400 |" in row


async def strike(folder: Path) -> list[Tally]:
    """One image of two sizes over a quick link, and one each while it goes away for two seconds."""
    link = Direction(rate_bit_per_s=8e6, delay_ms=5)
    profile = LinkProfile(name="quick", title="8 Mbit/s, 5 ms", up=link, down=link)
    outages = Outages(first_after_s=1, every_s=60, lasts_s=2)
    cases = [
        Case("d", profile.model_copy(update={"outages": outages}), size, most_images=1)
        for size in (2_000_000, 22_000)
    ]
    with a_site(Ends(profile, False, 22_000), folder, Implementation.NAMESPACES) as (site, _):
        return await measure(site, cases, [OURS], 1, lambda *_: None)


@pytest.mark.skipif(bool(why_not()), reason=f"no namespaces here: {why_not()}")
@pytest.mark.timeout(120)
def test_an_image_that_an_outage_struck_goes_on_where_it_was(tmp_path: Path) -> None:
    large, small = asyncio.run(strike(tmp_path / "site"))
    assert [image.failure for t in (large, small) for image in t.images if image.failure] == []
    [struck] = [image for image in large.images if image.is_struck]
    assert struck.attempts == 1
    assert struck.took_s > 2.0 + large.case.limit_s * 0.5
    assert struck.payload_share < 1.5
    [struck] = [image for image in small.images if image.is_struck]
    assert struck.took_s > 1.9
    assert len(small.images) == small.case.images + 1
