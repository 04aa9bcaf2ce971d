"""Whatever the link, the workers, the archive and the records do, every image ends once and whole."""

from __future__ import annotations

import random
from functools import partial

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.wire_protocol.world import KIB, Faults, WorkerHost, World, void
from wire_protocol.machine_io import DeviceGone, Readiness
from wire_protocol.manifest import Priority

#: Virtual seconds that the worst mixture may take once everything is good again: two inquiry
#: pauses of 5 min, one of them jittered, and the transfers themselves.
PATIENCE_S = 900.0
SEEDS = st.integers(min_value=0, max_value=2**32 - 1)


def disturb(world: World) -> None:
    """A random plan of cuts, restarts, kills and absences in the first 60 s."""
    rng = world.rng
    for _ in range(rng.randrange(8)):
        at, long = rng.uniform(0, 60), rng.choice((0.5, 3.0, 20.0, 45.0))
        what = rng.choice(
            (
                "cut",
                "restart",
                "kill",
                "archive",
                "records",
                "worker cut",
                "freeze",
                "drain",
                "gone",
            )
        )
        device = rng.choice(list(world.devices.values()))
        if what == "cut":
            world.at(at, device.cut)
            world.at(at + long, device.connect)
        elif what == "restart":
            world.at(at, device.restart)
        elif what == "kill":
            world.at(at, lambda: kill_one(world))
        elif what == "archive":
            world.at(at, lambda: set_archive(world, away=True))
            world.at(at + long, lambda: set_archive(world, away=False))
        elif what == "worker cut":
            world.at(at, partial(cut_worker, world, long))
        elif what == "freeze":
            world.at(at, partial(freeze_one, world, long))
        elif what == "drain":
            world.at(at, lambda: drain_one(world))
        elif what == "gone":
            world.at(at, partial(device_gone, world, device.name))
        else:
            world.at(at, lambda: world.records.set_online(False))
            world.at(at + long, lambda: world.records.set_online(True))


def kill_one(world: World) -> None:
    there = [w for w in world.workers.values() if w.connected]
    if there:
        world.rng.choice(there).kill(world.rng.choice((0.0, 0.1, 7.0)))
    world.at(world.rng.uniform(0.1, 5), lambda: void(world.add_worker()))


def a_worker(world: World) -> WorkerHost | None:
    there = [w for w in world.workers.values() if w.connected and not w.frozen]
    return world.rng.choice(there) if there else None


def cut_worker(world: World, long: float) -> None:
    worker = a_worker(world)
    if worker is not None:
        worker.cut(world.rng.choice((0.0, 7.0)))
        world.at(long, worker.connect)


def freeze_one(world: World, long: float) -> None:
    """SIGSTOP; the keepalive runs out, or the operator kills it."""
    worker = a_worker(world)
    if worker is not None:
        worker.frozen = True
        world.at(long, worker.kill)
        world.at(long + 1, lambda: void(world.add_worker()))


def drain_one(world: World) -> None:
    worker = a_worker(world)
    if worker is not None:
        worker.drain(world.rng.choice((0.0, 1.0, 10.0)))
        world.at(1.0, lambda: void(world.add_worker()))


def device_gone(world: World, name: str) -> None:
    """A will of the device that is out of date: the device is there all the same."""
    for worker in world.workers.values():
        if worker.connected:
            worker.tell(DeviceGone(name))


def set_archive(world: World, *, away: bool) -> None:
    world.archive_away = away
    for worker in world.workers.values():
        if worker.alive:
            worker.tell(Readiness(healthy=not away))


def make_world(seed: int) -> World:
    """Devices, workers and images by the seed."""
    rng = random.Random(seed)
    faults = Faults(
        loss=rng.choice((0.0, 0.02, 0.2)),
        duplicate=rng.choice((0.0, 0.1)),
        corrupt=rng.choice((0.0, 0.05)),
        stale=rng.choice((0.0, 0.05)),
        refused=rng.choice((0.0, 0.05)),
        jitter_s=rng.choice((0.0, 0.05)),
        latency_s=rng.choice((0.0005, 0.01, 0.1)),
    )
    world = World(
        seed,
        faults,
        bad_until=160.0,
        uplink_bytes_per_s=rng.choice((0.0, 0.0, 30_000.0, 300_000.0)),
        receive_maximum=rng.choice((1, 3, 20, 20)),
        put_s=rng.choice((0.02, 0.02, 1.5)),
        round_trip_s=rng.choice((0.0, 2 * faults.latency_s)),
    )
    for number in range(rng.choice((1, 1, 2, 3))):
        world.add_device(f"d{number}")
    for _ in range(rng.choice((1, 2))):
        world.add_worker()
    for device in world.devices.values():
        device.connect()
        for _ in range(rng.choice((1, 4, 8))):
            device_capture(world, device.name, rng)
    return world


def device_capture(world: World, name: str, rng: random.Random) -> None:
    size = rng.choice((1, 900, 4 * KIB, 40 * KIB, 130 * KIB))
    priority = rng.choice((Priority.STAT, Priority.ROUTINE, Priority.ROUTINE))
    device = world.devices[name]

    def capture() -> None:
        poison, spoilt = rng.random() < 0.03, rng.random() < 0.05
        on_disk = bytes(size - 1 if rng.random() < 0.5 else size) if spoilt else None
        device.capture(size, priority=priority, poison=poison, on_disk=on_disk)

    world.at(rng.uniform(0, 30), capture)


def run_to_the_end(world: World) -> None:
    disturb(world)
    world.run_for(110)
    for worker in list(world.workers.values()):
        if worker.frozen:
            worker.kill()
        worker.connect()
    if not any(w.connected for w in world.workers.values()):
        world.add_worker()
    for device in world.devices.values():
        device.connect()
    world.run(world.all_recorded, PATIENCE_S)
    world.run_for(5)
    world.check_end()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=SEEDS)
def test_any_mixture_of_faults_ends_with_every_image_once_and_whole(seed: int) -> None:
    run_to_the_end(make_world(seed))
