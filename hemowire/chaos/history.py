"""What happened in a run, event by event, as JSON lines; it judges nothing.

An operation begins with `invoke` and ends with `ok` (it has happened), `fail` (it has not) or `info`
(nobody knows). An image has two operations: `Capture`, from the file in the camera's folder to the
row in the outbox, and `Record`, from that row to the outcome in the records store. The last events
are readings of what is durable, made when all programs had ended. (A few lines over 250: the words that
workload, nemesis and checker share.)
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError


class Kind(StrEnum):
    """Where in its operation an event stands."""

    INVOKE = "invoke"
    OK = "ok"
    FAIL = "fail"
    INFO = "info"


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    #: Seconds since the run began.
    at_s: float = 0.0


class Begin(_Event):
    """The run: everything that is needed to do it again."""

    event: Literal["begin"] = "begin"
    seed: int
    images: int
    faults: int
    devices: tuple[str, ...]
    workers: int
    #: Kinds of faults that this machine cannot do, and why.
    left_out: tuple[str, ...] = ()
    #: The device whose link loses packets; "" where none does.
    lossy: str = ""


class Capture(_Event):
    """A file was put before a camera, or was seen in the outbox."""

    event: Literal["capture"] = "capture"
    kind: Kind
    device: str
    source: str
    sha256: str
    image_id: str = ""


class Record(_Event):
    """An image of the outbox was seen in the records store, or was not when the run ended."""

    event: Literal["record"] = "record"
    kind: Kind
    device: str
    image_id: str
    outcome: str = ""


class Fault(_Event):
    """What the nemesis did."""

    event: Literal["fault"] = "fault"
    kind: Kind
    number: int
    fault: str
    target: str
    detail: str = ""
    #: The image that it damaged.
    image_id: str = ""


class Ended(_Event):
    """A program ended that nobody had told or forced to."""

    event: Literal["ended"] = "ended"
    program: str
    code: int


class OutboxImage(BaseModel):
    """A row of an outbox."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_id: str
    seq: int
    sha256: str
    state: str
    source: str
    bytes_held: bool


class OutboxRead(_Event):
    """What an outbox holds."""

    event: Literal["read outbox"] = "read outbox"
    device: str
    outbox_id: str
    next_seq: int
    images: tuple[OutboxImage, ...]


class RecordedImage(BaseModel):
    """A row of the records store."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str
    image_id: str
    outbox_id: str
    seq: int
    sha256: str
    outcome: str
    reports: int = 1


class AsideImage(BaseModel):
    """A report that the records store set aside: another image has its place."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str
    image_id: str
    outbox_id: str
    seq: int
    sha256: str


class RecordsRead(_Event):
    """What the records store holds."""

    event: Literal["read records"] = "read records"
    images: tuple[RecordedImage, ...]
    set_aside: tuple[AsideImage, ...] = ()


class Blob(BaseModel):
    """A blob of the archive: the digest it is named by, and that of its bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    sha256: str


class ArchiveRead(_Event):
    """What the archive holds."""

    event: Literal["read archive"] = "read archive"
    blobs: tuple[Blob, ...]


class ListedImage(BaseModel):
    """An image as the operator is shown it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str
    image_id: str
    outcome: str
    reason: str
    text: str


class Finding(BaseModel):
    """Something that `hemowire records reconcile` does not call clean, and the outbox that it is of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    what: str
    outbox_id: str
    image_id: str = ""


class OperatorRead(_Event):
    """What `hemowire records list` shows, and what `hemowire records reconcile` says."""

    event: Literal["read by the operator"] = "read by the operator"
    images: tuple[ListedImage, ...]
    reconcile_code: int
    reconcile_text: str = ""
    findings: tuple[Finding, ...] = ()


Event = Annotated[
    Begin | Capture | Record | Fault | Ended
    | OutboxRead | RecordsRead | ArchiveRead | OperatorRead,
    Field(discriminator="event"),
]  # fmt: skip
_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


class HistoryError(ValueError):
    """A file is no history; the message names the line."""


class History:
    """Writes events as they happen, one line each, and keeps them; any thread may add."""

    def __init__(self, file: Path, now_s: Callable[[], float]) -> None:
        self._file = file.open("x", encoding="utf-8")
        self._now_s = now_s
        self._begun_s = now_s()
        self._lock = threading.Lock()
        self._events: list[Event] = []

    @property
    def age_s(self) -> float:
        """Seconds since the run began."""
        return self._now_s() - self._begun_s

    @property
    def events(self) -> Sequence[Event]:
        """All of them so far."""
        return tuple(self._events)

    def add(self, event: Event) -> None:
        """Stamps it with the time and writes it."""
        with self._lock:
            stamped = event.model_copy(update={"at_s": round(self.age_s, 4)})
            self._events.append(stamped)
            self._file.write(stamped.model_dump_json() + "\n")
            self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()


def read_history(file: Path) -> tuple[Event, ...]:
    """The events of a file; raises HistoryError."""
    events = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            events.append(_EVENT.validate_json(line))
        except ValidationError as error:
            raise HistoryError(f"{file}, line {number}: {error.errors()[0]['msg']}") from error
    return tuple(events)
