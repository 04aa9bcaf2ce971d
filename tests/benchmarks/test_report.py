"""A report says what its document says, no more; it needs nothing from outside, and a missing part is left out.

Longer than most: every part of one page is left out once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import pytest
from rich.console import Console

from benchmarks.load import run
from benchmarks.load.result import BrokerCounters, Document, Link, PathResult, read_result
from benchmarks.load.scenario import Scenario, load_scenario
from benchmarks.report import make_page, write_report
from benchmarks.report.toml_text import scenario_toml
from benchmarks.report.words import link_words
from tests.benchmarks.example_result import make_example
from tests.benchmarks.report_reading import Node, read_page

_SCENARIOS = sorted((Path(__file__).parents[2] / "benchmarks" / "scenarios").glob("*.toml"))
_HOSTILE = "</title></style><script>alert(\"1\")</script><img src='http://evil.example/x'> & &lt;"
#: Constants of sentences and heads: percentiles, "of 100", "QoS 1", H.264-like names have none.
_CONSTANT = {0.0, 1.0, 50.0, 90.0, 95.0, 99.0, 99.9, 100.0}


def _comparable(document: Document) -> Document:
    """With the span by which real runs compare ways."""

    def renamed(path: PathResult) -> PathResult:
        totals = tuple(
            one.model_copy(update={"name": one.name.replace("captured_to_stored", "offered_to_stored")})
            for one in path.totals
        )  # fmt: skip
        return path.model_copy(update={"totals": totals})

    baselines = tuple(renamed(path) for path in document.baselines_together)
    return document.model_copy(
        update={"together": renamed(document.together), "baselines_together": baselines}
    )


def _example(**changes: Any) -> Document:
    return _comparable(make_example()).model_copy(update=changes)


def _bare() -> Document:
    """Nothing that may be absent is there."""
    document = make_example(repetitions=1)
    path = document.together.model_copy(
        update={
            "totals": (), "stages": (), "over_time": (), "processes": (), "broker": None,
            "completed": 0, "link_bytes": None, "images_per_s": 0.0, "bytes_per_s": 0.0,
        }
    )  # fmt: skip
    repetition = document.repetitions[0].model_copy(update={"hemowire": path, "baselines": ()})
    scenario = document.scenario.model_copy(update={"question": "", "baselines": (), "sweep": None})
    return document.model_copy(
        update={
            "together": path, "repetitions": (repetition,), "scenario": scenario, "links": (),
            "baselines_together": (), "sweep": None, "limits": (), "verdicts": (),
        }
    )  # fmt: skip


def _of_path(**changes: Any) -> Document:
    document = _example()
    return document.model_copy(update={"together": document.together.model_copy(update=changes)})


_ABSENT: dict[str, tuple[Document, str]] = {
    "sweep": (_example(sweep=None), "How much it takes"),
    "rates": (_example(sweep=None, limits=()), "How much came through"),
    "baselines": (_example(baselines_together=()), "Was it faster"),
    "over_time": (_of_path(over_time=()), "Latency over time"),
    "broker": (_of_path(broker=None), "The broker's own counters"),
    "everything": (_bare(), "Where the milliseconds went"),
}


@pytest.mark.parametrize("part", _ABSENT)
def test_a_part_that_was_not_measured_is_left_out(part: str) -> None:
    document, title = _ABSENT[part]
    page = read_page(make_page(document))
    assert title not in page.text()
    assert document.scenario.title in page.text()
    if part != "rates":
        assert title in read_page(make_page(_example())).text()


def _nothing_came_through() -> Document:
    """Everything was tried and no image arrived: zeros where figures would be."""
    document = _example()

    def emptied(path: PathResult) -> PathResult:
        gone = {"count": 0, "curve": (), "hdr": "", "error_ms": 0.0}
        gone |= dict.fromkeys(("min_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms"), 0.0)
        gone |= {"p999_ms": 0.0, "max_ms": 0.0}
        late = {"completed": 0, "p50_ms": None, "max_ms": None}
        return path.model_copy(
            update={
                "totals": tuple(one.model_copy(update=gone) for one in path.totals),
                "stages": tuple(one.model_copy(update=gone) for one in path.stages),
                "over_time": tuple(one.model_copy(update=late) for one in path.over_time),
                "completed": 0, "images_per_s": 0.0, "bytes_per_s": 0.0,
            }
        )  # fmt: skip

    assert document.sweep is not None
    zeros = dict.fromkeys(("offered_per_s", "achieved_per_s", "p50_ms", "p95_ms", "p99_ms"), 0.0)
    points = tuple(
        one.model_copy(update={**zeros, "is_held": False}) for one in document.sweep.points
    )
    sweep = document.sweep.model_copy(
        update={"points": points, "knee_per_s": None, "knee_text": "not even 0 images/s were held"}
    )
    repetitions = tuple(
        one.model_copy(update={"hemowire": emptied(one.hemowire)}) for one in document.repetitions
    )
    unknown = document.verdicts[0].model_copy(
        update={"measured": None, "per_repetition": (), "passed": None, "note": "no figure"}
    )
    return document.model_copy(
        update={
            "together": emptied(document.together), "repetitions": repetitions, "sweep": sweep,
            "baselines_together": tuple(emptied(one) for one in document.baselines_together),
            "verdicts": (unknown,), "limits": (),
        }
    )  # fmt: skip


def test_a_run_in_which_nothing_came_through_says_so() -> None:
    page = read_page(make_page(_nothing_came_through()))
    assert "No image of the measured phase came through" in page.text()
    assert "1 of 1 targets not measured" in page.text()
    assert "How many waited how long" not in page.text()
    assert "nan" not in make_page(_nothing_came_through())
    missing = next(p for p in page.find("svg", "wide") if list(p.find("rect", "missing")))
    assert len(list(missing.find("rect", "missing"))) == 13


@pytest.mark.parametrize("document", [_example(), _bare(), *(d for d, _ in _ABSENT.values())])
def test_the_page_needs_nothing_from_outside(document: Document) -> None:
    text = make_page(document)
    page = read_page(text)
    assert not re.search(r"https?:|//[a-z]|url\(|@import|javascript:", text)
    for node in page.find():
        assert node.name not in ("script", "iframe", "link", "img", "object", "base", "form")
        assert not {"src", "href", "srcset", "action"} & set(node.attributes)
        assert not [name for name in node.attributes if name.startswith("on")]
    policy = [node for node in page.find("meta") if "http-equiv" in node.attributes]
    assert policy[0].attributes["content"].startswith("default-src 'none'")


def test_names_that_would_be_markup_stay_text() -> None:
    document = _example()
    first = document.repetitions[0]
    problem = first.counts.model_copy(update={"problems": (_HOSTILE,)})
    hostile = document.model_copy(
        update={
            "command": _HOSTILE,
            "scenario": document.scenario.model_copy(
                update={"title": _HOSTILE, "question": _HOSTILE}
            ),
            "machine": document.machine.model_copy(update={"cpu": _HOSTILE, "gpu": _HOSTILE}),
            "links": (document.links[0].model_copy(update={"description": _HOSTILE}),),
            "limits": tuple(one.model_copy(update={"name": _HOSTILE}) for one in document.limits),
            "verdicts": (document.verdicts[0].model_copy(update={"text": _HOSTILE}),),
            "baselines_together": (
                document.baselines_together[0].model_copy(update={"title": _HOSTILE}),
            ),
            "sweep": document.sweep and document.sweep.model_copy(update={"knee_text": _HOSTILE}),
            "repetitions": (first.model_copy(update={"counts": problem}),),
        }
    )
    page = read_page(make_page(hostile))
    assert not list(page.find("script"))
    assert not list(page.find("img"))
    said = " ".join(_HOSTILE.split())
    assert page.text().count(said) >= 10
    assert next(page.find("title")).text() == f"{said} - hemowire bench"


def _leaves(value: Any) -> Iterator[float]:
    """Every number of a document, those within its texts too; curves and histograms are no figures."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key not in ("curve", "hdr"):
                yield from _leaves(item)
    elif isinstance(value, list):
        yield float(len(value))
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, str):
        yield from (number for number, _ in _numbers(value))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)


def _numbers(text: str) -> Iterator[tuple[float, int]]:
    """(number, decimals), thousands separated or not."""
    for found in re.findall(r"(?<![\w.])\d[\d,]*(?:\.\d+)?", text):
        plain = found.replace(",", "").rstrip(".")
        yield float(plain), len(plain.partition(".")[2])


def _derived(document: Document) -> Iterator[float]:
    """What a report may work out: totals of counts, ratios of medians and rates, shares and sums."""
    for name in ("offered", "captured", "recorded", "rejected", "held", "lost", "duplicates"):
        yield float(sum(getattr(one.counts, name) for one in document.repetitions))
    paths = (document.together, *document.baselines_together)
    medians = [one.p50_ms for path in paths for one in path.totals]
    for a, b in combinations(medians, 2):
        yield from (a / b, b / a)
    for path in paths:
        yield sum(use.cpu_s for use in path.processes)
    stages = {one.name: one.p50_ms for one in document.together.stages}
    parts = (
        ("captured", "gated", "encoded", "queued"),
        ("offered", "claimed", "first_sent", "first_received", "completed"),
        ("decoded", "batched", "explained", "published"),
        ("inferred",),
    )
    sums = [sum(stages[name] for name in part) for part in parts]
    yield from sums
    yield from (100 * one / sum(sums) for one in sums)


def test_every_number_that_is_read_out_is_the_documents() -> None:
    document = _example()
    known = [*_leaves(document.model_dump(mode="json")), *_derived(document), *_CONSTANT]
    known += [value / 1e6 for value in known] + [value / 1024**3 for value in known]
    page = read_page(make_page(document))
    said = list(_numbers(page.text(frozenset({"style", "pre"}))))
    assert len(said) > 500
    for number, decimals in said:
        # Large figures are written with three digits at least, so half of the last one may be off.
        slack = 0.5000001 * 10.0**-decimals
        assert any(abs(number - value) <= slack for value in known), number


def test_changing_a_figure_changes_what_is_read() -> None:
    document = _example()
    stage = document.together.stages[13].model_copy(update={"p50_ms": 7654.0, "p95_ms": 8765.0})
    assert stage.name == "inferred"
    stages = (*document.together.stages[:13], stage, *document.together.stages[14:])
    broker = BrokerCounters(
        messages_received=31_415, messages_sent=27_182, bytes_received=161_800_000,
        bytes_sent=141_400_000, publish_dropped=577,
    )  # fmt: skip
    page = read_page(make_page(_of_path(stages=stages, broker=broker))).text()
    for said in ("7,654", "8,765", "31,415", "27,182", "161.8", "141.4", "577"):
        assert said in page
        assert said not in read_page(make_page(document)).text()


@pytest.mark.parametrize(
    ("passed", "word", "kind", "shape"),
    [(True, "holds", "passed", "circle"), (False, "missed", "missed", "path"),
     (None, "not measured", "unknown", "path")],
)  # fmt: skip
def test_a_verdict_is_told_by_word_shape_and_colour(
    passed: bool | None, word: str, kind: str, shape: str
) -> None:
    line = make_example().verdicts[0].model_copy(update={"passed": passed, "note": "because"})
    page = read_page(make_page(_example(verdicts=(line,))))
    _, item = next(page.find("ul", "verdicts")).find("li")
    assert item.attributes["class"] == kind
    assert next(item.find("b")).text() == word
    assert line.text in item.text()
    assert "(because)" in item.text()
    drawn = next(item.find("svg", "shape"))
    assert next(drawn.find(kind="fill")).name == shape
    overall = next(page.find("span", "overall"))
    assert kind in overall.attributes["class"].split()


def test_the_three_shapes_differ() -> None:
    found = set()
    for passed in (True, False, None):
        line = make_example().verdicts[0].model_copy(update={"passed": passed})
        page = read_page(make_page(_example(verdicts=(line,))))
        fill = next(list(page.find("svg", "shape"))[-1].find(kind="fill"))
        found.add((fill.name, fill.attributes.get("d", "")))
    assert len(found) == 3


def test_a_lost_image_is_said_first_though_every_target_holds() -> None:
    document = _example()
    lost = document.repetitions[0].counts.model_copy(update={"lost": 1, "recorded": 64})
    repetition = document.repetitions[0].model_copy(update={"counts": lost})
    holds = document.verdicts[0].model_copy(update={"passed": True})
    page = read_page(
        make_page(document.model_copy(update={"repetitions": (repetition,), "verdicts": (holds,)}))
    )
    first = next(next(page.find("ul", "verdicts")).find("li"))
    assert first.attributes["class"] == "missed"
    assert "1 lost" in first.text()
    assert next(page.find("span", "overall")).text() == "Not every image is accounted for"


def test_every_picture_has_a_title_and_a_description_of_its_own() -> None:
    page = read_page(make_page(_example()))
    ids = [node.attributes["id"] for node in page.find() if "id" in node.attributes]
    assert len(ids) == len(set(ids))
    pictures = [node for node in page.find("svg") if node.attributes.get("role") == "img"]
    assert len(pictures) == 2 * 6  # waterfall, ways, two curves, over time, sweep: wide and narrow
    for picture in pictures:
        title, description = picture.attributes["aria-labelledby"].split()
        texts = {n.attributes.get("id"): n.text() for n in picture.find()}
        assert texts[title]
        assert texts[description]
    for node in page.find("svg"):
        assert node.attributes.get("role") == "img" or node.attributes["aria-hidden"] == "true"


def test_every_report_says_research_use_only_and_synthetic() -> None:
    for document in (_example(), _bare()):
        page = read_page(make_page(document)).text()
        assert page.count("Research use only, not for diagnosis.") == 2
        assert "synthetic" in page


def test_a_percentile_is_told_only_of_enough_images() -> None:
    document = _example()
    total = document.together.totals[0]
    assert total.count == 195
    assert "99 of 100 at most" in read_page(make_page(document)).text()
    few = total.model_copy(update={"count": 22, "max_ms": 6543.0})
    page = read_page(make_page(_of_path(totals=(few,)))).text()
    assert "99 of 100" not in page
    assert "the slowest of 22 at most 6,543 ms" in page


def test_a_busy_machine_is_said() -> None:
    assert "Other programs" not in read_page(make_page(_of_path(others_cpu_percent=3.0))).text()
    page = read_page(make_page(_of_path(others_cpu_percent=130.0))).text()
    assert "Other programs took up to 1.3 of this machine's 2 cores" in page


@pytest.mark.parametrize(
    ("times", "word"), [(3.0, "3.00x faster"), (1 / 3, "3.00x slower"), (1.01, "about even")]
)
def test_the_answer_says_how_much_faster_or_slower(times: float, word: str) -> None:
    document = _example()
    own = next(one for one in document.together.totals if one.name == "offered_to_stored")
    theirs = own.model_copy(update={"p50_ms": own.p50_ms * times})
    baseline = document.baselines_together[0].model_copy(update={"totals": (theirs,)})
    page = read_page(make_page(document.model_copy(update={"baselines_together": (baseline,)})))
    assert word in next(page.find("ul", "compared")).text()


def test_bytes_a_second_are_compared_only_with_the_handoff_alone() -> None:
    """A way that makes images wait before it begins with them looks fast by its latency."""
    document = _example()
    assert "carried" not in read_page(make_page(document)).text()
    single = document.baselines_together[0].model_copy(update={"bytes_per_s": 200e6})
    handoff = single.model_copy(
        update={"path": "handoff", "title": "hemowire's hand-off", "bytes_per_s": 160e6}
    )
    page = read_page(
        make_page(document.model_copy(update={"baselines_together": (handoff, single)}))
    )
    assert "the hand-off carried 160.0 MB/s: " in page.text()
    assert "1.25x less than one QoS 1 message per image, 200.0 MB/s" in page.text()


@pytest.mark.parametrize("path", _SCENARIOS, ids=lambda path: path.stem)
def test_the_scenario_as_run_can_be_run_again(path: Path, tmp_path: Path) -> None:
    scenario = load_scenario(path)
    question = 'a "quote", a \\ and\na line \x7f \u2028 end'
    odd = scenario.model_copy(update={"question": question})
    for one in (scenario, odd):
        (tmp_path / "again.toml").write_text(scenario_toml(one), encoding="utf-8")
        assert load_scenario(tmp_path / "again.toml") == one


def test_the_file_is_small_and_is_the_page(tmp_path: Path) -> None:
    write_report(_example(), tmp_path / "report.html")
    content = (tmp_path / "report.html").read_bytes()
    assert content.decode("utf-8") == make_page(_example())
    assert len(content) < 200_000


def test_the_command_writes_the_page_beside_the_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def measured(_scenario: Scenario, _console: Console) -> Document:
        return _example()

    monkeypatch.setattr(run, "measure_scenario", measured)
    monkeypatch.setattr(run, "configure_logging", lambda _level: None)
    file, page = tmp_path / "r.json", tmp_path / "r.html"
    assert run.run_bench(run.BenchOptions(_SCENARIOS[0], file, page)) == 1  # a target is missed
    assert page.read_text(encoding="utf-8") == make_page(read_result(file))


@pytest.mark.parametrize(
    ("legs", "words"),
    [
        ((("device", "loopback"), ("worker", "loopback")), ", over loopback"),
        ((("device", "10mbit"), ("worker", "10mbit")), "; device and worker behind 10 Mbit/s"),
        (
            (("device", "10mbit"), ("worker", "loopback")),
            "; device behind 10 Mbit/s, worker behind loopback",
        ),
        ((), ""),
    ],
)
def test_links_are_named_without_how_they_were_made(
    legs: tuple[tuple[Literal["device", "worker"], str], ...], words: str
) -> None:
    links = [
        Link(leg=leg, profile=profile, implementation="x", description="10 Mbit/s: tbf, measured")
        for leg, profile in legs
    ]
    assert link_words(links) == words


def _pixels(node: Node, name: str) -> list[float]:
    return [one.number(name) for one in node.find("rect", "bar")]


def test_bars_of_the_waterfall_are_as_long_as_the_stages_and_follow_each_other() -> None:
    document = _example()
    page = read_page(make_page(document))
    picture = next(
        p for p in page.find("svg", "wide") if p.attributes["aria-labelledby"].startswith("waterfall")
    )  # fmt: skip
    widths, starts = _pixels(picture, "width"), _pixels(picture, "x")
    medians = [one.p50_ms for one in document.together.stages]
    medians.append(document.together.totals[0].p50_ms)
    assert len(widths) == len(medians)
    px_per_ms = widths[-1] / medians[-1]
    for width, ms in zip(widths, medians, strict=True):
        assert width == pytest.approx(max(ms * px_per_ms, 1.5), abs=0.05)
    # Archiving and decoding both follow the last byte.
    names = [one.name for one in document.together.stages]
    ends = [start + ms * px_per_ms for start, ms in zip(starts, medians, strict=True)]
    completed, archived, decoded = (names.index(n) for n in ("completed", "archived", "decoded"))
    assert starts[archived] == pytest.approx(ends[completed], abs=0.1)
    assert starts[decoded] == pytest.approx(ends[completed], abs=0.1)


def test_only_a_stage_across_machines_is_drawn_with_its_clock_error() -> None:
    assert not list(read_page(make_page(_example())).find("rect", "error"))
    document = _example()
    stages = tuple(
        one.model_copy(update={"error_ms": 2.5}) if one.name == "first_received" else one
        for one in document.together.stages
    )
    page = read_page(make_page(_of_path(stages=stages)))
    assert len(list(page.find("rect", "error"))) == 2  # wide and narrow
    assert "±2.50" in page.text()


def test_a_physical_limit_is_drawn_where_it_applies() -> None:
    document = _example()
    link = document.limits[0].model_copy(update={"applies_to": "offered_to_stored", "value": 8.0})
    page = read_page(make_page(document.model_copy(update={"limits": (link,)})))
    having = {
        picture.attributes["aria-labelledby"].split("-wide")[0]
        for picture in page.find("svg", "wide")
        if list(picture.find("line", "limit"))
    }
    assert having == {"waterfall", "ways-offered-to-stored", "curve-offered-to-stored"}
