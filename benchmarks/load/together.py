"""All repetitions of one path as one result: histograms added, rates by their median, uses by sum and maximum."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from benchmarks.load.histogram import add_up
from benchmarks.load.result import BrokerCounters, Latency, PathResult, ProcessUse


def put_together(paths: Sequence[PathResult]) -> PathResult:
    """The latency over time is that of the repetition with the longest latency: a stall is shown."""
    first = paths[0]
    brokers = [path.broker for path in paths if path.broker is not None]
    link_bytes = [path.link_bytes for path in paths if path.link_bytes is not None]
    others = [p.others_cpu_percent for p in paths if p.others_cpu_percent is not None]
    worst = max(paths, key=lambda path: path.totals[0].max_ms if path.totals else 0.0)
    return PathResult(
        path=first.path,
        title=first.title,
        totals=_added([path.totals for path in paths]),
        stages=_added([path.stages for path in paths]),
        over_time=worst.over_time,
        offered=sum(path.offered for path in paths),
        completed=sum(path.completed for path in paths),
        lost=sum(path.lost for path in paths),
        images_per_s=statistics.median(path.images_per_s for path in paths),
        bytes_per_s=statistics.median(path.bytes_per_s for path in paths),
        link_bytes=sum(link_bytes) if link_bytes else None,
        processes=_used([path.processes for path in paths]),
        others_cpu_percent=max(others) if others else None,
        broker=_counted(brokers) if brokers else None,
    )


def _added(lists: Sequence[Sequence[Latency]]) -> tuple[Latency, ...]:
    """By name, in the order of the list that has most of them."""
    names = [latency.name for latency in max(lists, key=len)]
    by_name = {name: [one for own in lists for one in own if one.name == name] for name in names}
    return tuple(add_up(same) for same in by_name.values())


def _used(lists: Sequence[Sequence[ProcessUse]]) -> tuple[ProcessUse, ...]:
    names = [use.name for use in max(lists, key=len)]
    found = []
    for name in names:
        same = [use for own in lists for use in own if use.name == name]
        read = [use.read_bytes for use in same if use.read_bytes is not None]
        written = [use.written_bytes for use in same if use.written_bytes is not None]
        sent = [use.sent_bytes for use in same if use.sent_bytes is not None]
        received = [use.received_bytes for use in same if use.received_bytes is not None]
        before = [use.rss_before_bytes for use in same if use.rss_before_bytes is not None]
        found.append(
            ProcessUse(
                name=name,
                program=same[0].program,
                cpu_s=sum(use.cpu_s for use in same),
                cpu_percent=statistics.median(use.cpu_percent for use in same),
                peak_rss_bytes=max(use.peak_rss_bytes for use in same),
                rss_before_bytes=max(before) if before else None,
                sent_bytes=sum(sent) if sent else None,
                received_bytes=sum(received) if received else None,
                read_bytes=sum(read) if read else None,
                written_bytes=sum(written) if written else None,
            )
        )
    return tuple(found)


def _counted(counters: Sequence[BrokerCounters]) -> BrokerCounters:
    return BrokerCounters(
        **{
            name: sum(getattr(one, name) for one in counters)
            for name in BrokerCounters.model_fields
        }
    )
