"""Scales put figures where they belong, ticks are round, and colours can be told apart in light and in dark."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service_runtime.house_style.sheets import COLORS
from service_runtime.report_page.house_page import HOUSE_STYLE
from service_runtime.report_page.scales import (
    Scale,
    fit,
    percentile_at,
    percentile_ticks,
    resolved_percentile,
)

_MS = st.floats(min_value=1e-3, max_value=1e7)


@given(st.lists(_MS, min_size=1, max_size=30))
def test_every_figure_lies_within_its_axis_and_in_order(values: list[float]) -> None:
    scale = fit(values, 300.0, 20.0)
    pixels = [scale.at(value) for value in sorted(values)]
    assert all(20 <= pixel <= 300 for pixel in pixels)
    assert pixels == sorted(pixels, reverse=True)
    ticks = scale.ticks()
    assert 1 <= len(ticks) <= 12
    assert ticks == sorted(set(ticks))
    assert all(scale.low <= tick <= scale.high for tick in ticks)


def test_figures_far_apart_get_a_logarithmic_axis_and_equal_ones_a_linear_one() -> None:
    assert fit([1, 1000], 0, 100).is_log
    assert not fit([40, 60], 0, 100).is_log
    assert not fit([1, 1000], 0, 100, may_log=False).is_log
    assert not fit([], 0, 100).is_log


def test_each_nine_of_a_percentile_takes_the_same_room() -> None:
    at = [percentile_at(percentile) for percentile in (90, 99, 99.9, 99.99)]
    assert at == pytest.approx([1, 2, 3, 4])
    assert percentile_ticks(99.9) == [50, 90, 99, 99.9]


def test_so_many_images_tell_so_fine_a_percentile() -> None:
    assert resolved_percentile(50) == pytest.approx(99)
    assert resolved_percentile(1) == pytest.approx(50)


def test_linear_ticks_are_round() -> None:
    assert Scale(0, 104, 0, 100).ticks() == [0, 25, 50, 75, 100]
    assert Scale(0, 0.9, 0, 100).ticks() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])


def _themes() -> dict[str, dict[str, str]]:
    found: list[dict[str, str]] = [{}, {}, {}]
    for sheet in (COLORS, HOUSE_STYLE):
        text = sheet.read_text(encoding="utf-8")
        for colours, block in zip(
            found, re.findall(r":root \{(.*?)\}", text, re.DOTALL), strict=False
        ):
            colours.update(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
    return dict(zip(("light", "dark", "paper"), found, strict=True))


def _luminance(colour: str) -> float:
    channels = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark", "paper"])
def test_text_and_lines_can_be_seen(theme: str) -> None:
    colours = _themes()[theme]
    used = set(re.findall(r"var\(--([\w-]+)\)", HOUSE_STYLE.read_text(encoding="utf-8")))
    assert used & set(_themes()["light"]) <= set(colours)
    texts = [
        *((name, ground) for name in ("ink", "quiet") for ground in ("ground", "surface", "raised")),
        ("good", "raised"), ("good", "good-soft"), ("bad", "bad-soft"), ("warn", "warn-soft"),
        ("ink", "bad-soft"), ("accent", "surface"), ("limit", "surface"), ("accent", "ground"),
        ("on-sign", "good"), ("on-sign", "bad"), ("on-sign", "warn"), ("warn", "ground"),
    ]  # fmt: skip
    for text, ground in texts:
        assert _contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for name in (*(f"s{n}" for n in range(6)), "device", "link", "worker", "inference", "after"):
        assert _contrast(colours[name], colours["surface"]) >= 3, name
