"""Chaos is repeatable: the same seed gives the same images and the same faults."""

from __future__ import annotations

from hemowire.chaos.pictures import Look, draw_pictures
from hemowire.chaos.schedule import FaultKind, Pace, plan_faults

PROGRAMS = ["broker", "records", "worker-1", "worker-2", "edge-scope-1", "edge-scope-2"]
LINKS = ["records", "workers", "scope-1", "scope-2"]
PACE = Pace(every_s=2.0, longest_s=8.0)


def test_a_seed_names_one_plan() -> None:
    assert plan_faults(7, 50, PROGRAMS, LINKS, PACE) == plan_faults(7, 50, PROGRAMS, LINKS, PACE)
    assert plan_faults(7, 50, PROGRAMS, LINKS, PACE) != plan_faults(8, 50, PROGRAMS, LINKS, PACE)


def test_every_kind_comes_before_one_comes_again_and_nothing_is_spared() -> None:
    plan = plan_faults(3, 400, PROGRAMS, LINKS, PACE)
    kinds = len(FaultKind)
    assert {fault.kind for fault in plan[:kinds]} == set(FaultKind)
    killed = {fault.target for fault in plan if fault.kind is FaultKind.KILL}
    assert killed == set(PROGRAMS)
    assert {fault.target for fault in plan if fault.kind is FaultKind.CUT} == set(LINKS)
    assert all(0 < fault.lasts_s <= PACE.longest_s for fault in plan)
    assert [fault.at_s for fault in plan] == sorted(fault.at_s for fault in plan)


def test_no_two_pictures_are_alike_and_a_seed_names_them() -> None:
    pictures = list(draw_pictures(5, 40))
    assert len({picture.content for picture in pictures}) == 40
    assert pictures == list(draw_pictures(5, 40))
    assert {picture.look for picture in pictures} == set(Look)
