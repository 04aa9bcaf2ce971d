"""Which images to ask the records store about, and when; it draws no conclusion from the answers.

On connect everything held is asked about, in messages of up to 200 ids that follow each other's
answers; then again after 5 s, doubling to 5 min, jittered, and not at all while records is away.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from wire_protocol.machine_settings import SenderSettings
from wire_protocol.messages import Inquiry, InquiryAnswer

_NEVER = float("inf")


class Inquiries:
    """The images whose outcome is not known here, and the clock of the next inquiry."""

    def __init__(
        self, *, outbox_id: str, random64: Callable[[], int], settings: SenderSettings
    ) -> None:
        self._outbox_id = outbox_id
        self._random64 = random64
        self._settings = settings
        #: Image to the moment from which a periodic round includes it.
        self._watched: dict[str, float] = {}
        self._round: deque[str] = deque()
        self._asked: Inquiry | None = None
        self._asked_until = _NEVER
        self._pause_s = settings.inquiry_first_s
        self._next_at = _NEVER
        self._connected = False
        self._records_online = False
        self._store_id = ""

    def __len__(self) -> int:
        return len(self._watched)

    @property
    def records_online(self) -> bool:
        """Whether an inquiry would be answered."""
        return self._connected and self._records_online

    @property
    def deadline(self) -> float | None:
        """When `due` has something to do next."""
        if not self.records_online or not self._watched:
            return None
        if self._asked is not None:
            return self._asked_until
        return float("-inf") if self._round else self._next_at

    def watch(self, image_id: str, now: float, *, after_s: float) -> None:
        """Ask about this image in rounds that begin `after_s` from now or later."""
        if not self._watched:
            self._restart_clock(now + after_s)
        self._watched[image_id] = now + after_s

    def forget(self, image_id: str) -> None:
        """Nothing more to ask about this image."""
        self._watched.pop(image_id, None)

    def hasten(self, at: float, now: float) -> None:
        """Have a round no later than `at`."""
        self._next_at = min(self._next_at, max(at, now))

    def connected(self, now: float) -> None:
        """A connection is up: ask about everything."""
        self._connected = True
        self._asked = None
        self._ask_all(now)

    def disconnected(self) -> None:
        """No inquiry can go out or be answered."""
        self._connected = False
        self._asked = None
        self._round.clear()

    def records(self, *, online: bool, store_id: str, now: float) -> None:
        """The records store came, went, or is another one."""
        came = online and not self._records_online
        self._records_online = online
        other = bool(store_id) and bool(self._store_id) and store_id != self._store_id
        self._store_id = store_id or self._store_id
        if not online:
            self._asked = None
            self._round.clear()
        elif came or other:
            self._ask_all(now)

    def answered_by(self, store_id: str, now: float) -> None:
        """An answer named its store; another one than before knows less, so ask about everything."""
        self.records(online=self._records_online, store_id=store_id, now=now)

    def due(self, now: float) -> Inquiry | None:
        """The inquiry to publish now, if any."""
        if not self.records_online:
            return None
        if self._asked is not None:
            if now < self._asked_until:
                return None
            self._asked = None
            self._round.clear()
        if not self._round:
            if now < self._next_at:
                return None
            self._begin_round(now)
        ids: list[str] = []
        while self._round and len(ids) < self._settings.inquiry_ids:
            image_id = self._round.popleft()
            if image_id in self._watched:
                ids.append(image_id)
        if not ids:
            return None
        inquiry_id = f"{self._random64():016x}{self._random64():016x}"
        self._asked = Inquiry(
            inquiry_id=inquiry_id, outbox_id=self._outbox_id, image_ids=tuple(ids)
        )
        self._asked_until = now + self._settings.answer_wait_s
        return self._asked

    def answered(self, answer: InquiryAnswer) -> Inquiry | None:
        """The inquiry that `answer` is the first answer to."""
        asked = self._asked
        if asked is None or asked.inquiry_id != answer.inquiry_id:
            return None
        self._asked = None
        return asked

    def _ask_all(self, now: float) -> None:
        for image_id in self._watched:
            self._watched[image_id] = min(self._watched[image_id], now)
        self._round.clear()
        self._restart_clock(now)

    def _restart_clock(self, at: float) -> None:
        self._pause_s = self._settings.inquiry_first_s
        self._next_at = at

    def _begin_round(self, now: float) -> None:
        self._round.extend(i for i, since in self._watched.items() if since <= now)
        if not self._round:
            self._next_at = min(self._watched.values(), default=_NEVER)
            return
        jitter = 0.8 + 0.4 * (self._random64() / 2**64)
        self._next_at = now + self._pause_s * jitter
        self._pause_s = min(self._pause_s * 2, self._settings.inquiry_max_s)
