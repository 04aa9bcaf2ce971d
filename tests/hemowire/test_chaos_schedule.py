"""Chaos is repeatable: the same seed gives the same images and the same faults."""

from __future__ import annotations

from hemowire.chaos.pictures import Look, draw_pictures
from hemowire.chaos.schedule import FaultKind, Pace, PlannedFault, Spoil, Step, Targets, plan_faults

PROGRAMS = ["broker", "records", "worker-1", "worker-2", "edge-scope-1", "edge-scope-2"]
LINKS = ["records", "workers", "scope-1", "scope-2"]
TARGETS = Targets(PROGRAMS, LINKS, ["archive", "scope-1", "scope-2"])
PACE = Pace(every_s=2.0, longest_s=8.0)


def plan(seed: int, count: int) -> tuple[PlannedFault, ...]:
    return plan_faults(seed, count, TARGETS, PACE)


def test_a_seed_names_one_plan() -> None:
    assert plan(7, 50) == plan(7, 50)
    assert plan(7, 50) != plan(8, 50)


def test_every_kind_comes_before_one_comes_again_and_nothing_is_spared() -> None:
    faults = plan(3, 1500)
    assert {fault.kind for fault in faults[: len(FaultKind)]} == set(FaultKind)
    killed = {fault.target for fault in faults if fault.kind is FaultKind.KILL}
    assert killed == set(PROGRAMS)
    assert {fault.target for fault in faults if fault.kind is FaultKind.CUT} == set(LINKS)
    assert {f.target for f in faults if f.kind is FaultKind.ARCHIVE_AWAY} == {"archive"}
    assert {fault.step for fault in faults} == {None, *Step}
    assert {fault.spoil for fault in faults} == {None, *Spoil}
    assert all(0 < fault.lasts_s <= PACE.longest_s for fault in faults)
    assert [fault.at_s for fault in faults] == sorted(fault.at_s for fault in faults)


def test_a_link_that_loses_packets_keeps_its_shape_and_is_cut_like_others() -> None:
    lossy = Targets(PROGRAMS, LINKS, ["archive"], lossy=["scope-2"])
    faults = plan_faults(3, 800, lossy, PACE)
    slowed = {fault.target for fault in faults if fault.kind is FaultKind.SLOW}
    assert slowed == set(LINKS) - {"scope-2"}
    assert "scope-2" in {fault.target for fault in faults if fault.kind is FaultKind.CUT}


def test_a_kind_that_cannot_be_done_is_left_out() -> None:
    kinds = [kind for kind in FaultKind if kind is not FaultKind.DISK_FULL]
    faults = plan_faults(3, 100, Targets(PROGRAMS, LINKS, []), PACE, kinds)
    assert {fault.kind for fault in faults} == set(kinds)


def test_no_two_pictures_are_alike_and_a_seed_names_them() -> None:
    pictures = list(draw_pictures(5, 40))
    assert len({picture.content for picture in pictures}) == 40
    assert pictures == list(draw_pictures(5, 40))
    assert {picture.look for picture in pictures} == set(Look) - {Look.DEADLY}
