"""Where devices stand and what workers run, as the wire has said, and how many values a tag may have; pure."""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import Final, TypeVar

from wire_protocol.json_messages import Status, WorkerHealth

#: Devices and workers that are remembered.
REMEMBERED: Final = 10_000
#: Different values that one tag may have; later ones are all called OTHER, and counted.
MOST_VALUES: Final = 500
OTHER: Final = "other"
ValueT = TypeVar("ValueT")
_LIFE = re.compile(r"-[0-9a-f]{8}$")


def worker_name(worker_id: str) -> str:
    """The configured name of a worker; its id is new with each start, which no tag may be."""
    return _LIFE.sub("", worker_id)


class Places:
    """Sites by device, bundles and engines by worker id."""

    def __init__(self) -> None:
        self._sites: OrderedDict[str, str] = OrderedDict()
        self._models: OrderedDict[str, tuple[str, str]] = OrderedDict()

    def hear_device(self, site: str, device: str) -> None:
        """A device spoke on a topic of this site."""
        _remember(self._sites, device, site)

    def hear_worker(self, said: Status | WorkerHealth) -> None:
        """A worker said what it runs."""
        name = said.worker if isinstance(said, WorkerHealth) else said.id
        if said.bundle:
            _remember(self._models, name, (said.bundle, said.engine))

    def site(self, device: str) -> str:
        """The device's site, or nothing."""
        return self._sites.get(device, "")

    def bundle(self, worker_id: str) -> str:
        """What the worker classifies with, or nothing."""
        return self._models.get(worker_id, ("", ""))[0]


class TagValues:
    """Keeps the number of series bounded, whatever programs call themselves."""

    def __init__(self, most: int = MOST_VALUES) -> None:
        self.folded = 0
        self._most = most
        self._seen: dict[str, set[str]] = {}

    def allow(self, tag: str, value: str) -> str:
        """The value itself, or OTHER once the tag has too many."""
        seen = self._seen.setdefault(tag, set())
        if value in seen or not value:
            return value
        if len(seen) >= self._most:
            self.folded += 1
            return OTHER
        seen.add(value)
        return value


def _remember(known: OrderedDict[str, ValueT], name: str, value: ValueT) -> None:
    known[name] = value
    known.move_to_end(name)
    while len(known) > REMEMBERED:
        known.popitem(last=False)
