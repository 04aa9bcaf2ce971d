"""What operators changed while the agent ran, kept over a restart beside the outbox; edge.toml is not touched."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from edge_device.encoding.encode import EncodeSettings
from service_runtime.log import get_log

FILE_NAME: Final = "overrides.json"


class Overrides(BaseModel):
    """Keys of the section [encode] and their values; empty where the file's own hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    encode: dict[str, Any] = {}


def load_overrides(data_dir: Path) -> Overrides:
    """What holds; nothing where there is none, or where the file cannot be used, which is said."""
    path = data_dir / FILE_NAME
    try:
        found = Overrides.model_validate_json(path.read_bytes())
        EncodeSettings.model_validate(found.encode)
    except FileNotFoundError:
        return Overrides()
    except (OSError, ValidationError) as error:
        get_log("edge").error("overrides_unusable", file=FILE_NAME, reason=str(error))
        return Overrides()
    return found


def save_overrides(data_dir: Path, overrides: Overrides) -> None:
    """Replaces the file at once or not at all; without overrides there is none. Raises OSError."""
    path = data_dir / FILE_NAME
    if overrides == Overrides():
        path.unlink(missing_ok=True)
    else:
        new = path.with_name(path.name + ".new")
        with new.open("wb") as file:
            file.write(overrides.model_dump_json(indent=2).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    folder = os.open(data_dir, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def changed(settings: EncodeSettings, overrides: Overrides) -> EncodeSettings:
    """The settings that hold."""
    return EncodeSettings.model_validate(settings.model_dump() | overrides.encode)
