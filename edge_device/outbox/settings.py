"""Bounds of the outbox and what happens at them; nothing is dropped unless an operator gave his name for it."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from service_runtime.settings import Settings
from wire_protocol.ids import Operator


class OutboxSettings(Settings):
    """The table `[outbox]`; an image that the records store does not have is never freed by itself."""

    #: Bytes that the records store does not have yet; recorded ones are freed before this is reached.
    max_bytes: int = Field(default=8 * 1024**3, ge=1024**2)
    max_images: int = Field(default=20_000, ge=1)
    #: Free space that is left to the rest of the device.
    min_free_bytes: int = Field(default=512 * 1024**2, ge=0)
    #: At a bound: capture stops, or the oldest routine image that waits is dropped for the new one.
    on_full: Literal["refuse", "drop_oldest_routine"] = "refuse"
    #: Who answers for what that rule drops: each is recorded as dropped by this name.
    drop_operator: Operator | Literal[""] = ""
    #: Running time after which the rule drops a routine image that still waits; 0 means never.
    max_age_s: float = Field(default=0.0, ge=0)
    #: Running time after which health says for how long the oldest image has waited.
    alarm_age_s: float = Field(default=12 * 3600.0, gt=0)

    @model_validator(mode="after")
    def _dropping_has_a_name(self) -> Self:
        drops = self.on_full == "drop_oldest_routine"
        if drops and not self.drop_operator:
            raise ValueError(
                "on_full = drop_oldest_routine needs drop_operator, an account of the lab"
            )
        if self.max_age_s and not drops:
            raise ValueError("max_age_s drops images: it needs on_full = drop_oldest_routine")
        return self
