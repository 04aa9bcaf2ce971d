"""Structured logs, for a terminal or as JSON lines; never pixels, names or credentials.

log = get_log("edge").bind(device="scope-1")
log.info("image_stored", image_id=image_id, size_bytes=n)
"""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from service_runtime.redacted import without_password

_NEVER = ("password", "secret", "token", "credential", "source_name", "patient", "file_name")
_LONGEST = 500


def configure_logging(
    level: str = "info", *, stream: TextIO | None = None, json: bool | None = None
) -> None:
    """Log to `stream` (stderr): console lines where it is a terminal, JSON lines otherwise."""
    out = sys.stderr if stream is None else stream
    as_json = not out.isatty() if json is None else json
    number = logging.getLevelNamesMapping()[level.upper()]
    renderer: Any = (
        structlog.processors.JSONRenderer(default=str)
        if as_json
        else structlog.dev.ConsoleRenderer(colors=True)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            withhold,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )


def get_log(program: str) -> FilteringBoundLogger:
    """A logger with the program's name bound; bind image and device ids where they are known."""
    log: FilteringBoundLogger = structlog.get_logger(program=program)
    return log


def withhold(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Bytes become their length, long texts are cut, fields named like credentials or people go."""
    for key, value in event.items():
        if any(word in key.lower() for word in _NEVER):
            event[key] = "(withheld)"
        elif isinstance(value, bytes | bytearray | memoryview):
            event[key] = f"({len(value)} bytes)"
        elif isinstance(value, str):
            shown = without_password(value)
            is_cut = len(shown) > _LONGEST and key != "exception"
            event[key] = shown[:_LONGEST] + "..." if is_cut else shown
    return event
