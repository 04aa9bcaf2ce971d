"""A paper's report from what trainings leave: regimes side by side, printed figures, nothing called reproduced."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as reference

from hemowire.cli import main
from tests.benchmarks.report_reading import read_page
from training.data import Sample
from training.evaluation.reproduction import (
    NOT_TO_BE_HAD,
    PAPERS,
    REGIMES,
    is_finished,
    paper_of,
    printed_matrices,
    read_run,
    recipe_of,
    shipped,
    stand_in_of,
)
from training.history import Epoch, StageHistory
from training.recipe import Regime
from training.record import (
    Predicted,
    training_folder,
    write_history,
    write_predictions,
    write_split,
)
from training.regimes import split_samples

SYSTEM = "bibi-resnet34"
KEYS = ("ALL", "AML", "CLL", "CML", "healthy")


def samples() -> list[Sample]:
    """40 images of each class, two of a group side by side."""
    return [
        Sample(Path(f"/data/{name}/{n:03d}.jpg"), name, f"{name}-{n // 2}", f"{k:02x}{n:062x}", 0.3)
        for k, name in enumerate(KEYS)
        for n in range(40)
    ]


def leave_record(out: Path, regime: Regime, accuracy: float) -> np.ndarray:
    """What a training of the recipe would have left, with answers of about this accuracy."""
    recipe = recipe_of(SYSTEM, regime, stand_in="simulated5", is_reduced=True)
    enlarge = {name: 2.0 for name in KEYS}
    parts = split_samples(samples(), recipe.split, enlarge)
    bundle = out / f"{SYSTEM}-{regime}"
    folder = training_folder(bundle)
    rng = np.random.default_rng(len(regime))

    def predicted(part: tuple[Sample, ...]) -> Predicted:
        labels = np.array([KEYS.index(s.label) for s in part], np.int64)
        said = np.where(rng.random(len(labels)) < accuracy, labels, (labels + 1) % 5)
        logits = rng.normal(0, 0.5, (len(labels), 5)) + 4 * np.eye(5)[said]
        return Predicted(part, logits, labels)

    test = predicted(parts.test)
    write_split(folder, recipe, parts, Path("/data"))
    history = StageHistory("fields", "classes", (Epoch(1, 1.2, 0.5, 1e-3, 2.0, 1.1, 0.6),))
    write_history(folder, recipe, [history], "two cores", "random")
    write_predictions(
        folder, KEYS, 1.3, test=test, calibration=predicted(parts.calibration), root=Path("/data")
    )
    return np.stack([test.labels, test.logits.argmax(axis=1)])


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bibi")
    for regime, accuracy in zip(REGIMES, (0.99, 0.95, 0.85, 0.8), strict=True):
        leave_record(folder, regime, accuracy)
    words = ["bibi", "--system", SYSTEM, "--reduced", "--report-only", "--out", str(folder)]
    assert main(["reproduce", *words]) == 0
    return folder


def test_the_four_regimes_stand_side_by_side(out: Path) -> None:
    result = json.loads((out / "metrics.json").read_text())
    rows = [run["row"] for run in result["runs"]]
    assert [row["regime"] for row in rows] == list(REGIMES)
    assert all("(reduced)" in row["system"] for row in rows)
    shared = {row["regime"]: row["groups_shared"] for row in rows}
    assert shared["paper"] > 0 and shared["by_image"] > 0
    assert shared["by_group"] == shared["contiguous_fifths"] == 0
    page = read_page((out / "report.html").read_text(encoding="utf-8"))
    text = page.text()
    for row in rows:
        assert f"{row['balanced_accuracy']['value']:.3f}" in text
    assert "the paper's: augmented, then split by image" in text


def test_figures_of_a_run_are_those_of_scikit_learn(tmp_path: Path) -> None:
    labels, answers = leave_record(tmp_path, "by_group", 0.8)
    recipe = recipe_of(SYSTEM, "by_group", stand_in="simulated5", is_reduced=True)
    run = read_run(tmp_path / f"{SYSTEM}-by_group", recipe, "hemowire train")
    assert run.row.accuracy.value == pytest.approx(reference.accuracy_score(labels, answers))
    assert run.row.balanced_accuracy.value == pytest.approx(
        reference.balanced_accuracy_score(labels, answers)
    )
    assert run.row.macro_f1.value == pytest.approx(
        reference.f1_score(labels, answers, average="macro")
    )
    assert np.array_equal(run.counts, reference.confusion_matrix(labels, answers))
    assert run.training_curves[0].validation_accuracy == 0.6


def test_images_that_cannot_be_had_are_never_called_reproduced(out: Path) -> None:
    text = (out / "report.html").read_text(encoding="utf-8")
    result = json.loads((out / "metrics.json").read_text())
    assert result["basis"] == NOT_TO_BE_HAD
    assert NOT_TO_BE_HAD[1:] in text
    assert "reproduced" not in text.lower()
    assert "Reduced runs" in text and "Research use only" in text


def test_the_papers_own_matrix_is_on_the_page_with_its_figures_computed_again(out: Path) -> None:
    page = read_page((out / "report.html").read_text(encoding="utf-8"))
    text = page.text()
    assert "1122 of 1127, 99.556 %" in text and "agrees" in text
    printed = next(
        svg for svg in page.find("svg", "wide")
        if svg.attributes["aria-labelledby"].startswith("printed-0")
    )  # fmt: skip
    assert {"225", "227", "173", "247", "250"} <= {
        node.text() for node in printed.find("text", "count-text")
    }


def test_every_paper_has_its_data_file_and_recipes_that_are_there() -> None:
    for key, runs in PAPERS.items():
        paper = paper_of(runs)
        assert paper.paper.lower().startswith(key)
        assert all(shipped(name) for name in runs.recipes), key
        for matrix in printed_matrices(paper):
            assert sum(map(sum, matrix.counts)) > 0
        stand_ins = {stand_in_of(runs, name) for name in runs.recipes}
        assert ("" in stand_ins) == (key in ("islam", "pavithra"))


def test_what_is_not_there_is_said_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--out", str(tmp_path)]
    assert main(["reproduce", "bibi", "--system", "alexnet", *words]) == 2
    assert main(["reproduce", "islam", *words]) == 2
    assert main(["reproduce", "bibi", "--report-only", *words]) == 2
    errors = capsys.readouterr().err
    for word in ("alexnet", "give --data DIR", "nothing is trained there"):
        assert word in errors
    assert not is_finished(tmp_path / "none")
