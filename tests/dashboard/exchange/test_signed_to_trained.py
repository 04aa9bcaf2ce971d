"""From signatures to a bundle: what readers signed is exported, trained on and judged, by the commands alone."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import pytest

from cloud_worker.models.bundle import load_bundle
from dashboard.reports import report_of_diagnosis
from dashboard.review.machine import Opinion
from dashboard.store import Filed, RecordsStore
from edge_device.simulator import DiagnosisClass
from edge_device.simulator.dataset import FieldSettings, write_data_set
from hemowire.cli import main
from tests.dashboard.reports_for_tests import AT, diagnosis
from tests.dashboard.review.desk_for_tests import ANNA, CLASSES, Lab
from training.recipe import RECIPES
from wire_protocol.archive_layout import blob_key
from wire_protocol.case_messages import Finding

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SMALL = FieldSettings(width_px=160, height_px=120, um_per_px=0.45, white_cells=(3, 5))
STAGE = """
[[stages]]
name = "fields"
learns = "classes"
height_px = 96
width_px = 128
epochs = 1
batch = 5
learning_rate = 1e-3

[augmentation]
channel_gain = 0.05

[calibration]
ood_dims = 4
"""
FINDINGS = {
    "ALL": Finding.ALL,
    "AML": Finding.AML,
    "CLL": Finding.CLL,
    "CML": Finding.CML,
    "healthy": Finding.NO_LEUKEMIA_PATTERN,
}


def recipe(folder: Path) -> Path:
    """The shipped recipe, small, and of one stage: signed pictures have no masks."""
    text = (RECIPES / "synthetic5.toml").read_text(encoding="utf-8").partition("# First single")[0]
    for shipped, small in (
        (
            "height_px = 320\nwidth_px = 432\num_per_px = 0.3",
            "height_px = 96\nwidth_px = 128\num_per_px = 0.56",
        ),
        ("calibration = 0.15\ntest = 0.1", "calibration = 0.3\ntest = 0.3"),
        ('architecture = "densenet121"', 'architecture = "resnet34"'),
    ):
        assert shipped in text
        text = text.replace(shipped, small)
    path = folder / "signed.toml"
    path.write_text(text + STAGE, encoding="utf-8")
    return path


def sign_simulated_cases(lab: Lab) -> dict[str, str]:
    """Records 30 simulated slides as cases and signs each; sha256 to label."""
    written = lab.folder / "slides"
    write_data_set(written, list(DiagnosisClass), slides=6, fields=1, seed=5, settings=SMALL)
    store, labels, batch = RecordsStore(lab.url, AT), {}, []
    with (written / "manifest.csv").open(newline="") as file:
        for number, row in enumerate(csv.DictReader(file)):
            data = (written / row["path"]).read_bytes()
            sha256 = hashlib.sha256(data).hexdigest()
            labels[sha256] = row["label"]
            path = lab.folder / "archive" / blob_key(sha256)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            told = CLASSES | {"image_sha256": sha256, "case_id": f"S{number:03}", "um_per_px": 0.45}
            message = diagnosis(number, **told)
            batch.append(Filed(report_of_diagnosis(message, "lab", "scope-1"), True))
    store.commit(batch, AT)
    store.close()
    desk = lab.desk()
    for number, label in enumerate(labels.values()):
        version = desk.case(f"lab.S{number:03}", ANNA).summary.version
        opinion = Opinion(FINDINGS[label])
        desk.sign(f"lab.S{number:03}", opinion, by=ANNA, expected_version=version)
    lab.wait(11)
    desk.settle()
    desk.close()
    return labels


def test_what_was_signed_is_trained_on_and_the_bundle_is_judged_on_cases_it_never_saw(
    lab: Lab, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = sign_simulated_cases(lab)
    assert len(labels) == 30
    signed, bundle, judged = (lab.folder / name for name in ("signed", "bundle", "judged"))
    assert main(["export", "--reviews", "--out", str(signed), "--config", config]) == 0
    said = capsys.readouterr().out
    assert f"--data {signed / 'index.csv'}" in said
    data = str(signed / "index.csv")
    train = ["train", "--recipe", str(recipe(lab.folder)), "--data", data, "--out", str(bundle)]
    assert main(train) == 0, capsys.readouterr().err
    card = load_bundle(bundle).card
    assert sum(part.images for part in card.training_data.splits.values()) == 30
    assert {"balanced_accuracy"} <= {figure.name for figure in card.metrics}
    capsys.readouterr()
    evaluate = ["evaluate", "--bundle", str(bundle), "--data", data, "--out", str(judged)]
    assert main(evaluate) == 2  # it has learned from most of them
    assert "are the bundle's training images" in capsys.readouterr().err
    assert main([*evaluate, "--part", "test"]) == 0, capsys.readouterr().err
    assert list(judged.glob("*.html"))
    with (signed / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["sha256"]: row["label"] for row in rows} == labels
