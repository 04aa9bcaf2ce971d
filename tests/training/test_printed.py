"""The papers' printed figures, computed again from their counts: the misprints are known by name."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pydantic import ValidationError

from cloud_worker.models.registry import ARCHITECTURES
from hemowire.cli import main
from training.metrics import recalls, wilson
from training.printed import Matrix, Paper, Verdict, agrees, check_paper, read_papers

PAPERS = {paper.paper: paper for paper in read_papers()}
CHECKS = [check for paper in PAPERS.values() for check in check_paper(paper)]


def matrices(paper: str) -> dict[tuple[str, int], Matrix]:
    return {(m.system, len(m.classes)): m for m in PAPERS[paper].matrix}


def test_the_misprints_are_these_and_no_others() -> None:
    wrong = {(c.paper, c.system, c.printed, c.verdict) for c in CHECKS if c.verdict != "agrees"}
    assert wrong == {
        ("Karar et al. 2022", "ac_gan, 2 classes", "98.67", Verdict.MISPRINT),
        (
            "Karar et al. 2022",
            "ac_gan, 2 classes",
            "99.58 (by Islam et al. 2024)",
            Verdict.MISPRINT,
        ),
        ("Karar et al. 2022", "ac_gan, 3 classes", "95.58", Verdict.MISPRINT),
        ("Islam et al. 2024", "fusion", "99.89", Verdict.MISPRINT),
        ("Islam et al. 2024", "vgg16 (both)", "98.95", Verdict.IMPOSSIBLE),
    }


def test_every_other_printed_figure_follows_from_whole_images() -> None:
    said = {(c.system, c.printed): c.computed for c in CHECKS if c.verdict is Verdict.AGREES}
    assert said["resnet34, 5 classes", "99.556"] == "1122 of 1127, 99.556 %"
    assert said["densenet121, 5 classes", "99.911"] == "1126 of 1127, 99.911 %"
    assert said["ac_gan, 2 classes", "98.65"] == "73 of 74, 98.649 %"
    assert said["ac_gan, 3 classes", "95.51"] == "85 of 89, 95.506 %"
    assert said["mobilenet_v2", "98.58"] == "347 of 352, 98.580 %"
    assert len(said) == 13


@pytest.mark.parametrize(
    ("system", "right"),
    [
        ("vgg16 (original)", 314),
        ("vgg16 (segmented)", 310),
        ("fusion_original", 320),
        ("fusion_segmented", 318),
    ],
)
def test_figures_of_one_input_are_of_the_325_validation_images(system: str, right: int) -> None:
    (found,) = [c for c in CHECKS if c.system == system]
    assert f"{right} of 325" in found.computed
    assert f"{right} of 325" == found.computed.split(",")[0]


def test_only_the_325_validation_images_fit_every_figure_of_one_input() -> None:
    figures = ("96.62", "95.38", "98.46", "97.85")
    fitting = [
        total
        for total in (325, 326, 651, 652)
        if all(any(agrees(k, total, figure) for k in range(total + 1)) for figure in figures)
    ]
    assert fitting == [325]


def test_two_misclassified_images_never_give_the_fusion_s_figure() -> None:
    (found,) = [c for c in CHECKS if c.system == "fusion"]
    assert "323 of 325, 99.385 %" in found.computed
    assert "650 of 652, 99.693 %" in found.computed
    assert not any(agrees(k, n, "99.89") for n in (325, 326, 651, 652) for k in range(n + 1))


def test_test_parts_are_as_large_as_the_papers_say() -> None:
    for (_, classes), matrix in matrices("Karar et al. 2022").items():
        expected = {2: [36, 38], 3: [36, 15, 38]}[classes]
        assert matrix.table().sum(axis=1).tolist() == expected
    bibi = [m.table() for m in PAPERS["Bibi et al. 2020"].matrix]
    assert all(table.sum() == 1127 for table in bibi)
    assert np.array_equal(bibi[0].sum(axis=1), bibi[1].sum(axis=1))
    assert [int(table.sum() - table.trace()) for table in bibi] == [5, 1]
    assert bibi[1][2, 1] == 1  # a true CLL, called AML


def test_intervals_say_how_little_so_few_images_prove() -> None:
    three = matrices("Karar et al. 2022")["ac_gan", 3].table()
    found = wilson(int(three.trace()), int(three.sum()))
    assert (round(100 * found.low, 1), round(100 * found.high, 1)) == (89.0, 98.2)
    two = matrices("Karar et al. 2022")["ac_gan", 2].table()
    found = wilson(int(two.trace()), int(two.sum()))
    assert (round(100 * found.low, 1), round(100 * found.high, 1)) == (92.7, 99.8)
    assert [round(r.value, 3) for r in recalls(three)] == [1.0, 0.867, 0.947]


def test_each_system_of_a_matrix_is_an_architecture_used_by_that_paper() -> None:
    for paper in PAPERS.values():
        for matrix in paper.matrix:
            uses = ARCHITECTURES[matrix.system].uses
            assert (paper.paper, matrix.classes) in [(use.paper, use.classes) for use in uses]
        for share in paper.share:
            assert share.system.split(" ")[0] in ARCHITECTURES


def test_a_matrix_that_is_not_square_is_refused() -> None:
    with pytest.raises(ValidationError, match="not 2 by itself"):
        Matrix(system="x", classes=("a", "b"), rows="true", basis="", counts=((1, 2), (3,)))
    with pytest.raises(ValidationError, match="pattern"):
        Paper.model_validate(
            {"paper": "p", "title": "t", "caution": "c", "share": [{"system": "s", "value": "98", "of": [1]}]}
        )  # fmt: skip


def test_the_command_prints_them_with_what_they_cannot_show(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["models", "--papers"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("misprint") == 4
    assert shown.count("impossible") == 1
    assert main(["models", "--papers", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [len(paper["checks"]) for paper in listed] == [2, 9, 6, 1]
