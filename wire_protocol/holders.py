"""Which workers are gone, and for which images that was counted; the count itself is the image's."""

from __future__ import annotations

#: So many gone workers are remembered; ids are new per process, so older ones do not come back.
REMEMBERED_WORKERS = 64


class Holders:
    """Workers that went offline; one that comes back under its id was only cut off."""

    def __init__(self) -> None:
        #: Gone workers, and whether they said goodbye.
        self._gone: dict[str, bool] = {}
        self._counted: dict[str, list[str]] = {}

    def is_gone(self, worker: str) -> bool:
        """Whether a message of this worker comes too late to rely on."""
        return worker in self._gone

    def said_goodbye(self, worker: str) -> bool:
        """Whether it was stopped, and so did not die of any image."""
        return self._gone.get(worker, False)

    def left(self, worker: str, *, clean: bool = False) -> None:
        """Its status says offline; `clean` is a goodbye."""
        self._gone[worker] = clean
        if len(self._gone) > REMEMBERED_WORKERS:
            del self._gone[next(iter(self._gone))]

    def count(self, worker: str, image_id: str) -> None:
        """It vanished with every byte of this image."""
        self._counted.setdefault(worker, []).append(image_id)
        if len(self._counted) > REMEMBERED_WORKERS:
            del self._counted[next(iter(self._counted))]

    def is_back(self, worker: str) -> list[str]:
        """Its status says online: the images for which it was counted, wrongly."""
        self._gone.pop(worker, None)
        return self._counted.pop(worker, [])
