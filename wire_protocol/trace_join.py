"""Joins the fragments that programs publish of each image into traces; it reads no clock and is bounded.

    add(fragment, now_s) ... finished(now_s) -> traces, each image once

Fragments may come in any order, more than once, or never: the result depends only on which came.
An image is finished when all its awaited stages have stamps, or `patience_s` after the first sign
of its end (published or recorded); one without an end waits, as in an outage, for `most_age_s` or
until `most_images` newer ones need its room. What comes after that is counted as late.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from typing import Final

from wire_protocol.gathered_trace import GatheredTrace
from wire_protocol.joined_trace import JoinedTrace
from wire_protocol.json_messages import TraceFragment
from wire_protocol.trace import Stage

#: The stages that a finished image has: from each program its last.
AWAITED: Final = (Stage.CAPTURED, Stage.OFFERED, Stage.PUBLISHED, Stage.RECORDED, Stage.SHOWN)
#: Finished images that are remembered, as a multiple of those that are held.
_REMEMBERED = 4


class TraceJoiner:
    """Holds the images that are on their way; `awaited` leaves out `shown` where no terminal runs."""

    def __init__(
        self,
        *,
        patience_s: float = 10.0,
        most_age_s: float = 86_400.0,
        most_images: int = 20_000,
        awaited: Collection[Stage] = AWAITED,
    ) -> None:
        self.patience_s = patience_s
        self._most_age_s = most_age_s
        self._most_images = most_images
        self._awaited = tuple(awaited)
        #: In the order of their first fragments, with the time of it.
        self._images: OrderedDict[str, tuple[float, GatheredTrace]] = OrderedDict()
        #: Those with a sign of their end, in its order, with the time of it.
        self._ended: OrderedDict[str, float] = OrderedDict()
        #: Nothing more is awaited, or no room is left; in order.
        self._ready: OrderedDict[str, None] = OrderedDict()
        self._done: OrderedDict[str, None] = OrderedDict()
        #: Fragments of images that were handed out before, and those that had too many.
        self.late = 0
        self.refused = 0

    def __len__(self) -> int:
        return len(self._images)

    def add(self, fragment: TraceFragment, now_s: float) -> None:
        """Takes a fragment in; `now_s` is any clock that only goes forward."""
        image_id = fragment.image_id
        if image_id in self._done:
            self.late += 1
            return
        if image_id not in self._images:
            self._images[image_id] = (now_s, GatheredTrace(image_id))
            self._make_room()
        gathered = self._images[image_id][1]
        if not gathered.add(fragment):
            self.refused += 1
            return
        if gathered.has_ended:
            self._ended.setdefault(image_id, now_s)
            if gathered.has(self._awaited):
                self._ready[image_id] = None

    def look(self, image_id: str) -> JoinedTrace | None:
        """What is known of an image by now, None of one that is not held; it stays."""
        held = self._images.get(image_id)
        return None if held is None else held[1].join(self._awaited)

    def take(self, image_id: str) -> JoinedTrace | None:
        """The same, and the image is finished."""
        trace = self.look(image_id)
        if trace is not None:
            del self._images[image_id]
            self._ended.pop(image_id, None)
            self._ready.pop(image_id, None)
            self._done[image_id] = None
            while len(self._done) > _REMEMBERED * self._most_images:
                self._done.popitem(last=False)
        return trace

    def finished(self, now_s: float) -> list[JoinedTrace]:
        """The images that are finished now, each once."""
        due = list(self._ready)
        for image_id, since_s in self._ended.items():
            if now_s - since_s < self.patience_s:
                break
            due.append(image_id)
        for image_id, (since_s, _) in self._images.items():
            if now_s - since_s < self._most_age_s:
                break
            due.append(image_id)
        return [trace for image_id in due if (trace := self.take(image_id)) is not None]

    def rest(self) -> list[JoinedTrace]:
        """All that is held, finished or not: a program stops."""
        return [trace for image_id in list(self._images) if (trace := self.take(image_id))]

    def next_deadline_s(self) -> float | None:
        """When `finished` has more to give without another fragment; None while nothing is held."""
        if not self._images:
            return None
        if self._ready:
            return 0.0
        by_age = next(iter(self._images.values()))[0] + self._most_age_s
        by_patience = next(iter(self._ended.values()), by_age) + self.patience_s
        return min(by_age, by_patience)

    def _make_room(self) -> None:
        """The oldest are ready; held beyond that by whoever does not ask for them, they are dropped."""
        over = len(self._images) - self._most_images
        if over > 0:
            waiting = (image_id for image_id in self._images if image_id not in self._ready)
            oldest = next(waiting, None)
            if oldest is not None and len(self._ready) < self._most_images:
                self._ready[oldest] = None
        while len(self._images) > 2 * self._most_images:
            self.take(next(iter(self._images)))
