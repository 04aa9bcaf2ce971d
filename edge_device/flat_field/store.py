"""Versions of learned fields as one small file each; it decides nothing and writes only what it is told to.

A file is `v000012.npz` (about 8 KB): the field on its nodes, the level, and what it belongs to.
`state.json` holds which versions an operator undid and whether learning is held; it is written by
an operator's action only. Numbers are never given twice, not even after a reset, for they travel
with the images. A file that cannot be read is said and left alone.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from edge_device.flat_field.background import NODES, LogField
from service_runtime.log import get_log

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class FrameKind:
    """What must be equal for a field to fit: the camera's name ("" for the only one) and the size."""

    camera: str
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True)
class Version:
    """One learned field, as it corrects."""

    number: int
    profile: int
    kind: FrameKind
    shape: LogField
    level: npt.NDArray[np.float32]
    learned: int
    saved_at: str


class State(BaseModel):
    """What operators did."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    held: bool = False
    undone: tuple[int, ...] = ()
    least_number: int = 1


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    format: int
    number: int
    profile: int
    camera: str
    width_px: int
    height_px: int
    learned: int
    saved_at: str


class FlatFieldStore:
    """The folder of versions. Opening it makes no folder and writes nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._log = get_log("edge")

    def versions(self) -> list[Version]:
        """All that can be read, in order of their numbers."""
        found = []
        for path in sorted(self.folder.glob("v*.npz")):
            version = self._read(path)
            if version is not None:
                found.append(version)
        return sorted(found, key=lambda version: version.number)

    def state(self) -> State:
        """What operators did; nothing where the file is not there or damaged."""
        path = self.folder / "state.json"
        try:
            return State.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return State()
        except (OSError, ValidationError) as error:
            # Held is the careful reading: nothing is learned over what may have been undone.
            self._log.error("flat_field_state_unreadable", path=str(path), reason=str(error))
            return State(held=True)

    def next_number(self) -> int:
        """A number that no version had."""
        numbers = [int(path.stem[1:]) for path in self._files()]
        return max([self.state().least_number, *(number + 1 for number in numbers)])

    def write(self, version: Version) -> None:
        """Durably: a temporary file, fsync, rename, fsync of the folder. Raises OSError."""
        facts = _Facts(
            format=_FORMAT,
            number=version.number,
            profile=version.profile,
            camera=version.kind.camera,
            width_px=version.kind.width_px,
            height_px=version.kind.height_px,
            learned=version.learned,
            saved_at=version.saved_at,
        )
        content = io.BytesIO()
        np.savez(
            content,
            shape=version.shape.astype(np.float32),
            level=version.level.astype(np.float32),
            facts=np.frombuffer(facts.model_dump_json().encode(), np.uint8),
        )
        self._write(f"v{version.number:06d}.npz", content.getvalue())

    def write_state(self, state: State) -> None:
        """Durably, as a version. Raises OSError."""
        self._write("state.json", json.dumps(state.model_dump(), indent=1).encode())

    def remove(self, numbers: list[int]) -> None:
        """Removes versions; harmless where they are gone."""
        for number in numbers:
            (self.folder / f"v{number:06d}.npz").unlink(missing_ok=True)

    def remove_all(self) -> int:
        """Removes every version, damaged ones too; returns how many files that were."""
        files = self._files()
        for path in files:
            path.unlink(missing_ok=True)
        return len(files)

    def _files(self) -> list[Path]:
        return [path for path in self.folder.glob("v*.npz") if path.stem[1:].isdecimal()]

    def _read(self, path: Path) -> Version | None:
        try:
            # From memory, for a torn file opened by name would stay open.
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as parts:
                shape, level = parts["shape"], parts["level"]
                facts = _Facts.model_validate_json(parts["facts"].tobytes())
        except (OSError, KeyError, ValueError, zipfile.BadZipFile, EOFError) as error:
            self._log.error("flat_field_unreadable", path=str(path), reason=str(error))
            return None
        is_whole = shape.shape == (*NODES, 3) and level.shape == (3,)
        if facts.format != _FORMAT or not is_whole or not np.isfinite(shape).all():
            reason = f"format {facts.format}, {_FORMAT} is known; field {shape.shape}"
            self._log.error("flat_field_unreadable", path=str(path), reason=reason)
            return None
        kind = FrameKind(facts.camera, facts.width_px, facts.height_px)
        return Version(
            facts.number, facts.profile, kind, shape, level, facts.learned, facts.saved_at
        )

    def _write(self, name: str, content: bytes) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f"{name}.tmp"
        with temporary.open("wb", buffering=0) as file:
            view = memoryview(content)
            while view:
                view = view[file.write(view) :]
            os.fsync(file.fileno())
        temporary.rename(self.folder / name)
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
