"""Typed settings from TOML, environment and command line; a wrong file is refused as a whole.

The order is: defaults of the model, the TOML file, the environment, the overrides (command line);
later ones win. Environment names are the prefix and the key in capitals, nested with a double
underscore: HEMOWIRE_BROKER__PORT=8883. Variables whose first part is no key of the model are other
people's (HEMOWIRE_REAL_DATA) and are left alone. Relative paths are relative to the folder that
the program runs in.
"""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from service_runtime.redacted import without_password
from service_runtime.toml_lines import KeyPath, key_lines


class Settings(BaseModel):
    """What every settings model derives from: frozen, and an unknown key is a problem."""

    model_config = ConfigDict(frozen=True, extra="forbid")


ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where it was written, which key, and what would be allowed."""

    where: str
    key: str
    allowed: str

    def __str__(self) -> str:
        return (
            f"{self.where}: {self.key}: {self.allowed}"
            if self.key
            else f"{self.where}: {self.allowed}"
        )


class SettingsError(Exception):
    """The settings cannot be used; `problems` holds all of them. Programs print it and exit 2."""

    def __init__(self, problems: list[Problem]) -> None:
        count = f"{len(problems)} problem" + ("" if len(problems) == 1 else "s")
        super().__init__("\n".join([f"settings: {count}", *(f"  {item}" for item in problems)]))
        self.problems = tuple(problems)


def load_settings(
    model: type[ModelT],
    path: Path | None,
    *,
    env_prefix: str = "HEMOWIRE_",
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
) -> ModelT:
    """The settings of a program; an override's key may be dotted ("broker.port"), None is absent.

    Raises SettingsError with every problem found.
    """
    values: dict[str, Any] = {}
    origins: dict[KeyPath, str] = {}
    if path is not None:
        values, lines = _read_toml(path)
        origins.update({key: f"{path}:{line}" for key, line in lines.items()})
    for name, text in sorted((os.environ if environ is None else environ).items()):
        key = _env_key(model, name, env_prefix)
        if key is not None:
            _put(values, key, _env_value(text), origins, f"environment {name}")
    for dotted, value in (overrides or {}).items():
        if value is not None:
            _put(values, tuple(dotted.split(".")), value, origins, "command line")
    try:
        return model.model_validate(values)
    except ValidationError as error:
        fallback = str(path) if path is not None else "settings"
        raise SettingsError(_problems(model, error, origins, fallback)) from error


def _read_toml(path: Path) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise SettingsError([Problem(str(path), "", f"cannot be read ({reason})")]) from error
    try:
        return tomllib.loads(text), key_lines(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError([Problem(str(path), "", f"not valid TOML: {error}")]) from error


def _env_key(model: type[BaseModel], name: str, prefix: str) -> KeyPath | None:
    if not name.startswith(prefix):
        return None
    key = tuple(part.lower() for part in name[len(prefix) :].split("__"))
    return key if key[0] in model.model_fields else None


def _env_value(text: str) -> object:
    if text[:1] in ("[", "{"):
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return text
    return text


def _put(
    values: dict[str, Any], key: KeyPath, value: object, origins: dict[KeyPath, str], origin: str
) -> None:
    for part in key[:-1]:
        inner = values.get(part)
        if not isinstance(inner, dict):
            inner = values[part] = {}
        values = inner
    values[key[-1]] = value
    origins[key] = origin


def _problems(
    model: type[BaseModel], error: ValidationError, origins: dict[KeyPath, str], fallback: str
) -> list[Problem]:
    found = []
    for item in error.errors(include_url=False):
        key, owner = _place(model, [str(part) for part in item["loc"]])
        # A union adds the name of its branch to the location: the longest known prefix is the key.
        known = next((key[:n] for n in range(len(key), 0, -1) if key[:n] in origins), ())
        where = origins.get(known, fallback)
        shown = key if item["type"] in ("missing", "extra_forbidden") else (known or key)
        found.append(Problem(where, ".".join(shown), without_password(_allowed(owner, key, item))))
    return found


def _allowed(owner: type[BaseModel] | None, key: KeyPath, item: Any) -> str:
    if item["type"] == "missing":
        return "must be given"
    if item["type"] == "extra_forbidden":
        names = sorted(owner.model_fields) if owner is not None else []
        close = difflib.get_close_matches(key[-1], names, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        return f"unknown key; allowed here: {', '.join(names)}{hint}"
    message = str(item["msg"]).removeprefix("Value error, ").replace("Input should", "should")
    given = item.get("input")
    shown = isinstance(given, str | int | float) and not _is_secret(key)
    return f"{message}, not {given!r}" if shown else message


def _is_secret(key: KeyPath) -> bool:
    return any("password" in part or "secret" in part or "token" in part for part in key)


def _place(
    model: type[BaseModel], location: Sequence[str]
) -> tuple[KeyPath, type[BaseModel] | None]:
    """The key as people wrote it, and the model that it belongs to.

    The location of a problem names the branch of a tagged union after the union's own key.
    """
    key: list[str] = []
    owner: type[BaseModel] | None = model
    inner: type[BaseModel] | None = model
    branches: dict[str, type[BaseModel]] = {}
    for part in location:
        if part in branches:
            inner, branches = branches[part], {}
            continue
        key.append(part)
        owner = inner
        field = owner.model_fields.get(part) if owner is not None else None
        models = _models(field.annotation) if field is not None else []
        inner = models[0] if models else None
        branches = {}
        if field is not None and isinstance(field.discriminator, str):
            branches = {
                str(tag): branch
                for branch in models
                for tag in get_args(branch.model_fields[field.discriminator].annotation)
            }
    return tuple(key), owner


def _models(annotation: Any) -> list[type[BaseModel]]:
    candidates = (annotation, *get_args(annotation))
    return [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
