"""Limits from a few frames lie between good and bad, overlap is refused by name, edge.toml wins, undo takes back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edge_device.calibration import (
    Calibration,
    CalibrationError,
    LearnedLimit,
    MeasuredScale,
    effective_gate,
    effective_scale,
    load_calibration,
    save_calibration,
    undo_calibration,
)
from edge_device.calibration.limits import calibrate_limits
from edge_device.calibration.making import Material, next_calibration, scale_of_red_cells
from edge_device.gate import GateSettings, Scores, judge, measure
from edge_device.gate.focus import FOCUS_MEASURE
from tests.edge_device.calibration.frames import blurred, field

GOOD = Scores(230, 0.1, 0.0, 12.0, 30.0, 90.0, 0.0, 0.2)
DEFAULTS = GateSettings()


def good(*focus: float) -> list[Scores]:
    return [replace(GOOD, focus=each) for each in focus]


def scale(um_per_px: float) -> MeasuredScale:
    return MeasuredScale(um_per_px=um_per_px, spread=0.01, source="micrometer", count=9)


def calibration(version: int = 1, um_per_px: float | None = None) -> Calibration:
    return Calibration(
        version=version,
        operator="kim",
        limits={"min_focus": LearnedLimit(limit=17.5, worst_good=25, best_bad=12)},
        scale=None if um_per_px is None else scale(um_per_px),
        focus_measure=FOCUS_MEASURE,
    )


def test_three_good_and_three_bad_frames_give_a_limit_between_them() -> None:
    found = calibrate_limits(good(30, 33, 36), good(18, 17, 20), DEFAULTS)
    assert set(found) == {"min_focus"}
    learned = found["min_focus"]
    assert learned.worst_good == pytest.approx(30) and learned.best_bad == pytest.approx(20)
    assert learned.limit == pytest.approx((30 * 20) ** 0.5, rel=0.01)


def test_a_default_between_good_and_bad_draws_the_limit_to_itself() -> None:
    found = calibrate_limits(good(30, 33, 36), good(8, 6, 7), DEFAULTS)
    assert found["min_focus"].limit < (30 * 8) ** 0.5 * 0.95
    assert found["min_focus"].limit > 10


def test_each_bad_frame_counts_for_the_score_that_sets_it_apart() -> None:
    dark = [replace(GOOD, white_level=level) for level in (40.0, 45.0, 50.0)]
    found = calibrate_limits(good(30, 33, 36), [*good(10, 11, 12), *dark], DEFAULTS)
    assert set(found) == {"min_focus", "min_white_level"}
    assert 50 < found["min_white_level"].limit < 230


def test_a_default_that_would_refuse_a_good_frame_gives_way() -> None:
    pale = [replace(each, contrast=1.2) for each in good(30, 33, 36)]
    bad = [replace(each, contrast=1.2) for each in good(10, 11, 12)]
    found = calibrate_limits(pale, bad, DEFAULTS)
    assert found["min_contrast"].limit < 1.2 and found["min_contrast"].best_bad is None


def test_a_bad_frame_that_looks_good_is_refused_by_name() -> None:
    with pytest.raises(CalibrationError, match=r"1 of 3 bad frames .* b\.jpg .focus 31\.00"):
        calibrate_limits(
            good(30, 33, 36), good(10, 31, 12), DEFAULTS, bad_names=["a.jpg", "b.jpg", "c.jpg"]
        )


def test_too_few_frames_are_refused_with_how_many_are_needed() -> None:
    with pytest.raises(CalibrationError, match="2 good and 3 bad frames: at least 3 of each"):
        calibrate_limits(good(30, 33), good(10, 11, 12), DEFAULTS)


def test_limits_learned_from_frames_pass_other_good_ones_and_refuse_other_bad_ones() -> None:
    fields = [field(index) for index in range(6)]
    made = next_calibration(
        None,
        Material(
            good={str(i): measure(image, 0.2) for i, image in enumerate(fields[:3])},
            bad={str(i): measure(blurred(image), 0.2) for i, image in enumerate(fields[:3])},
            scale=scale(0.2),
        ),
        DEFAULTS,
        operator="kim",
        made_at="2026-01-01T00:00:00.000Z",
    )
    limits = effective_gate(DEFAULTS, made)
    assert made.version == 1 and (made.good_frames, made.bad_frames) == (3, 3)
    assert [judge(measure(image, 0.2), limits).refusal for image in fields[3:]] == [None] * 3
    assert all(judge(measure(blurred(image), 0.2), limits).refusal for image in fields[3:])


def test_edge_toml_wins_over_the_calibration_and_that_over_the_default() -> None:
    assert effective_gate(DEFAULTS, None).min_focus == 10
    assert effective_gate(DEFAULTS, calibration()).min_focus == 17.5
    assert effective_gate(GateSettings(min_focus=12), calibration()).min_focus == 12
    assert effective_scale(None, None) is None
    assert effective_scale(None, calibration(um_per_px=0.2)) == 0.2
    assert effective_scale(0.3, calibration(um_per_px=0.2)) == 0.3
    assert effective_scale("estimate", calibration(um_per_px=0.2)) == "estimate"


def test_another_scale_drops_the_limits_learned_at_the_old_one() -> None:
    def after(um_per_px: float) -> Calibration:
        return next_calibration(
            calibration(um_per_px=0.2),
            Material(scale=scale(um_per_px)),
            DEFAULTS,
            operator="kim",
            made_at="",
        )

    assert after(0.201).limits and not after(0.1).limits
    assert after(0.1).version == 2


def test_what_was_saved_is_loaded_and_undo_gives_the_one_before(tmp_path: Path) -> None:
    assert load_calibration(tmp_path) is None
    save_calibration(tmp_path, calibration(1))
    save_calibration(tmp_path, calibration(2, um_per_px=0.2))
    assert load_calibration(tmp_path) == calibration(2, um_per_px=0.2)
    assert undo_calibration(tmp_path) == calibration(1)
    assert undo_calibration(tmp_path) is None
    with pytest.raises(CalibrationError, match="no calibration to take back"):
        undo_calibration(tmp_path)
    assert sorted(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text", ["", "{", '{"version": 0}', '{"version": 1, "limits": {"min_fokus": {"limit": 1}}}']
)
def test_a_file_that_cannot_be_used_is_an_error_and_never_a_guess(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "calibration.json").write_text(text)
    with pytest.raises(CalibrationError, match="cannot be used"):
        load_calibration(tmp_path)


@pytest.mark.parametrize("measure_line", ["", '"focus_measure": "another",'])
def test_a_focus_limit_of_another_measure_does_not_hold_and_the_rest_of_the_file_does(
    tmp_path: Path, measure_line: str
) -> None:
    limit = '{"limit": 17.5, "worst_good": 25, "best_bad": 12}'
    (tmp_path / "calibration.json").write_text(
        f'{{"version": 3, {measure_line} "scale": {scale(0.2).model_dump_json()},'
        f' "limits": {{"min_focus": {limit}, "min_contrast": {limit}}}}}'
    )
    found = load_calibration(tmp_path)
    assert found is not None and found.outdated_min_focus == 17.5 and found.scale == scale(0.2)
    holds = effective_gate(DEFAULTS, found)
    assert (holds.min_focus, holds.min_contrast) == (DEFAULTS.min_focus, 17.5)


def test_a_new_scale_alone_does_not_make_an_old_focus_limit_hold_again(tmp_path: Path) -> None:
    old = calibration(um_per_px=0.2).model_copy(update={"focus_measure": ""})
    save_calibration(tmp_path, old)
    before = load_calibration(tmp_path)
    after = next_calibration(
        before, Material(scale=scale(0.201)), DEFAULTS, operator="kim", made_at=""
    )
    assert after.outdated_min_focus == 17.5
    save_calibration(tmp_path, after)
    again = load_calibration(tmp_path)
    assert again is not None and not again.limits


def test_red_cells_give_the_scale_with_its_spread() -> None:
    found = scale_of_red_cells([field(index, seed=2) for index in range(3)])
    assert found.um_per_px == pytest.approx(0.2, rel=0.15)
    assert found.source == "red_cells" and found.count >= 30 and 0 < found.spread < 0.2


def test_fields_without_red_cells_give_no_scale() -> None:
    with pytest.raises(CalibrationError, match="no field shows clear red cells"):
        scale_of_red_cells([blurred(field(0), 20)])
