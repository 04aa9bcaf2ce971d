"""The words of every decision: what is promised is there, what is forbidden never."""

import pytest

from cloud_worker.diagnosis import Decision, Evidence, decide
from cloud_worker.diagnosis_message import Origin, diagnosis_message
from cloud_worker.models.bundle import Bundle
from cloud_worker.models.card import FORBIDDEN_WORDS
from cloud_worker.refusal import Refusal
from cloud_worker.wording import finding_words, message_text
from wire_protocol.json_messages import URGENCY_RANK, Diagnosis, Reason, Urgency
from wire_protocol.manifest import Manifest, OverrideReason
from wire_protocol.messages import Outcome

pytestmark = pytest.mark.timeout(240)  # the first test exports the bundle it needs

SURE = {
    "acute": (0.999, 0.001, 0.0, 0.0, 0.0),
    "uncertain": (0.5, 0.5, 0.0, 0.0, 0.0),
    "chronic": (0.0, 0.0, 1.0, 0.0, 0.0),
    "none": (0.0, 0.0, 0.0, 0.0, 1.0),
    "low": (0.1, 0.1, 0.2, 0.2, 0.4),
}


def decision_on(bundle: Bundle, evidence: Evidence) -> Decision:
    return decide(evidence, bundle.card.classes, bundle.card.thresholds)


def all_evidence() -> list[Evidence]:
    refused = [Evidence(refusal=Refusal(r, "0.1, at least 0.3 needed. Again.")) for r in Reason]
    odd = [
        Evidence(SURE["acute"], None, 3.0, 2.0),
        Evidence(SURE["none"], None, 1.0, 2.0, 40, 3, 9),
    ]
    return [*(Evidence(p) for p in SURE.values()), *refused, *odd]


def manifest(
    case_id: str = "C7F3K2",
    *,
    gate_override: bool = False,
    override_reason: OverrideReason | None = None,
) -> Manifest:
    return Manifest.model_validate(
        {
            "image_id": "9f" * 16,
            "outbox_id": "0a" * 16,
            "seq": 4,
            "sha256": "ab" * 32,
            "size_bytes": 1000,
            "content_type": "image/jpeg",
            "width_px": 640,
            "height_px": 480,
            "um_per_px": 0.25,
            "case_id": case_id,
            "captured_at": "2026-11-21T09:14:03.120Z",
            "captured_ns": 1,
            "clock_synced": True,
            "boot_id": "1b" * 16,
            "priority": "routine",
            "gate_override": gate_override,
            "override_reason": override_reason or "",
        }
    )


@pytest.mark.parametrize("case_id", ["C7F3K2", "unfiled"])
@pytest.mark.parametrize("white_cells", [None, 1, 7])
def test_every_text_says_research_use_draft_and_synthetic_and_no_forbidden_word(
    resnet34_bundle: Bundle, case_id: str, white_cells: int | None
) -> None:
    for evidence in all_evidence():
        text = message_text(
            decision_on(resnet34_bundle, evidence),
            resnet34_bundle.card.classes,
            case_id=case_id,
            white_cells=white_cells,
            synthetic=True,
        )
        assert not [w for w in FORBIDDEN_WORDS if w in text.lower()]
        assert text.endswith("AI draft, not reviewed. Synthetic-trained. Research use only.")
        assert len(text) <= 400
        assert (case_id in text) == (case_id != "unfiled")


def test_the_words_of_each_result(resnet34_bundle: Bundle) -> None:
    classes = resnet34_bundle.card.classes
    words = {
        name: finding_words(decision_on(resnet34_bundle, Evidence(p)), classes)
        for name, p in SURE.items()
    }
    assert words["acute"] == (
        "URGENT: acute leukemia suspected (>99 %), most like acute lymphoblastic leukemia."
    )
    assert "acute leukemia suspected (>99 %), lineage uncertain." in words["uncertain"]
    assert words["chronic"] == (
        "Chronic leukemia suspected (>99 %), most like chronic lymphocytic leukemia."
    )
    assert words["none"] == "No leukemia pattern seen in this field; does not exclude leukemia."
    assert words["low"].startswith("Cannot say: largest probability 40 %, at least 50 % needed. ")
    counted = finding_words(
        decision_on(resnet34_bundle, Evidence(SURE["none"])), classes, white_cells=7
    )
    assert "seen in 7 white cells; does not exclude leukemia" in counted


def test_a_long_finding_never_pushes_the_warnings_out(resnet34_bundle: Bundle) -> None:
    long = Evidence(refusal=Refusal(Reason.DECODE, "x" * 1000))
    text = message_text(
        decision_on(resnet34_bundle, long),
        resnet34_bundle.card.classes,
        case_id="C7F3K2",
        white_cells=None,
        synthetic=True,
    )
    assert len(text) == 400 and text.endswith("Research use only.")


def message(
    bundle: Bundle,
    evidence: Evidence,
    *,
    gate_override: bool = False,
    override_reason: OverrideReason | None = None,
) -> Diagnosis:
    return diagnosis_message(
        decision_on(bundle, evidence),
        manifest(gate_override=gate_override, override_reason=override_reason),
        bundle,
        engine_name="openvino-bf16",
        origin=Origin("lab1", "scope1", "w1", "00" * 8),
        ood_percentile=41.26,
        latency_ms=212.0,
    )


def test_the_message_is_flat_json_with_a_probability_per_class(resnet34_bundle: Bundle) -> None:
    made = message(resnet34_bundle, Evidence(SURE["acute"]))
    assert Diagnosis.from_bytes(made.to_bytes()) == made
    expected = {"all": 0.999, "aml": 0.001, "cll": 0.0, "cml": 0.0, "healthy": 0.0}
    assert made.probabilities() == expected
    assert made.p_acute == 1.0 and made.ood_percentile == 41.3 and made.white_cells is None
    assert made.model == f"{resnet34_bundle.name}/openvino-bf16"
    assert made.training_data == "synthetic" and made.outcome is Outcome.DIAGNOSED
    assert made.image_sha256 == "ab" * 32 and made.urgency_rank == 1 and made.result == "all"


def test_a_technical_failure_is_a_rejected_outcome_with_null_probabilities(
    resnet34_bundle: Bundle,
) -> None:
    made = message(resnet34_bundle, Evidence(refusal=Refusal(Reason.DECODE, "cut short. Again.")))
    assert made.outcome is Outcome.REJECTED and made.urgency is Urgency.RETAKE
    assert made.result == "cannot_say" and made.reason is Reason.DECODE
    assert set(made.probabilities().values()) == {None} and made.p_acute is None


def test_ranks_put_suspected_acute_first_and_retake_last(resnet34_bundle: Bundle) -> None:
    assert [u.value for u in sorted(URGENCY_RANK, key=lambda u: URGENCY_RANK[u])] == [
        "suspected_acute",
        "cannot_say",
        "suspected_chronic",
        "no_leukemia_pattern",
        "retake",
    ]
    for evidence in all_evidence():
        made = message(resnet34_bundle, evidence)
        assert made.urgency_rank == URGENCY_RANK[made.urgency]
        if made.urgency in (Urgency.CANNOT_SAY, Urgency.RETAKE):
            assert made.text.startswith("Cannot say: ")


def test_a_field_that_the_gate_would_have_rejected_says_so_in_every_result(
    resnet34_bundle: Bundle,
) -> None:
    long = Evidence(refusal=Refusal(Reason.DECODE, "x" * 1000))
    for evidence in [*all_evidence(), long]:
        sent_anyway = message(resnet34_bundle, evidence, gate_override=True)
        assert sent_anyway.gate_override is True
        assert "Sent although the quality gate said no." in sent_anyway.text
        assert len(sent_anyway.text) <= 400 and sent_anyway.text.endswith("Research use only.")
        assert b'"gate_override":true' in sent_anyway.to_bytes()
        urgent = message(
            resnet34_bundle, evidence, gate_override=True, override_reason=OverrideReason.URGENT
        )
        assert "gate said no; operator's reason: urgent. AI draft" in urgent.text
        assert len(urgent.text) <= 400 and urgent.text.endswith("Research use only.")
        assert urgent.override_reason is OverrideReason.URGENT
        passed = message(resnet34_bundle, evidence)
        assert passed.gate_override is False and "gate" not in passed.text
