"""Classification of files: whole fields, in any company, with every refusal beside the answers."""

import argparse
import io
import json
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cloud_worker.classify import Classifier, Picture
from cloud_worker.engines.engine import Engine, Outputs, join_outputs, open_engine
from cloud_worker.finding import Finding
from cloud_worker.models.bundle import Bundle
from cloud_worker.models.card import FORBIDDEN_WORDS
from cloud_worker.preprocess import Prepared
from hemowire.commands import classify as command
from hemowire.commands import models as models_command
from wire_protocol.json_messages import Reason, Urgency

pytestmark = pytest.mark.timeout(240)  # the first test exports the bundle it needs


def pixels(seed: int, height: int = 64, width: int = 64) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(60, 250, (height, width, 3), np.uint8)


def cells(height: int = 80, width: int = 80) -> NDArray[np.uint8]:
    """A pale field at 0.25 um per pixel with one nucleus of 8 um."""
    field = pixels(1, height, width) // 16 + np.uint8(215)
    cv2.circle(field, (40, 30), 16, (90, 40, 140), -1)
    return field


def png(rgb: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def classifier(resnet34_bundle: Bundle) -> Classifier:
    """Of noise without a cell in it, so none is counted."""
    engine = open_engine(resnet34_bundle, "openvino")
    return Classifier(resnet34_bundle, engine, count_white_cells=False)


@pytest.fixture(scope="module")
def open_minded(densenet121_bundle: Bundle) -> Classifier:
    """A bundle without a distance: every field of the right scale gets probabilities."""
    engine = open_engine(densenet121_bundle, "openvino")
    return Classifier(densenet121_bundle, engine, count_white_cells=False)


def equal(a: Finding, b: Finding) -> bool:
    maps = (
        a.class_map is b.class_map
        if a.class_map is None or b.class_map is None
        else np.array_equal(a.class_map, b.class_map)
    )
    return a.decision == b.decision and a.ood_distance == b.ood_distance and maps


def test_each_picture_gets_its_finding_in_order_and_a_bad_one_fails_alone(
    classifier: Classifier,
) -> None:
    good, other = png(pixels(1)), png(pixels(2, 100, 130))
    pictures = [
        Picture(good, 0.25),
        Picture(b"no image", 0.25),
        Picture(good, None),
        Picture(good[:-40], 0.25),
        Picture(other, 0.25),
    ]
    found = list(classifier.classify(pictures))
    reasons = [f.decision.reason for f in found]
    assert reasons[1:4] == [Reason.DECODE, Reason.MAGNIFICATION, Reason.DECODE]
    assert found[1].decision.urgency is Urgency.RETAKE
    assert found[2].decision.urgency is Urgency.CANNOT_SAY
    assert found[0].tiles == 1 and found[4].tiles > 1
    assert equal(found[0], next(classifier.classify([Picture(good, 0.25)])))
    assert equal(found[4], classifier.classify_pixels(pixels(2, 100, 130), 0.25))


def test_tiles_of_several_images_in_shared_batches_give_equal_findings(
    open_minded: Classifier,
) -> None:
    images = [pixels(seed, 64 + 17 * seed, 150) for seed in range(4)]
    alone = [open_minded.classify_pixels(rgb, 0.25) for rgb in images]
    prepared = [open_minded.prepare(rgb, 0.25) for rgb in images]
    tiles = np.concatenate([p.tiles() for p in prepared if isinstance(p, Prepared)])
    order = np.random.default_rng(0).permutation(len(tiles))
    parts = [open_minded.engine.infer(tiles[order[i : i + 7]]) for i in range(0, len(tiles), 7)]
    mixed, back = join_outputs(parts), np.argsort(order)
    start = 0
    for expected, one in zip(alone, prepared, strict=True):
        assert isinstance(one, Prepared)
        mine = back[start : start + one.count]
        outputs = Outputs(mixed.logits[mine], mixed.features[mine], mixed.maps[mine])
        assert equal(open_minded.finish(one, outputs), expected)
        start += one.count


def test_a_cell_outside_the_centre_changes_the_answer(open_minded: Classifier) -> None:
    field = np.full((64, 256, 3), 220, np.uint8)
    changed = field.copy()
    changed[20:44, 4:28] = (90, 40, 140)
    plain, spotted = (open_minded.classify_pixels(f, 0.25) for f in (field, changed))
    assert plain.decision.probabilities != spotted.decision.probabilities


def test_the_map_covers_the_field_for_every_class(open_minded: Classifier) -> None:
    found = open_minded.classify_pixels(pixels(3, 64, 160), 0.25)
    assert found.class_map is not None and found.class_map.shape == (5, 2, 5)


def test_foreign_images_are_refused_by_their_distance(classifier: Classifier) -> None:
    flat = np.zeros((64, 64, 3), np.uint8)
    found = classifier.classify_pixels(flat, 0.25)
    assert found.decision.reason is Reason.OUT_OF_DISTRIBUTION
    assert found.ood_percentile == 100 and found.decision.probabilities is None


def test_outputs_of_another_field_are_a_bug(classifier: Classifier) -> None:
    prepared = classifier.prepare(pixels(1, 64, 200), 0.25)
    assert isinstance(prepared, Prepared)
    with pytest.raises(ValueError, match="1 outputs for"):
        classifier.finish(prepared, classifier.engine.infer(prepared.tiles(0, 1)))


def run_command(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args(arguments))


def test_the_command_prints_a_list_of_answers(
    open_minded: Classifier, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "a.png", tmp_path / "b.jpg"
    good.write_bytes(png(cells()))
    bad.write_text("no image")
    bundle = str(open_minded.bundle.folder)
    options = ["--bundle", bundle, "--engine", "openvino", "--um-per-px", "0.25", "--json"]
    assert run_command([str(good), str(bad), *options]) == 0
    first, second = json.loads(capsys.readouterr().out)
    expected = open_minded.classify_pixels(cells(), 0.25).decision
    assert first["source"] == str(good) and first["result"] == expected.result
    assert tuple(first["probabilities"].values()) == expected.probabilities
    [[x, y, width, height]] = first["white_cell_boxes"]
    assert first["white_cells"] == 1 and (first["width_px"], first["height_px"]) == (80, 80)
    assert 20 <= x <= 24 and 10 <= y <= 14 and 32 <= width <= 40 and 32 <= height <= 40
    assert ", 1 white cell" in first["text"] or "in 1 white cell" in first["text"]
    assert second["white_cells"] is None and second["white_cell_boxes"] is None
    assert first["bundle"] == open_minded.bundle.name and first["engine"] == open_minded.engine.name
    assert second["reason"] == "decode" and second["urgency"] == "retake"
    assert set(second["probabilities"].values()) == {None}
    assert all("Research use only." in a["text"] for a in (first, second))


def test_the_command_prints_a_table_for_people(
    open_minded: Classifier, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(png(pixels(1)))
    assert run_command([str(file), "--bundle", str(open_minded.bundle.folder)]) == 0
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "Research use only, not for diagnosis." in said and "cannot say" in said


def test_the_table_calls_no_field_healthy_and_nothing_certain(
    open_minded: Classifier, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(png(cells()))
    options = ["--bundle", str(open_minded.bundle.folder), "--um-per-px", "0.25"]
    assert run_command([str(file), *options]) == 0
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "white" in said and "first at" in said
    assert "PATTERN" in said and "AML" in said
    assert not [word for word in FORBIDDEN_WORDS if word in said.lower()]


def test_a_field_without_a_white_cell_is_no_case_for_the_network(
    resnet34_bundle: Bundle,
) -> None:
    class NoEngine:
        name, batch_size, streams = "none", 1, 1

        def infer(self, batch: NDArray[np.float32]) -> Outputs:
            raise AssertionError("the network was asked")

    classifier = Classifier(resnet34_bundle, cast(Engine, NoEngine()))
    found = classifier.classify_pixels(pixels(1, 80, 80) // 16 + np.uint8(215), 0.25)
    assert found.decision.reason is Reason.TOO_FEW_WHITE_CELLS
    assert found.decision.urgency is Urgency.CANNOT_SAY and found.decision.probabilities is None
    assert found.decision.words == "0 white cells, at least 1 needed. Capture more fields."
    assert found.white_cell_boxes == ()
    unknown = classifier.classify_pixels(cells(), None)
    assert unknown.decision.reason is Reason.MAGNIFICATION
    assert unknown.white_cell_boxes is None  # not counted, so not said


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["nowhere.png"], "no such file: nowhere.png"),
        ([__file__, "--bundle", "nobody-knows"], "no bundle named"),
        ([__file__, "--arch", "vgg1"], "no architecture 'vgg1'"),
    ],
)
def test_wrong_use_is_said_and_exits_2(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(arguments) == 2
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize("scale", ["0", "-1", "nan", "much"])
def test_a_scale_that_is_none_is_refused(scale: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run_command([__file__, f"--um-per-px={scale}"])
    assert ended.value.code == 2
    assert "a number above 0" in capsys.readouterr().err


def test_models_lists_architectures_bundles_and_refusals(
    resnet34_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "bundle.json").write_text("{}")
    monkeypatch.setenv("HEMOWIRE_BUNDLES", f"{resnet34_bundle.folder.parent}:{tmp_path}")
    assert models_command.run(argparse.Namespace(json=True, papers=False)) == 1
    listed = json.loads(capsys.readouterr().out)
    assert {row["name"] for row in listed["architectures"]} >= {"densenet121", "resnet34"}
    assert resnet34_bundle.name in [b["name"] for b in listed["bundles"]]
    assert "broken" in listed["refused"][0]
    assert models_command.run(argparse.Namespace(json=False, papers=False)) == 1
    shown = capsys.readouterr().out
    assert "ResNet-34" in shown
    assert "recall NO PATTERN" in " ".join(shown.replace("│", " ").split())
    assert "healthy" not in shown
