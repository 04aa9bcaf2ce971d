"""The session options of each role; the only place that decides them."""

from __future__ import annotations

from service_runtime.congestion import BY_LOSS
from service_runtime.mqtt_types import SessionOptions

#: Records and watch may be away this long; the broker keeps their diagnoses meanwhile.
KEPT_SESSION_S = 24 * 3600


def device_session(
    site: str, device: str, *, congestion: str | None = BY_LOSS, known_time_s: float = 0.0
) -> SessionOptions:
    """A microscope: clean start, nothing kept, so that no stale claim arrives after a cut."""
    return SessionOptions(
        client_id=f"edge-{site}-{device}", congestion=congestion, known_time_s=known_time_s
    )


def worker_session(worker: str) -> SessionOptions:
    """A worker (its id is new per process): clean, and noticed as dead within seconds."""
    return SessionOptions(
        client_id=f"worker-{worker}", keepalive_s=5, needs_shared_subscriptions=True
    )


def records_session(name: str = "records") -> SessionOptions:
    """The records store: a kept session, and a diagnosis is acknowledged after its commit only."""
    return SessionOptions(
        client_id=name,
        clean_start=False,
        session_expiry_s=KEPT_SESSION_S,
        manual_ack=True,
    )


def watch_session(name: str) -> SessionOptions:
    """A hematologist's terminal: a kept session, acknowledged when shown."""
    return SessionOptions(
        client_id=f"watch-{name}",
        clean_start=False,
        session_expiry_s=KEPT_SESSION_S,
        manual_ack=True,
    )


def observer_session(name: str) -> SessionOptions:
    """An onlooker (metrics, an operator's command, the demo's screen): clean, nothing kept."""
    return SessionOptions(client_id=name)
