"""The gate: passes real and simulated fields, catches blur, wrong exposure and empty fields made from them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edge_device.gate import GateSettings, judge, measure
from edge_device.simulator import DiagnosisClass, draw_slide, render_field
from wire_protocol.json_messages import Reason

Image = npt.NDArray[np.uint8]
LIMITS = GateSettings()


def reason(image: Image, limits: GateSettings = LIMITS) -> Reason | None:
    refusal = judge(measure(image), limits).refusal
    return None if refusal is None else refusal.reason


def with_noise(image: Image, sigma: float) -> Image:
    """The camera's noise comes after the optics: a blurred field is not free of it."""
    noise = np.random.default_rng(0).normal(0, sigma, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def blurred(image: Image) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 5), np.uint8)


def emptied(image: Image) -> Image:
    """The same light and camera without cells."""
    small = cv2.resize(image, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    bright = cv2.GaussianBlur(cv2.dilate(small, np.ones((25, 25), np.uint8)), (0, 0), 8)
    return with_noise(np.asarray(bright, np.uint8).repeat(4, 0).repeat(4, 1), 2)


SPOILT: list[tuple[str, Callable[[Image], Image], set[Reason]]] = [
    ("blurred", blurred, {Reason.FOCUS}),
    ("blurred with noise", lambda x: with_noise(blurred(x), 3), {Reason.FOCUS}),
    (
        "blurred beyond recognition",
        lambda x: np.asarray(cv2.GaussianBlur(x, (0, 0), 20), np.uint8),
        {Reason.FOCUS, Reason.EMPTY_FIELD},
    ),
    ("black", np.zeros_like, {Reason.EXPOSURE}),
    ("white", lambda x: np.full_like(x, 255), {Reason.EXPOSURE}),
    ("far too dark", lambda x: (x * 0.2).astype(np.uint8), {Reason.EXPOSURE}),
    (
        "far too bright",
        lambda x: np.asarray(cv2.convertScaleAbs(x, alpha=2.5), np.uint8),
        {Reason.EXPOSURE},
    ),
    ("empty", emptied, {Reason.EMPTY_FIELD}),
    ("a plain colour", lambda x: np.full_like(x, 180), {Reason.EMPTY_FIELD}),
]
IDS = [name for name, _, _ in SPOILT]


@pytest.fixture(scope="module")
def simulated() -> list[Image]:
    return [
        np.asarray(
            cv2.cvtColor(render_field(draw_slide(seed), kind, 0).image, cv2.COLOR_RGB2BGR), np.uint8
        )
        for seed in (1, 2)
        for kind in DiagnosisClass
    ]


def test_simulated_fields_of_every_class_pass(simulated: list[Image]) -> None:
    assert [reason(image) for image in simulated] == [None] * len(simulated)


@pytest.mark.parametrize(("spoil", "expected"), [s[1:] for s in SPOILT], ids=IDS)
def test_spoilt_simulated_fields_are_refused(
    simulated: list[Image], spoil: Callable[[Image], Image], expected: set[Reason]
) -> None:
    assert {reason(spoil(image)) for image in simulated} <= expected


def real_images(folder: str, count: int) -> list[Image]:
    root = os.environ.get("HEMOWIRE_REAL_DATA")
    if root is None:
        pytest.skip("HEMOWIRE_REAL_DATA is not set: no real fields to try the gate on")
    paths = sorted(Path(root, folder).rglob("*.jpg"))
    images = [cv2.imread(str(path)) for path in paths[:: max(1, len(paths) // count)][:count]]
    assert len(images) == count
    return [np.asarray(image, np.uint8) for image in images]


@pytest.mark.parametrize(("folder", "count"), [("chula_fields", 40), ("ball4/original", 200)])
def test_at_most_two_real_fields_of_a_set_are_refused(folder: str, count: int) -> None:
    refused = [r for image in real_images(folder, count) if (r := reason(image)) is not None]
    assert len(refused) <= 2, refused


@pytest.mark.parametrize("folder", ["chula_fields", "ball4/original"])
@pytest.mark.parametrize(("spoil", "expected"), [s[1:] for s in SPOILT], ids=IDS)
def test_spoilt_real_fields_are_refused(
    folder: str, spoil: Callable[[Image], Image], expected: set[Reason]
) -> None:
    assert {reason(spoil(image)) for image in real_images(folder, 10)} <= expected


def test_the_operator_is_told_score_limit_and_next_step(simulated: list[Image]) -> None:
    refusal = judge(measure(blurred(simulated[0])), LIMITS).refusal
    assert refusal is not None and refusal.score is not None and refusal.limit == LIMITS.min_focus
    expected = f"Out of focus: score {refusal.score:.1f}, at least 4.8 needed."
    assert refusal.text == f"{expected} Refocus and take again."


def test_limits_come_from_the_settings(simulated: list[Image]) -> None:
    assert reason(simulated[0], GateSettings(min_focus=1000)) is Reason.FOCUS
    assert reason(blurred(simulated[0]), GateSettings(min_focus=0)) is None


def test_a_picture_too_small_to_judge_is_refused_and_does_not_raise() -> None:
    assert reason(np.full((3, 5, 3), 200, np.uint8)) is Reason.EMPTY_FIELD
