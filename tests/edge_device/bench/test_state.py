"""What became of a capture, in the one word that every screen shows."""

from __future__ import annotations

import pytest

from edge_device.bench.state import BenchState, CameraShown, CaptureShown, Judged
from tests.edge_device.bench.bench_for_tests import IMAGE_ID
from wire_protocol.json_messages import Reason
from wire_protocol.machine_io import OutboxState
from wire_protocol.messages import Outcome

S = OutboxState


@pytest.mark.parametrize(
    ("facts", "judged", "word"),
    [
        ({"state": S.WAITING}, Judged.GOOD, "Taken"),
        ({"state": S.RECORDED, "outcome": Outcome.DIAGNOSED}, Judged.GOOD, "Taken"),
        ({"state": S.STORED, "warnings": ("Debris",)}, Judged.WARNED, "Taken, with a warning"),
        ({"state": S.REJECTED, "reason": Reason.FOCUS}, Judged.REFUSED, "Not sent"),
        (
            {"state": S.RECORDED, "reason": Reason.FOCUS, "outcome": Outcome.REJECTED},
            Judged.REFUSED,
            "Not sent",
        ),
        (
            {"state": S.RECORDED, "outcome": Outcome.REJECTED},
            Judged.REFUSED,
            "Refused after sending",
        ),
        ({"state": S.WAITING, "gate_override": True}, Judged.WARNED, "Sent although refused"),
        (
            {"state": S.RECORDED, "gate_override": True, "outcome": Outcome.REJECTED},
            Judged.REFUSED,
            "Refused after sending",
        ),
        ({"state": S.RECORDED, "outcome": Outcome.DROPPED}, Judged.REFUSED, "Dropped"),
        (
            {"state": S.REJECTED, "reason": Reason.SLIDE_LABEL, "case_id": "H26-1"},
            Judged.GOOD,
            "Slide label",
        ),
        ({"state": S.REJECTED, "reason": Reason.SLIDE_LABEL}, Judged.REFUSED, "Slide label"),
        ({"state": S.QUARANTINED}, Judged.REFUSED, "Damaged on this device"),
    ],
    ids=str,
)
def test_a_capture_has_one_word_on_every_screen(
    facts: dict[str, object], judged: Judged, word: str
) -> None:
    capture = CaptureShown.model_validate(
        {"image_id": IMAGE_ID, "seq": 1, "taken_s_ago": 0} | facts
    )
    assert (capture.judged, capture.word) == (judged, word)
    assert capture.model_dump(mode="json")["judged"] == judged.value


def test_the_state_survives_the_wire() -> None:
    capture = CaptureShown(image_id=IMAGE_ID, seq=1, taken_s_ago=0, state=S.WAITING)
    state = BenchState(
        device="scope-1", site="lab", camera=CameraShown(kind="folder"), captures=(capture,)
    )
    assert BenchState.model_validate_json(state.model_dump_json()) == state
