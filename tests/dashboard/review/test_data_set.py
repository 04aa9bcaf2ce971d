"""Signed reviews as a data set that training reads, and how people and the AI agree."""

from __future__ import annotations

import csv
import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from dashboard.accounts.roles import Actor, NotAllowedError, Role
from dashboard.audit.book import read_book
from dashboard.engine import open_engine
from dashboard.reports import report_of_diagnosis
from dashboard.review.data_set import LABELS, ExportError
from dashboard.review.desk import Desk
from dashboard.review.machine import Opinion
from dashboard.store import Filed, RecordsStore
from hemowire.cli import main
from tests.dashboard.reports_for_tests import AT, diagnosis
from tests.dashboard.review.desk_for_tests import ANNA, CLASSES, ENGINEER, KEY, OPERATOR, Lab
from training.data import read_data_set
from training.recipe import load_recipe
from training.split import split_by_group
from wire_protocol.archive_layout import blob_key
from wire_protocol.case_messages import Finding

BLIND = Actor("bert", Role.HEMATOLOGIST, reads_before_ai=True)
FIVE = (Finding.ALL, Finding.AML, Finding.CLL, Finding.CML, Finding.NO_LEUKEMIA_PATTERN)


def file_pictures(lab: Lab, images: list[tuple[int, str]], **changes: Any) -> list[str]:
    """Records real JPEG files as fields of these cases; gives their digests."""
    store, batch, digests = RecordsStore(lab.url, AT), [], []
    for number, case_id in images:
        pixels = np.random.default_rng(number).integers(0, 255, (64, 64, 3), np.uint8)
        data = cv2.imencode(".jpg", pixels)[1].tobytes()
        digests.append(hashlib.sha256(data).hexdigest())
        path = lab.folder / "archive" / blob_key(digests[-1])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        told = CLASSES | {"case_id": case_id, "image_sha256": digests[-1], "um_per_px": 0.25}
        message = diagnosis(number, **(told | changes))
        batch.append(Filed(report_of_diagnosis(message, "lab", "scope-1"), True))
    store.commit(batch, AT)
    store.close()
    return digests


def sign(desk: Desk, lab: Lab, case_id: str, finding: Finding | None, by: Actor = ANNA) -> None:
    key = f"lab.{case_id}"
    found = desk.case(key, by)
    deed = desk.amend if found.review.signatures else desk.sign
    opinion = Opinion(finding, comment="Mrs Smith")
    deed(key, opinion, by=by, expected_version=found.summary.version)
    lab.wait(11)
    desk.settle()


@pytest.fixture
def config(lab: Lab) -> str:
    path = lab.folder / "dashboard.toml"
    (lab.folder / "audit.key").write_text(KEY.hex())
    path.write_text(
        f'database_url = "{lab.url}"\narchive_url = "{lab.folder}/archive"\n'
        f'[accounts]\naudit_key_file = "{lab.folder}/audit.key"\n'
    )
    return str(path)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_what_people_signed_is_a_data_set_that_training_reads_and_splits(
    lab: Lab, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [(10 * c + f, f"S{c:03}") for c in range(15) for f in range(2)]
    digests = file_pictures(lab, images)
    desk = lab.desk()
    for case in range(15):
        sign(desk, lab, f"S{case:03}", FIVE[case % 5])
    desk.close()
    out = lab.folder / "signed"
    assert main(["export", "--reviews", "--out", str(out), "--config", config]) == 0
    assert "30 pictures of 15 signed cases" in capsys.readouterr().out
    labels = [kind.name for kind in load_recipe("synthetic5").classes]
    assert set(LABELS.values()) == set(labels)
    samples = read_data_set(out / "index.csv", labels)
    assert sorted(s.sha256 for s in samples) == sorted(digests)
    assert {s.um_per_px for s in samples} == {0.25}
    wanted = dict(zip(FIVE, ("ALL", "AML", "CLL", "CML", "healthy"), strict=True))
    by_group = {s.group: s.label for s in samples}
    assert by_group == {f"lab.S{c:03}": wanted[FIVE[c % 5]] for c in range(15)}
    parts = split_by_group(samples, calibration=0.3, test=0.3, seed=1)
    assert sum(len(part) for part in parts.named().values()) == 30
    assert b"Smith" not in b"".join(p.read_bytes() for p in out.rglob("*") if p.is_file())
    told = json.loads((out / "reviews.json").read_text())
    assert len(told["cases"]) == 15 and told["cases"][0]["signatures"][0]["by"] == "anna"
    engine = open_engine(lab.url, read_only=True)
    with engine.begin() as connection:
        assert [e.entry.action for e in read_book(connection)][-1] == "export"
    engine.dispose()


def test_only_what_stands_is_exported_and_what_is_left_out_is_counted(
    lab: Lab, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file_pictures(lab, [(n, f"S{n:03}") for n in range(5)])
    desk = lab.desk()
    sign(desk, lab, "S000", Finding.CLL)
    sign(desk, lab, "S000", Finding.CML)  # amended: this one counts
    sign(desk, lab, "S001", Finding.ALL)
    desk.enter_in_error("lab.S001", "wrong slide", by=ANNA, expected_version=1)
    lab.wait(11)
    desk.settle()
    sign(desk, lab, "S002", Finding.NOT_ASSESSABLE)
    desk.case("lab.S003", ANNA)
    desk.sign("lab.S003", Opinion(), by=ANNA, expected_version=0)  # its undo has not passed
    sign(desk, lab, "S004", Finding.APL)
    file_pictures(lab, [(40, "S004")])  # nobody has signed this field
    desk.close()
    out = lab.folder / "signed"
    # S003's time has passed while S004 was signed: it stands, too.
    assert main(["export", "--reviews", "--out", str(out), "--config", config]) == 0
    found = {(row["case"], row["label"]) for row in rows(out / "index.csv")}
    assert found == {("lab.S000", "CML"), ("lab.S003", "AML"), ("lab.S004", "AML")}
    assert len(rows(out / "index.csv")) == 3
    assert [r["finding"] for r in rows(out / "others.csv")] == ["not_assessable"]
    said = capsys.readouterr().out
    assert "left out, withdrawn: 1" in said and "left out, not_assessable is no class: 1" in said


def test_damaged_and_missing_pictures_are_left_out_and_counted(
    lab: Lab, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    digests = file_pictures(lab, [(n, "S000") for n in range(3)])
    desk = lab.desk()
    sign(desk, lab, "S000", None)
    desk.close()
    (lab.folder / "archive" / blob_key(digests[0])).write_bytes(b"other bytes")
    (lab.folder / "archive" / blob_key(digests[1])).unlink()
    out = lab.folder / "signed"
    assert main(["export", "--reviews", "--out", str(out), "--config", config]) == 0
    assert [row["sha256"] for row in rows(out / "index.csv")] == [digests[2]]
    said = capsys.readouterr().out
    assert "damaged in the archive: 1" in said and "not in the archive: 1" in said


def test_a_folder_that_holds_something_is_not_written_into(
    lab: Lab, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file_pictures(lab, [(1, "S000")])
    (lab.folder / "archive").mkdir(exist_ok=True)
    out = str(lab.folder / "archive")
    assert main(["export", "--reviews", "--out", out, "--config", config]) == 2
    assert "not empty" in capsys.readouterr().err
    assert main(["export", "--reviews", "--config", config]) == 2
    wrong = ["--label", "flu=Flu", "--out", str(lab.folder / "x")]
    assert main(["export", "--reviews", *wrong, "--config", config]) == 2
    with pytest.raises(SystemExit):
        main(["export", "--config", config])
    assert issubclass(ExportError, Exception)


def test_agreement_is_told_apart_by_whether_the_ai_s_answer_was_seen(
    lab: Lab, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file_pictures(lab, [(n, f"S{n:03}") for n in range(6)])
    file_pictures(lab, [(9, "S009")], white_cells=1)  # the AI cannot say
    desk = lab.desk()
    sign(desk, lab, "S000", None)  # seen, same
    sign(desk, lab, "S001", Finding.ALL)  # seen, other finding, same alarm
    sign(desk, lab, "S002", Finding.APL)  # seen: no bundle has APL, AML is what it can say
    sign(desk, lab, "S003", Finding.CLL, BLIND)  # unseen, other
    sign(desk, lab, "S004", Finding.AML, BLIND)  # unseen, same
    sign(desk, lab, "S003", Finding.AML, BLIND)  # and seen then: counts in both
    sign(desk, lab, "S009", Finding.AML)
    figures = desk.figures(ANNA)
    unseen, seen = figures.unseen, figures.seen
    assert (unseen.same.agreed, unseen.same.total) == (1, 2)
    assert (seen.same.agreed, seen.same.total, seen.abstained) == (3, 4, 1)
    assert (seen.same_urgency.agreed, seen.same_urgency.total) == (4, 4)
    assert seen.counts[("aml", "all")] == 1 and seen.counts[("cannot_say", "aml")] == 1
    assert unseen.by_finding["cll"].agreed == 0
    assert list(seen.by_week) == ["2023-11-13"]
    low, high = unseen.same.interval or (0, 0)
    assert (round(low, 3), round(high, 3)) == (0.095, 0.905)  # Wilson's, 1 of 2
    for actor, may in ((ENGINEER, True), (OPERATOR, False)):
        if may:
            assert desk.figures(actor).seen.same.total == 4
        else:
            with pytest.raises(NotAllowedError):
                desk.figures(actor)
    desk.close()
    assert main(["export", "--agreement", "--config", config]) == 0
    said = capsys.readouterr().out
    assert "had not seen" in said and "1 of 2" in said
    assert main(["export", "--agreement", "--json", "--config", config]) == 0
    assert json.loads(capsys.readouterr().out)[1]["same"]["agreed"] == 3


def test_drift_is_told_by_day(lab: Lab) -> None:
    for number, score in enumerate((10.0, 20.0, 90.0)):
        file_pictures(lab, [(number, f"S{number:03}")], ood_percentile=score)
    desk = lab.desk()
    (day,) = desk.figures(ANNA).drift
    assert (day.day, day.fields, day.median, day.p90) == (AT[:10], 3, 20.0, 90.0)
    desk.close()


def test_how_long_cases_wait_is_told_by_urgency(lab: Lab) -> None:
    lab.now_ms = round(datetime.fromisoformat(AT).timestamp() * 1000)
    file_pictures(lab, [(n, f"S{n:03}") for n in range(3)])
    desk = lab.desk()
    lab.wait(60)
    desk.case("lab.S000", ANNA)
    lab.wait(30)
    sign(desk, lab, "S001", None)
    (acute,) = desk.figures(ANNA).turnaround
    assert (acute.urgency, acute.unread) == ("suspected_acute", 1)
    assert (acute.opened.cases, acute.opened.median_s, acute.opened.p90_s) == (2, 90.0, 90.0)
    assert (acute.signed.cases, acute.signed.median_s) == (1, 100.0)  # the undo has its 10 s
    desk.close()


def test_the_weight_is_fitted_on_signed_cases(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    config = lab.folder / "records.toml"
    config.write_text(
        f'database_url = "{lab.url}"\narchive_url = "{lab.folder}/archive"\n'
        '[broker]\nusername = "records"\n'
    )
    file_pictures(lab, [(1, "S000")])
    assert main(["records", "fit-weight", "--config", str(config)]) == 1
    assert "no signed case" in capsys.readouterr().err
    desk = lab.desk()
    file_pictures(lab, [(100 + 2 * c + f, f"T{c:03}") for c in range(24) for f in range(2)])
    for case in range(24):  # the AI says AML of all of them, a person of three in four
        sign(desk, lab, f"T{case:03}", Finding.CLL if case % 4 == 0 else Finding.AML)
    desk.close()
    assert main(["records", "fit-weight", "--config", str(config)]) == 0
    said = capsys.readouterr().out
    assert "24 signed cases" in said and "field_weight = 0." in said
