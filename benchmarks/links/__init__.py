"""Bad networks on one machine: a link of a given rate, delay and loss between a client and a server."""

from benchmarks.links.link import Link, LinkCounters, LinkReport, Measured
from benchmarks.links.opening import LinkUnavailableError, open_link
from benchmarks.links.profile import Direction, LinkProfile, Outages, find_profile, profile_names

__all__ = [
    "Direction",
    "Link",
    "LinkCounters",
    "LinkProfile",
    "LinkReport",
    "LinkUnavailableError",
    "Measured",
    "Outages",
    "find_profile",
    "open_link",
    "profile_names",
]
