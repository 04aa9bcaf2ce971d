"""Defences of the real programs: the code that takes each out, the faults that need it, and the verdict.

Some have a second line behind them: then both are taken out, and `test_chaos_defences` shows that a
run without the first alone is clean.
Longer than most: one entry per defence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hemowire.chaos.schedule import FaultKind, Pace, PlannedFault, Step, Targets, plan_faults

PACE = Pace(every_s=3.0, longest_s=8.0)
#: Those of a run with two devices and two workers, as `hemowire chaos` names them.
TARGETS = Targets(
    ["broker", "records", "worker-1", "worker-2", "edge-scope-1", "edge-scope-2"],
    ["records", "workers", "scope-1", "scope-2"],
    ["archive", "scope-1", "scope-2"],
)


@dataclass(frozen=True)
class Mutant:
    """`changes` by program; `strikes` says which fault of a plan is the one that needs the defence."""

    changes: dict[str, str]
    kinds: tuple[FaultKind, ...]
    wrong: str
    strikes: Callable[[PlannedFault], bool] = field(default=lambda _fault: True)
    faults: int = 3


def seed_for(mutant: Mutant) -> int:
    """The first seed whose plan strikes there, twice where it can."""
    for least in (2, 1):
        for seed in range(1, 400):
            plan = plan_faults(seed, mutant.faults, TARGETS, PACE, mutant.kinds)
            if sum(map(mutant.strikes, plan)) >= least:
                return seed
    raise LookupError("no plan strikes there")


def _at(step: Step, program: str) -> Callable[[PlannedFault], bool]:
    """The first fault of a plan: later ones may find no image under way."""

    def strikes(fault: PlannedFault) -> bool:
        return fault.number == 1 and fault.step is step and fault.target.startswith(program)

    return strikes


MUTANTS = {
    "the outbox commits the row before the bytes are there": Mutant(
        {
            "edge": """
import threading
from edge_device.outbox.image_files import ImageFiles
write = ImageFiles.write
def late(self, image_id, content):
    threading.Timer(1.0, write, (self, image_id, content)).start()
ImageFiles.write = late
"""
        },
        (FaultKind.KILL,),
        "rejected without a cause",
    ),
    "the device takes Stored for the end": Mutant(
        {
            "edge": """
from wire_protocol import messages as m
from wire_protocol.sender import Sender
stored = Sender._on_stored
def the_end(self, message, now):
    known = m.Recorded(
        image_id=message.image_id, sha256=message.sha256, outcome=m.Outcome.DIAGNOSED, store_id="0" * 32
    )
    stored(self, message, now)
    self._on_recorded(known)
Sender._on_stored = the_end
"""
        },
        (FaultKind.KILL_AT_STEP,),
        "lost",
        _at(Step.STORED, "worker"),
    ),
    "nobody compares bytes with their digest, device or worker": Mutant(
        {
            "edge": """
from edge_device.outbox.image_files import ImageFiles
ImageFiles.read = lambda self, image_id, sha256: self.path(image_id).read_bytes()
""",
            "worker": """
from wire_protocol import receiver
class Same(str):
    def __ne__(self, other):
        return False
class AnyDigest:
    def hexdigest(self):
        return Same()
class Hashes:
    sha256 = staticmethod(lambda data: AnyDigest())
receiver.hashlib = Hashes
receiver.Reassembly.digest = lambda self: Same()
""",
        },
        (FaultKind.ROT,),
        "altered",
    ),
    "the archive keeps half of the bytes": Mutant(
        {
            "worker": """
from cloud_worker import archive
write = archive.Archive._write
def half(self, key, data):
    write(self, key, data[: len(data) // 2] if key.startswith('blobs/') else data)
archive.Archive._write = half
"""
        },
        (FaultKind.KILL,),
        "altered",
    ),
    "Stored comes before the archive has the bytes, and the records store does not look": Mutant(
        {
            "worker": """
import asyncio
from cloud_worker.archiving import Archiving
from wire_protocol import machine_io as io
async def early(self, image, data):
    self._tell(io.Put(image.key))
    put = (self._archive.put, image.site, image.device, image.manifest, bytes(data))
    loop = asyncio.get_running_loop()
    loop.call_later(6.0, lambda: loop.run_in_executor(None, *put))
    return True
Archiving.put = early
""",
            "records": """
from dashboard.records import Records
async def all_there(self, digests):
    return set(digests)
Records._present = all_there
""",
        },
        (FaultKind.KILL_AT_STEP,),
        "lost",
        _at(Step.DIAGNOSED, "worker"),
    ),
    "the outbox forgets which files it has taken": Mutant(
        {
            "edge": """
import os
from edge_device.outbox import outbox, reading
outbox.source_digest = reading.source_digest = lambda key: os.urandom(32)
"""
        },
        (FaultKind.KILL,),
        "doubled",
        lambda fault: fault.target.startswith("edge"),
    ),
    "the agent does not ask a records store that came from a backup": Mutant(
        {
            "edge": """
from edge_device import agent
async def ask_nobody(*what):
    pass
agent.ask_other_store = ask_nobody
"""
        },
        (FaultKind.BACKUP,),
        "lost",
    ),
    "an image has no unique key in the records store": Mutant(
        {
            "records": """
from sqlalchemy import UniqueConstraint
from dashboard import identity, schema
for row in (schema.ImageRow, schema.DiagnosisRow):
    table = row.__table__
    table.constraints = {c for c in table.constraints if not isinstance(c, UniqueConstraint)}
def first(self, found, key, outcome, *, blob_seen):
    if outcome is None:
        return identity.Verdict.PREVIEW_AGAIN
    self.learn(found, outcome)
    return identity.Verdict.FIRST
identity.Ledger.decide = first
"""
        },
        (FaultKind.SPOIL,),
        "doubled",
        lambda fault: fault.spoil in ("doubled", "replayed later, out of order"),
    ),
    "Recorded is said, and the report acknowledged, before the commit": Mutant(
        {
            "records": """
import asyncio
from dashboard.identity import Verdict
from dashboard.records import Records
from dashboard.store import Filed, Judged
from service_runtime.boot import monotonic_ns
async def record(self):
    while True:
        batch = await self._next_batch(self._queue)
        early = [w for w in batch if isinstance(w.work, Filed) and w.work.report.outcome]
        for waiting in early:
            waiting.ack()
            judged = Judged(Verdict.FIRST, waiting.work.report.outcome)
            self._answer(waiting, judged, self._store.store_id, monotonic_ns())
        if early:
            await asyncio.sleep(2.0)
        committed = await self._commit(batch)
        for waiting, result in zip(batch, committed.results):
            self._held.discard(waiting)
            self._bereft.pop(waiting.key, None)
            if waiting not in early:
                self._answer(waiting, result, committed.store_id, monotonic_ns())
Records._record = record
"""
        },
        (FaultKind.KILL_AT_STEP,),
        "lost",
        _at(Step.RECORDED, "records"),
    ),
    "a conflict is answered like any other report": Mutant(
        {
            "records": """
from dashboard.identity import CONFLICTS, Ledger, Verdict
decide = Ledger.decide
def answer(self, found, key, outcome, *, blob_seen):
    verdict = decide(self, found, key, outcome, blob_seen=blob_seen)
    if verdict not in CONFLICTS:
        return verdict
    self.by_image.setdefault(found.image_id, (found, outcome))
    return Verdict.AGAIN
Ledger.decide = answer
"""
        },
        (FaultKind.CLONE,),
        "lost",
    ),
    "no image is ever called suspect": Mutant(
        {
            "edge": """
from wire_protocol.sender import Sender
Sender._count_vanished = lambda self, image: None
"""
        },
        (FaultKind.DEADLY,),
        "not recorded in time",
        faults=1,  # its end is waited for in vain
    ),
    "rejections lose their words": Mutant(
        {
            "records": """
from dashboard import outcomes
from dataclasses import replace
read = outcomes.read_outcomes
outcomes.read_outcomes = lambda url: [replace(row, text='') for row in read(url)]
"""
        },
        (FaultKind.KILL,),
        "silently rejected",
    ),
}

#: The first line alone, of those above that have a second one.
FIRST_LINES = {
    "the worker alone does not compare bytes with their digest": Mutant(
        {
            "worker": MUTANTS["nobody compares bytes with their digest, device or worker"].changes[
                "worker"
            ]
        },
        (FaultKind.ROT,),
        "",
    ),
    "Stored alone comes before the archive has the bytes": Mutant(
        {
            "worker": MUTANTS[
                "Stored comes before the archive has the bytes, and the records store does not look"
            ].changes["worker"]
        },
        (FaultKind.KILL_AT_STEP,),
        "",
        _at(Step.DIAGNOSED, "worker"),
    ),
}
