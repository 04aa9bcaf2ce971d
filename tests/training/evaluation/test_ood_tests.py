"""The five tests: thresholds that see no judged image, figures, goals, and a whole run on a small bundle."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from hemowire.cli import main
from tests.training.evaluation.conftest import Probe
from training.data import DataError
from training.evaluation.document import FOIL, Evaluation, OodScore, OodTable
from training.evaluation.goals import COVERAGE, GOALS, judged_goals
from training.evaluation.ood_tests import (
    HeldOut,
    LeftOut,
    Measured,
    ScoreRun,
    fix_threshold,
    score_figures,
)
from training.evaluation.page.figure_tables import ood_table
from training.evaluation.page.ood_picture import ood_picture

pytestmark = pytest.mark.timeout(300)
"""The probe is fitted and exported first."""

RNG = np.random.default_rng(5)


def run_of(**changed: object) -> ScoreRun:
    own = RNG.normal(10, 1, 400)
    facts: dict[str, object] = {
        "kind": "mahalanobis",
        "words": "a distance",
        "is_carried": True,
        "fitted_on": "train part",
        "calibration": RNG.normal(10, 1, 400),
        "calibration_images": frozenset({"a", "b"}),
        "own": own,
        "own_images": frozenset({"c"}),
        "measured": [
            Measured("a", "far", np.full(50, 30.0), np.zeros(50, np.bool_)),
            Measured("b", "matched", np.full(50, 20.0), np.zeros(50, np.bool_)),
            Measured("c", "cells", np.r_[np.full(30, 20.0), np.full(20, 9.0)],
                     np.r_[np.ones(31, np.bool_), np.zeros(19, np.bool_)]),
            Measured("e", "blur", own + 0.05, np.zeros(400, np.bool_)),
        ],
        "left_out": [LeftOut("X", np.r_[own, own[:50] + 4], np.arange(450) >= 400)],
    } | changed  # fmt: skip
    return ScoreRun(**facts)  # type: ignore[arg-type]  # a test's own keywords


def test_a_threshold_fitted_on_a_judged_image_is_refused() -> None:
    with pytest.raises(DataError, match="both fitted on and judged"):
        score_figures(run_of(own_images=frozenset({"b"})), COVERAGE)
    with pytest.raises(DataError, match="no calibration images"):
        fix_threshold(np.array([]), (), (), COVERAGE)


def test_nine_of_ten_calibration_images_are_kept() -> None:
    run = run_of()
    score = score_figures(run, COVERAGE)
    assert (run.calibration <= score.threshold).mean() == pytest.approx(0.9, abs=0.003)
    kept = next(f for f in score.figures if f.on == "test part as it is")
    assert kept.value == pytest.approx((run.own <= score.threshold).mean())


def test_figures_say_what_was_rejected_called_and_ranked() -> None:
    run = run_of()
    score = score_figures(run, COVERAGE)
    found = {(f.test, f.on): f for f in score.figures}
    assert found["a", "far"].value == 1.0
    assert found["c", "cells"].value == pytest.approx(0.6)
    assert found["c", "cells"].called_leukemic == pytest.approx(1 / 50)
    left = run.left_out[0]
    expected = roc_auc_score(left.is_left_out, left.distances)
    assert found["d", "without X"].value == pytest.approx(expected)
    assert judged_goals(score) == {goal.test: True for goal in GOALS}
    assert sum(sum(h.shares) for h in score.histograms) == pytest.approx(5, abs=1e-3)


def test_a_fifth_is_judged_by_a_score_and_a_threshold_that_never_saw_it() -> None:
    held_out = [
        HeldOut(fifth, np.arange(1.0, 101.0) * fifth, np.full(10 * fifth, 85.0 * fifth + off))
        for fifth, off in ((1, 0.0), (2, 0.0), (3, 0.0), (4, 0.0), (5, 40.0))
    ]
    figures = [
        one
        for one in score_figures(run_of(held_out=held_out), COVERAGE).figures
        if "fifth" in one.on
    ]
    assert [(one.test, one.images) for one in figures] == [
        ("e", 150), ("e_fifth", 10), ("e_fifth", 20), ("e_fifth", 30), ("e_fifth", 40), ("e_fifth", 50)
    ]  # fmt: skip
    assert [one.value for one in figures[1:]] == [
        1,
        1,
        1,
        1,
        0,
    ]  # only the last lies beyond its own
    assert figures[0].value == pytest.approx(100 / 150)
    assert judged_goals(score_figures(run_of(held_out=held_out), COVERAGE))["e"] is False
    four = [HeldOut(one.fifth, one.calibration, one.own / 2) for one in held_out]
    assert judged_goals(score_figures(run_of(held_out=four), COVERAGE))["e"] is True


def test_a_colour_lock_passes_the_first_test_and_fails_the_second_and_the_last() -> None:
    own = RNG.normal(10, 1, 400)
    nothing = np.zeros(400, np.bool_)
    measured = [
        Measured("a", "far", np.full(400, 30.0), nothing),
        Measured("b", "matched", own, nothing),
        Measured("e", "white balance", own + 8, nothing),
    ]
    verdicts = judged_goals(
        score_figures(run_of(own=own, measured=measured, left_out=()), COVERAGE)
    )
    assert verdicts == {"a": True, "b": False, "c": None, "d": None, "e": False}


@pytest.fixture(scope="module")
def table(probe: Probe, tmp_path_factory: pytest.TempPathFactory) -> OodTable:
    """All scores of the probe, on blocks of colour as another laboratory."""
    folder = tmp_path_factory.mktemp("foreign")
    for number in range(6):
        rng = np.random.default_rng(number)
        image = cv2.resize(rng.integers(0, 255, (5, 6, 3), dtype=np.uint8), (200, 160))
        cv2.imwrite(str(folder / f"{number}.png"), image)
    out = tmp_path_factory.mktemp("out")
    words = ["--bundle", str(probe.bundle.folder), "--data", str(probe.data), "--out", str(out)]
    assert main(["evaluate", *words, "--engine", "openvino", "--ood", f"blocks={folder}"]) == 0
    assert "Images it should refuse" in (out / "report.html").read_text(encoding="utf-8")
    result = Evaluation.model_validate_json((out / "metrics.json").read_text(encoding="utf-8"))
    assert result.ood is not None and "--ood blocks=DIR" in result.facts.command
    return result.ood


def score(table: OodTable, kind: str) -> OodScore:
    return next(one for one in table.scores if one.kind == kind)


def test_every_score_is_measured_beside_the_colour_foil(table: OodTable) -> None:
    kinds = [one.kind for one in table.scores]
    assert set(kinds) >= {"mahalanobis", "energy", "neighbours", "vim", "joint", FOIL}
    assert [one.kind for one in table.scores if one.is_carried] == ["joint"]
    for one in table.scores:
        tests = {figure.test for figure in one.figures}
        assert tests >= {"a", "b", "d", "e"}, one.kind
        assert len([f for f in one.figures if f.test == "e"]) == 6
        assert [f.on.split()[1] for f in one.figures if f.test == "e_fifth"] == list("12345")
        assert len([f for f in one.figures if f.test == "d"]) == 5
        assert "calibration part" in one.fitted_on


def test_blocks_of_colour_are_rejected_by_the_score_that_is_carried(table: OodTable) -> None:
    found = {f.on: f.value for f in score(table, "joint").figures if f.test == "a"}
    assert found["blocks"] == 1.0


def test_matching_takes_the_colour_foil_its_only_clue(table: OodTable) -> None:
    foil = score(table, FOIL)
    found = {f.test: f.value for f in foil.figures if f.on.startswith("blocks")}
    assert found["a"] > found["b"]


def test_the_tests_are_drawn_with_their_threshold(table: OodTable) -> None:
    parts = ood_table(table)
    assert [part.tag for part in parts] == ["div", "div", "p"]
    picture = ood_picture(score(table, "joint"))
    assert len(list(picture.iter("title"))) == 2
    assert any(line.get("class") == "limit" for line in picture.iter("line"))
    words = [text.text or "" for text in picture.iter("text")]
    assert any(">99 % beyond" in text for text in words)
    assert not any("100 %" in text for text in words)
