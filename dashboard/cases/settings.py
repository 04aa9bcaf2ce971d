"""How fields become a case's result: the table `[cases]` of records.toml; it computes nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, model_validator

from service_runtime.settings import Settings

Share = Annotated[float, Field(gt=0, lt=1)]


class CaseSettings(Settings):
    """DIAGNOSIS.md, "Slide": log p ~ log prior + field_weight x sum(log p_field - log prior)."""

    #: What each further field counts, the factor `a`. Fields of one smear share its stain, its light
    #: and the model's mistakes: 1 would call them independent and be overconfident, 1/fields (a mean)
    #: never gains confidence. `hemowire records fit-weight` fits it on signed cases.
    field_weight: float = Field(default=0.5, gt=0, le=1)
    #: Class key to its share before any field is seen, for all classes of a bundle; equal shares for
    #: a bundle whose classes are not all here.
    prior: Mapping[str, Share] = Field(default_factory=dict)
    #: Below this a case is cannot_say, unless acute leukemia is suspected in two of its fields.
    white_cells_needed: int = Field(default=50, ge=0, le=10_000)

    @model_validator(mode="after")
    def _prior_is_whole(self) -> Self:
        if self.prior and not math.isclose(sum(self.prior.values()), 1.0, abs_tol=1e-3):
            raise ValueError(f"prior: the shares sum to {sum(self.prior.values()):.4g}, 1 needed")
        return self
