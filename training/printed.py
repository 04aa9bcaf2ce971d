"""What the papers print, computed again from their own counts; it judges arithmetic, not science.

A figure agrees where rounding the computed value to the printed digits gives it.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

PAPERS = Path(__file__).resolve().parent / "papers"

Digits = Annotated[str, Field(pattern=r"^\d{1,3}\.\d+$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Printed(_Part):
    """One printed figure in percent; `by` names another paper that quotes it."""

    metric: Literal["accuracy"]
    value: Digits
    by: str = ""


class Matrix(_Part):
    """A confusion matrix on a paper's test images, and what is printed of it."""

    system: str
    classes: tuple[str, ...]
    rows: Literal["true", "predicted"]
    basis: str
    """Where the counts come from: `printed`, `recovered`, or in words."""
    counts: tuple[tuple[int, ...], ...]
    printed: tuple[Printed, ...] = ()

    @model_validator(mode="after")
    def _square(self) -> Self:
        if {len(self.classes)} != {len(self.counts), *(len(row) for row in self.counts)}:
            raise ValueError(f"{self.system}: the matrix is not {len(self.classes)} by itself")
        return self

    def table(self) -> NDArray[np.int64]:
        """Counts with true classes as rows, as training.metrics reads them."""
        counts = np.array(self.counts, np.int64)
        return counts if self.rows == "true" else counts.T


class Share(_Part):
    """A printed share of right answers without a matrix, and how many images there can be."""

    system: str
    value: Digits
    of: tuple[int, ...] = Field(min_length=1)
    wrong: int | None = None
    """How many answers the paper's text says are wrong."""


class Paper(_Part):
    """One paper's data file."""

    paper: str
    title: str
    doi: str = ""
    caution: str
    """What its figures cannot show."""
    matrix: tuple[Matrix, ...] = ()
    share: tuple[Share, ...] = ()


class Verdict(StrEnum):
    """What the arithmetic says of a printed figure."""

    AGREES = "agrees"
    MISPRINT = "misprint"
    """The counts give another figure."""
    IMPOSSIBLE = "impossible"
    """No whole number of images gives it."""


@dataclass(frozen=True, slots=True)
class Check:
    """One printed figure beside the computed one, both in percent."""

    paper: str
    system: str
    printed: str
    computed: str
    """`1122 of 1127, 99.556 %`, or the nearest there is."""
    verdict: Verdict


def read_papers(folder: Path = PAPERS) -> list[Paper]:
    """All papers, by file name."""
    files = sorted(folder.glob("*.toml"))
    return [Paper.model_validate(tomllib.loads(f.read_text(encoding="utf-8"))) for f in files]


def check_paper(paper: Paper) -> list[Check]:
    """Every printed figure of the paper, computed again."""
    checks = []
    for matrix in paper.matrix:
        table = matrix.table()
        right, total = int(table.trace()), int(table.sum())
        for printed in matrix.printed:
            verdict = Verdict.AGREES if agrees(right, total, printed.value) else Verdict.MISPRINT
            name = f"{matrix.system}, {len(matrix.classes)} classes"
            said = printed.value + (f" (by {printed.by})" if printed.by else "")
            checks.append(Check(paper.paper, name, said, share_words(right, total), verdict))
    return checks + [_check_share(paper, share) for share in paper.share]


def _check_share(paper: Paper, share: Share) -> Check:
    fits = [
        (right, total)
        for total in share.of
        for right in ([total - share.wrong] if share.wrong is not None else range(total + 1))
        if agrees(right, total, share.value)
    ]
    if fits:
        words = " or ".join(share_words(*fit) for fit in fits)
        return Check(paper.paper, share.system, share.value, words, Verdict.AGREES)
    if share.wrong is not None:
        words = " or ".join(share_words(total - share.wrong, total) for total in share.of)
        return Check(paper.paper, share.system, share.value, words, Verdict.MISPRINT)
    counts = [(k, total) for total in share.of for k in range(total + 1)]
    near = min(counts, key=lambda count: abs(100 * count[0] / count[1] - float(share.value)))
    words = f"nearest: {share_words(*near)}"
    return Check(paper.paper, share.system, share.value, words, Verdict.IMPOSSIBLE)


def agrees(right: int, total: int, printed: str) -> bool:
    """Whether `right` of `total`, in percent, is printed so when rounded."""
    value, digits = Decimal(100 * right) / total, Decimal(printed)
    return digits == value.quantize(digits, ROUND_HALF_UP)


def share_words(right: int, total: int) -> str:
    """`73 of 74, 98.65 %`."""
    return f"{right} of {total}, {100 * right / total:.3f} %"
