"""`hemowire evaluate` from images to metrics.json and the page: its figures against scikit-learn's."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as reference

from cloud_worker.engines.engine import open_engine
from cloud_worker.models.bundle import load_bundle
from hemowire.cli import main
from tests.benchmarks.report_reading import Node, read_page
from tests.training.evaluation.conftest import MEANINGS, Probe
from training.data import DataError
from training.evaluate import answered_of, evaluate
from training.evaluation.document import EXCHANGED, Evaluation
from training.evaluation.judge import judge
from training.evaluation.page.page import make_page
from training.own_images import test_part as kept_for_testing
from training.recipe import load_recipe
from training.rendering import simulated_of

pytestmark = pytest.mark.timeout(300)
"""The probe is fitted and exported first: 15 s on two free cores."""

FORBIDDEN = ("healthy", "diagnosed", "positive", "negative", "100 %", "100%")


@dataclass(frozen=True, slots=True)
class Written:
    """What one run of the command wrote."""

    metrics: dict[str, Any]
    text: str
    page: Node


@pytest.fixture(scope="module")
def written(probe: Probe, tmp_path_factory: pytest.TempPathFactory) -> Written:
    out = tmp_path_factory.mktemp("report")
    words = ["--bundle", str(probe.bundle.folder), "--data", str(probe.data), "--part", "test"]
    assert main(["evaluate", *words, "--engine", "openvino", "--out", str(out)]) == 0
    text = (out / "report.html").read_text(encoding="utf-8")
    return Written(json.loads((out / "metrics.json").read_text()), text, read_page(text))


def test_the_file_has_the_figures_that_scikit_learn_has(probe: Probe, written: Written) -> None:
    engine = open_engine(probe.bundle, "openvino")
    one = answered_of(
        probe.bundle.card, probe.parts.test, judge(probe.bundle, engine, probe.parts.test)
    )
    labels, answers, p = one.labels, one.answers, one.probabilities()
    found = {m["name"]: m["value"] for m in written.metrics["metrics"]}
    assert found["overall_accuracy"] == pytest.approx(reference.accuracy_score(labels, answers))
    assert found["balanced_accuracy"] == pytest.approx(
        reference.balanced_accuracy_score(labels, answers)
    )
    assert found["macro_f1"] == pytest.approx(reference.f1_score(labels, answers, average="macro"))
    assert found["nll"] == pytest.approx(reference.log_loss(labels, p, labels=range(5)), abs=1e-6)
    matrix = np.array(written.metrics["confusion"])
    assert np.array_equal(
        matrix[:, :5], reference.confusion_matrix(labels, answers, labels=range(5))
    )
    for number, row in enumerate(written.metrics["per_class"]):
        truth = labels == number
        assert row["auroc"] == pytest.approx(reference.roc_auc_score(truth, p[:, number]))
        assert row["average_precision"] == pytest.approx(
            reference.average_precision_score(truth, p[:, number])
        )
        assert row["recall"]["low"] <= row["recall"]["value"] <= row["recall"]["high"]


def test_the_file_is_read_back_as_what_was_written_and_names_no_path(
    probe: Probe, written: Written
) -> None:
    assert written.metrics["schema"] == "hemowire.metrics"
    again = Evaluation.model_validate(written.metrics)
    assert json.loads(again.to_json()) == written.metrics
    assert str(probe.data) not in json.dumps(written.metrics)
    assert str(probe.bundle.folder.parent) not in json.dumps(written.metrics)


def test_the_page_shows_every_part_that_was_measured(written: Written) -> None:
    heads = [node.text() for node in written.page.find("h2")]
    assert heads == [
        "Confusion",
        "Each class",
        "Can its probabilities be believed",
        "Without the cells",
        "Examples with their maps",
        "How it was measured",
    ]
    assert "Research use only" in written.page.text()
    assert "backgrounds had told it" in written.page.text()
    assert "map in white cells" in written.page.text()
    assert "synthetic images" in written.page.text()


def test_the_matrix_of_the_page_has_the_counts_of_the_file(written: Written) -> None:
    picture = next(
        svg
        for svg in written.page.find("svg", "wide")
        if svg.attributes["aria-labelledby"].startswith("confusion-")
    )
    drawn = Counter(node.text() for node in picture.find("text", "count-text"))
    counts = [c for i, row in enumerate(written.metrics["confusion"]) for j, c in enumerate(row)
              if c or i == j]  # fmt: skip
    assert drawn == Counter(map(str, counts))


def test_every_figure_of_the_file_stands_on_the_page(written: Written) -> None:
    text = written.page.text()
    for one in written.metrics["metrics"]:
        assert f"{one['value']:.3f}" in text, one["name"]
    for row in written.metrics["per_class"]:
        assert f"{row['auroc']:.4f}" in text


def test_the_page_loads_nothing_and_says_no_forbidden_word(written: Written) -> None:
    policy = next(
        meta.attributes["content"]
        for meta in written.page.find("meta")
        if meta.attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert not list(written.page.find("script")) and not list(written.page.find("link"))
    assert all(i.attributes["src"].startswith("data:") for i in written.page.find("img"))
    said = written.page.text(without=frozenset({"style"})).lower()
    assert not [word for word in FORBIDDEN if word in said]


def test_examples_show_each_class_with_the_map_of_its_answer(written: Written) -> None:
    captions = [node.text() for node in written.page.find("figcaption")]
    right = [caption for caption in captions if caption.startswith("True ")]
    shown = {caption.split(",")[0].removeprefix("True ") for caption in right}
    assert shown == {"ALL", "AML", "CLL", "CML", "NO PATTERN"}
    assert len(list(written.page.find("img"))) == 2 * len(right)


def test_a_single_training_or_calibration_image_is_refused_by_name(probe: Probe) -> None:
    engine = open_engine(probe.bundle, "openvino")
    for part in ("train", "calibration"):
        used = probe.parts.named()[part][3]
        with pytest.raises(DataError, match=used.path.name):
            evaluate(probe.bundle, engine, [*probe.parts.test, used])


def test_the_test_part_is_what_training_kept(probe: Probe) -> None:
    kept = kept_for_testing(probe.bundle, probe.samples)
    assert {s.sha256 for s in kept} == {s.sha256 for s in probe.parts.test}


def test_options_that_exclude_each_other_are_refused(
    probe: Probe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", "--bundle", str(probe.bundle.folder), "--data", str(probe.data)]
    assert main([*words, "--foreign", "--part", "test"]) == 2
    assert main([*words, "--ood", "nothing"]) == 2
    assert main([*words, "--ood", f"some={tmp_path}@wide"]) == 2
    errors = capsys.readouterr().err
    assert "--foreign" in errors and "NAME=DIR" in errors and "no scale" in errors


def test_only_a_bundle_of_simulated_images_can_have_its_own_rendered(
    probe: Probe, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", "--bundle", str(probe.bundle.folder), "--data", "simulated"]
    assert main(words) == 2
    assert "--part test or --ood" in capsys.readouterr().err
    assert main([*words, "--part", "test"]) == 2
    assert "does not say what to render: give --data DIR" in capsys.readouterr().err
    known = simulated_of(load_bundle("synthetic5-densenet121"))
    assert known == load_recipe("synthetic5").data.simulated


def test_the_classes_of_the_probe_are_all_there(written: Written) -> None:
    assert written.metrics["classes"] == list(MEANINGS)


def test_the_network_s_own_row_is_explained_only_where_it_stands(written: Written) -> None:
    whole = Evaluation.model_validate(written.metrics)
    others = tuple(one for one in whole.confounds if one.name != EXCHANGED)
    assert len(others) == len(whole.confounds) - 1
    page = make_page(whole.model_copy(update={"confounds": others, "maps": ()}))
    assert "Support vector machines" in page
    assert "backgrounds had told it" not in page and "map in white cells" not in page
