"""Storage that misbehaves as object stores do: errors of its own library, and no answer at all."""

from __future__ import annotations

import threading
from typing import Any

import fsspec
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem


class ClientError(Exception):
    """As botocore's: not an OSError."""


class FaultyStorage(DirFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A local folder whose every answer may be an error, or wait; `faulty:///folder` is its URL."""

    protocol = "faulty"
    fault: Exception | None = None
    #: Cleared: nothing is answered.
    answers = threading.Event()
    answers.set()
    asked = threading.Event()

    def __init__(self, **options: Any) -> None:
        super().__init__(path="/", fs=LocalFileSystem(), **options)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path.removeprefix("faulty://")

    def info(self, path: str, **options: Any) -> Any:
        self._answer()
        return super().info(path, **options)

    def find(self, path: str, *arguments: Any, **options: Any) -> Any:
        self._answer()
        return super().find(path, *arguments, **options)

    def cat_file(self, path: str, *arguments: Any, **options: Any) -> Any:
        self._answer()
        return super().cat_file(path, *arguments, **options)

    @classmethod
    def _answer(cls) -> None:
        cls.asked.set()
        cls.answers.wait()
        if cls.fault is not None:
            raise cls.fault


fsspec.register_implementation("faulty", FaultyStorage, clobber=True)
