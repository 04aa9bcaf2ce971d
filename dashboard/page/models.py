"""What the page needs of the models whose answers it shows: their cards and their maps; it runs no network itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from pydantic import BaseModel, ConfigDict


class FigureView(BaseModel):
    """One measured figure of a card."""

    model_config = ConfigDict(frozen=True)

    name: str
    words: str


class ModelView(BaseModel):
    """A model's card as people read it."""

    model_config = ConfigDict(frozen=True)

    name: str
    #: Where this machine has no such bundle, only the name is known.
    is_known: bool = False
    architecture: str = ""
    training_data: str = ""
    limits_of_use: tuple[str, ...] = ()
    figures: tuple[FigureView, ...] = ()
    #: Class key to the words for it.
    classes: dict[str, str] = {}
    has_map: bool = False


class NoMapError(Exception):
    """There is no map to show; the message says why, for the person."""


class Models(Protocol):
    """Calls may block for seconds and come from worker threads."""

    def card(self, model: str) -> ModelView:
        """The card of a model as a diagnosis names it: `task-architecture@digest/engine`."""
        ...

    def map_png(self, model: str, picture: bytes, um_per_px: float | None, key: str) -> bytes:
        """Where a class's score comes from, as a transparent PNG over the whole field; raises NoMapError."""
        ...


class NoModels:
    """For a machine without bundles."""

    def card(self, model: str) -> ModelView:
        """The name alone."""
        return ModelView(name=model)

    def map_png(self, model: str, picture: bytes, um_per_px: float | None, key: str) -> bytes:
        """Never one."""
        raise NoMapError("no model bundles on this machine: maps are made where they are")


def class_names(models: Models, model: str) -> Mapping[str, str]:
    """The words of a model for its classes; none where it is not known here."""
    return models.card(model).classes if model else {}
