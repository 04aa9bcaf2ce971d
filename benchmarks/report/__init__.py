"""The report of a benchmark: a result document becomes one HTML file that needs nothing else; it measures nothing."""

from __future__ import annotations

from benchmarks.report.page import make_page, write_report

__all__ = ["make_page", "write_report"]
