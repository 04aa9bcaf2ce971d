"""How a benchmark was measured: the exact command, machine, engine, links, repetitions, the scenario as run."""

from __future__ import annotations

from benchmarks.load.result import Document
from benchmarks.report.tables import repetitions_table
from benchmarks.report.toml_text import scenario_toml
from service_runtime.report_page.markup import Element, tag
from service_runtime.report_page.table import table


def how_measured(document: Document) -> list[Element]:
    """All that a person needs to judge the figures, or to measure them again."""
    machine = document.machine
    engine = document.repetitions[0].engine
    facts = [
        ["processor", f"{machine.cpu}, {machine.cores} cores"],
        ["memory", f"{machine.memory_bytes / 1024**3:.1f} GiB"],
        ["system", f"{machine.kernel}, Python {machine.python}, mosquitto {machine.mosquitto}"],
        ["accelerator", machine.gpu],
        ["load before", f"{machine.load_before:.2f}"],
        ["engine", _engine_words(document)],
        ["engine alone", f"{engine.images_per_s:.1f} images/s" if engine.images_per_s else ""],
        *(
            [f"{link.leg} link", f"{link.profile} ({link.implementation}): {link.description}"]
            for link in document.links
        ),
        *(
            [f"limit: {limit.name}", f"{limit.value:,.1f} {limit.unit} = {limit.formula}"]
            for limit in document.limits
        ),
        ["took", f"{document.duration_s:.0f} s, {len(document.repetitions)} repetition(s)"],
        ["fingerprints", f"machine {machine.fingerprint}, scenario {document.scenario_digest}"],
    ]
    return [
        tag("p", tag("code", document.command), class_="command"),
        table(
            "Machine, engine and links",
            ["what", "as measured"],
            [fact for fact in facts if fact[1]],
            kind="words",
        ),
        repetitions_table(document),
        tag(
            "details",
            tag("summary", "The scenario as run"),
            tag("pre", tag("code", scenario_toml(document.scenario))),
        ),
        tag(
            "p",
            "Percentiles are of HDR histograms with three digits; repetitions are put together by "
            "adding their histograms, never by averaging percentiles. Latency counts from the "
            "scheduled capture, so that a camera that falls behind is not hidden.",
            class_="note",
        ),
    ]


def _engine_words(document: Document) -> str:
    engine = document.repetitions[0].engine
    words = [f"{engine.bundle} on {engine.engine}", engine.precision]
    if engine.batch_size is not None:
        words.append(f"batches of {engine.batch_size}")
    if engine.tiles_per_image is not None:
        words.append(f"{engine.tiles_per_image} tile(s) an image")
    return ", ".join(word for word in words if word)
