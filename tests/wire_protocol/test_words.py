"""The shared words: nothing is certain, nobody is healthy, and the notice stands in one place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from wire_protocol.words import RESEARCH_USE_ONLY, class_word, figure_word, percent

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("p", "words"),
    [
        (1.0, ">99 %"), (0.9901, ">99 %"), (0.99, "99 %"), (0.5, "50 %"), (0.01, "1 %"),
        (0.0099, "<1 %"), (0.0, "<1 %"), (None, "unknown"),
    ],
)  # fmt: skip
def test_a_probability_is_neither_certain_nor_impossible(p: float | None, words: str) -> None:
    assert percent(p) == words


def test_no_class_is_called_healthy() -> None:
    assert [class_word(key) for key in ("healthy", "Healthy", "aml", "cannot_say")] == [
        "NO PATTERN",
        "NO PATTERN",
        "AML",
        "CANNOT SAY",
    ]


def test_a_class_s_figure_is_named_by_its_word() -> None:
    assert figure_word("recall_healthy") == "recall NO PATTERN"
    assert figure_word("balanced_accuracy") == "balanced_accuracy"


@pytest.mark.parametrize(
    "room", ["service_runtime", "edge_device", "cloud_worker", "training", "dashboard", "hemowire"]
)
def test_the_notice_is_written_in_one_place(room: str) -> None:
    text = re.compile(re.escape(RESEARCH_USE_ONLY), re.IGNORECASE)
    written = [
        str(file) for file in (ROOT / room).rglob("*.py") if text.search(file.read_text("utf-8"))
    ]
    assert not written
