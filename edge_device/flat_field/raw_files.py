"""Keeps raw frames in a folder, bounded in age and bytes; it never stops a capture and says what it let go.

Files are named by the digest of what travelled (or of the raw pixels), so that keeping one twice
is harmless. They are not fsynced: a raw frame that a power cut takes is a loss that one can bear.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import cv2

from edge_device.flat_field.background import Pixels
from service_runtime.log import get_log

_DAY_S = 86_400.0


class RawFiles:
    """The folder data_dir/raw; it is made with the first file."""

    def __init__(
        self,
        folder: Path,
        *,
        max_days: float = 14.0,
        max_bytes: int = 4 * 1024**3,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._max_age_s = max_days * _DAY_S
        self._max_bytes = max_bytes
        #: Wall time: what files carry. With an unset clock nothing looks old, only the bytes bound.
        self._now_s = now_s
        self._log = get_log("edge")
        #: Name to (modified, bytes), oldest first once sorted; read from the folder once.
        self._held: dict[str, tuple[float, int]] | None = None

    def keep(self, sha256: str, raw: Pixels | bytes, suffix: str = ".png") -> Path | None:
        """Writes pixels (BGR) as lossless PNG, or a file's own bytes under `suffix`; None where it cannot."""
        if not (len(sha256) == 64 and set(sha256) <= set("0123456789abcdef")):
            raise ValueError(f"not a sha256 in hexadecimal: {sha256!r}")
        name = f"{sha256}{suffix if isinstance(raw, bytes) else '.png'}"
        held = self._files()
        path = self._folder / name
        if name in held:
            return path
        content = raw if isinstance(raw, bytes) else _png(raw)
        if len(content) > self._max_bytes:
            self._log.warning("raw_not_kept", size_bytes=len(content), max_bytes=self._max_bytes)
            return None
        self.free(coming_bytes=len(content))
        temporary = self._folder / f"{name}.tmp"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(content)
            temporary.rename(path)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink()
            self._log.warning("raw_not_kept", name=name, reason=str(error))
            return None
        held[name] = (self._now_s(), len(content))
        return path

    def free(self, coming_bytes: int = 0) -> int:
        """Removes what is too old, then the oldest until the bytes fit; returns how many files."""
        held = self._files()
        total = sum(size for _, size in held.values()) + coming_bytes
        oldest_s = self._now_s() - self._max_age_s
        removed = 0
        for name, (modified_s, size) in sorted(held.items(), key=lambda item: item[1][0]):
            if modified_s >= oldest_s and total <= self._max_bytes:
                break
            (self._folder / name).unlink(missing_ok=True)
            del held[name]
            total -= size
            removed += 1
        if removed:
            self._log.info("raw_freed", files=removed)
        return removed

    def _files(self) -> dict[str, tuple[float, int]]:
        if self._held is None:
            self._held = {}
            if self._folder.is_dir():
                for path in self._folder.iterdir():
                    if path.suffix == ".tmp":
                        path.unlink(missing_ok=True)
                        continue
                    facts = path.stat()
                    self._held[path.name] = (facts.st_mtime, facts.st_size)
        return self._held


def _png(bgr: Pixels) -> bytes:
    # Level 1: raw frames are noisy, so higher levels cost much time and save little.
    done, data = cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise ValueError(f"not encoded as PNG: pixels of shape {bgr.shape}")
    return data.tobytes()
