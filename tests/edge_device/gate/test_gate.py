"""The gate: passes real and simulated fields, catches blur, wrong exposure and empty fields made from them.

Longer than most: all of it judges one set of frames.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edge_device.gate import GateSettings, Scores, WarningKind, judge, measure
from edge_device.simulator import DiagnosisClass, draw_slide, render_field
from wire_protocol.json_messages import Reason

Image = npt.NDArray[np.uint8]
LIMITS = GateSettings()
#: A device's own limit, as a calibration finds it.
CALIBRATED = GateSettings(min_focus=32)


#: Of the simulator, and of real sets by the size of their red cells.
SIMULATED_UM_PER_PX = 0.2
REAL_UM_PER_PX = {"chula_fields": 0.1, "ball4/original": 0.5, "pbc": 0.1}


def reason(
    image: Image, limits: GateSettings = LIMITS, um_per_px: float | None = None
) -> Reason | None:
    refusal = judge(measure(image, um_per_px), limits).refusal
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
        for seed in (1, 2, 16)  # of the first 25, slide 16 has the least sharp fields
        for kind in DiagnosisClass
    ]


def test_simulated_fields_of_every_class_pass(simulated: list[Image]) -> None:
    found = [reason(image, um_per_px=SIMULATED_UM_PER_PX) for image in simulated]
    assert found == [None] * len(simulated)


@pytest.mark.parametrize(("spoil", "expected"), [s[1:] for s in SPOILT], ids=IDS)
def test_spoilt_simulated_fields_are_refused(
    simulated: list[Image], spoil: Callable[[Image], Image], expected: set[Reason]
) -> None:
    found = {reason(spoil(image), CALIBRATED, SIMULATED_UM_PER_PX) for image in simulated}
    assert found <= expected


def real_images(folder: str, count: int) -> list[Image]:
    root = os.environ.get("HEMOWIRE_REAL_DATA")
    if root is None:
        pytest.skip("HEMOWIRE_REAL_DATA is not set: no real fields to try the gate on")
    paths = [p for p in sorted(Path(root, folder).rglob("*.jpg")) if p.parent.name != "platelet"]
    images = [cv2.imread(str(path)) for path in paths[:: max(1, len(paths) // count)][:count]]
    assert len(images) == count
    return [np.asarray(image, np.uint8) for image in images]


@pytest.mark.parametrize("knows_scale", [True, False])
@pytest.mark.parametrize(
    ("folder", "count"), [("chula_fields", 40), ("ball4/original", 200), ("pbc", 60)]
)
def test_at_most_two_real_fields_of_a_set_are_refused(
    folder: str, count: int, knows_scale: bool
) -> None:
    scale = REAL_UM_PER_PX[folder] if knows_scale else None
    refused = [
        r
        for image in real_images(folder, count)
        if (r := reason(image, um_per_px=scale)) is not None
    ]
    assert len(refused) <= 2, refused


@pytest.mark.parametrize("folder", ["chula_fields", "ball4/original"])
@pytest.mark.parametrize(("spoil", "expected"), [s[1:] for s in SPOILT], ids=IDS)
def test_spoilt_real_fields_are_refused(
    folder: str, spoil: Callable[[Image], Image], expected: set[Reason]
) -> None:
    scale = REAL_UM_PER_PX[folder]
    found = {reason(spoil(image), CALIBRATED, scale) for image in real_images(folder, 10)}
    assert found <= expected


def test_of_a_real_field_taken_twice_the_picture_out_of_focus_scores_far_lower() -> None:
    root = os.environ.get("HEMOWIRE_REAL_DATA")
    if root is None:
        pytest.skip("HEMOWIRE_REAL_DATA is not set: no real pair to compare")
    # Noise and stain are the same, and the blur is the microscope's: nobody made it.
    soft, sharp = (
        measure(np.asarray(cv2.imread(str(path)), np.uint8), REAL_UM_PER_PX["chula_fields"]).focus
        for name in ("N-1B_0246", "N-1B_0247")
        for path in Path(root, "chula_fields").glob(f"*/{name}.jpg")
    )
    assert soft < 0.7 * sharp


def test_the_operator_is_told_score_limit_and_next_step(simulated: list[Image]) -> None:
    refusal = judge(measure(blurred(simulated[0]), SIMULATED_UM_PER_PX), LIMITS).refusal
    assert refusal is not None and refusal.score is not None and refusal.limit == LIMITS.min_focus
    expected = f"Out of focus: score {refusal.score:.1f}, at least 10.0 needed."
    assert refusal.text == f"{expected} Refocus and take again."


@pytest.mark.parametrize(
    ("changed", "text", "score", "limit"),
    [
        ({"white_level": 41.0}, "Too dark: white level 41, at least 80 needed. Raise", 41, 80),
        ({"clipped_white_percent": 63.0}, "Too bright: 63 % of the field is plain white", 63, 40),
        ({"contrast": 0.7}, "No cells here: contrast 0.7, at least 1.8 needed. Move", 0.7, 1.8),
        ({"focus": 4.0}, "Out of focus: score 4.0, at least 10.0 needed. Refocus", 4, 10),
        ({"nucleus_um2": 3.0}, "No white cell in view: the largest nucleus-like area", 3, 25),
    ],
)
def test_each_refusal_says_what_is_wrong_with_score_and_limit_and_what_to_do(
    changed: dict[str, float], text: str, score: float, limit: float
) -> None:
    fine = Scores(230, 0.1, 0.0, 12.0, 30.0, 90.0, 0.0, 0.2)
    assert judge(fine, GateSettings()).refusal is None
    refusal = judge(replace(fine, **changed), GateSettings()).refusal
    assert refusal is not None and refusal.text.startswith(text)
    assert refusal.text.endswith("take again.")
    assert (refusal.score, refusal.limit) == (score, limit)


def test_limits_come_from_the_settings(simulated: list[Image]) -> None:
    assert reason(simulated[0], GateSettings(min_focus=1000)) is Reason.FOCUS
    assert reason(blurred(simulated[0]), GateSettings(min_focus=0)) is None


def test_a_picture_too_small_to_judge_is_refused_and_does_not_raise() -> None:
    assert reason(np.full((3, 5, 3), 200, np.uint8)) is Reason.EMPTY_FIELD


@pytest.mark.parametrize("seed", range(6))
def test_a_field_of_red_cells_only_is_refused_and_the_same_with_a_white_cell_passes(
    seed: int,
) -> None:
    slide = draw_slide(4000 + seed)
    for background_only, expected in ((True, Reason.TOO_FEW_WHITE_CELLS), (False, None)):
        rgb = render_field(
            slide, "CLL", 0, white_cells=(2, 4), background_only=background_only
        ).image
        bgr = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), np.uint8)
        assert reason(bgr, um_per_px=SIMULATED_UM_PER_PX) is expected


def red_cells_only() -> Image:
    rgb = render_field(draw_slide(4000), "CLL", 0, background_only=True).image
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), np.uint8)


def test_where_the_scale_is_unknown_a_field_without_white_cells_is_only_warned_of() -> None:
    verdict = judge(measure(red_cells_only()), LIMITS)
    assert verdict.refusal is None
    assert [w.kind for w in verdict.warnings] == [WarningKind.NO_WHITE_CELLS]
    assert "scale is unknown" in verdict.warnings[0].text


@pytest.mark.parametrize(("wish", "warnings"), [("warn", 1), ("off", 0)])
def test_a_field_without_white_cells_is_sent_where_the_settings_say_so(
    wish: str, warnings: int
) -> None:
    limits = GateSettings.model_validate({"white_cells": wish})
    verdict = judge(measure(red_cells_only(), SIMULATED_UM_PER_PX), limits)
    assert verdict.refusal is None and len(verdict.warnings) == warnings


def test_the_same_slide_gives_the_same_verdict_twice_as_large(simulated: list[Image]) -> None:
    for image in simulated[:3]:
        larger = np.asarray(cv2.resize(image, None, fx=2, fy=2), np.uint8)
        small, large = measure(image, 0.2), measure(larger, 0.1)
        assert large.nucleus_um2 == pytest.approx(small.nucleus_um2, rel=0.15)
        assert large.focus == pytest.approx(small.focus, rel=0.25)


@pytest.mark.parametrize("sigma", [2, 4])
def test_a_cameras_noise_neither_hides_a_blur_nor_makes_one(
    simulated: list[Image], sigma: float
) -> None:
    def focus(image: Image) -> float:
        return measure(with_noise(image, sigma), SIMULATED_UM_PER_PX).focus

    sharp = [measure(image, SIMULATED_UM_PER_PX).focus for image in simulated[:4]]
    assert [focus(image) for image in simulated[:4]] == pytest.approx(sharp, rel=0.2)
    assert max(focus(blurred(image)) for image in simulated[:4]) < 0.5 * min(sharp)


def test_stain_and_light_leave_the_focus_what_it_is(simulated: list[Image]) -> None:
    for image in simulated[:4]:
        pale = np.asarray(255 * (image / 255) ** 0.7, np.uint8)
        dark = np.asarray(image * 0.6, np.uint8)
        expected = pytest.approx(measure(image, SIMULATED_UM_PER_PX).focus, rel=0.15)
        assert measure(pale, SIMULATED_UM_PER_PX).focus == expected
        assert measure(dark, SIMULATED_UM_PER_PX).focus == expected


def test_dirt_is_warned_of_and_clean_fields_are_not(simulated: list[Image]) -> None:
    for image in simulated[:4]:
        dirty = image.copy()
        cv2.circle(dirty, (320, 240), 30, (25, 25, 25), -1)
        clean = judge(measure(image, SIMULATED_UM_PER_PX), LIMITS)
        found = judge(measure(dirty, SIMULATED_UM_PER_PX), LIMITS)
        assert WarningKind.DEBRIS not in {w.kind for w in clean.warnings}
        assert WarningKind.DEBRIS in {w.kind for w in found.warnings}
