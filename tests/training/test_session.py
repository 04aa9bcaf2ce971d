"""What a person reads of an evaluation: the class without a pattern is never called by its own name."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from cloud_worker.models.card import Metric
from training.evaluation.document import Evaluation, Facts
from training.session import evaluation_tables
from wire_protocol.words import RESEARCH_USE_ONLY


def test_the_tables_of_an_evaluation_say_no_pattern_and_never_healthy() -> None:
    result = Evaluation(
        bundle="b@1",
        engine="e",
        training_data="synthetic",
        images=3,
        facts=Facts(
            bundle="b@1",
            architecture="resnet34",
            engine="e",
            training_data="synthetic",
            initial_weights="random",
            recipe="r",
            grouped_by="slide",
            evaluated="three images",
            is_synthetic=True,
            images=3,
            groups=3,
            command="hemowire evaluate",
            hemowire="0",
        ),
        metrics=(
            Metric(name="recall_healthy", value=1.0, images=2, split="test", method="Wilson"),
        ),
        classes=("AML", "healthy"),
        confusion=((1, 0, 0), (0, 2, 0)),
        results={"healthy": 2, "cannot_say: out_of_distribution": 1},
    )
    out = StringIO()
    console = Console(file=out, width=100)
    for table in evaluation_tables(result):
        console.print(table)
    assert "healthy" not in out.getvalue().lower()
    assert "recall NO PATTERN" in out.getvalue()
    assert "CANNOT SAY: out_of_distribution" in out.getvalue()
    assert result.note == RESEARCH_USE_ONLY
