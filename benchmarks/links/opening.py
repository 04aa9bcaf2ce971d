"""Opens a link by the best means of this machine, or by the one asked for; says why where it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.links.kernel import why_not
from benchmarks.links.link import Address, Implementation, Link, LinkCounters, LinkReport, Way
from benchmarks.links.namespace import open_namespace
from benchmarks.links.profile import LinkProfile
from benchmarks.links.proxy import open_proxy


class LinkUnavailableError(Exception):
    """This machine cannot make that link; the message says what is missing."""


@contextmanager
def open_link(
    profile: LinkProfile,
    target_host: str,
    target_port: int,
    *,
    implementation: Implementation | None = None,
    check: bool = True,
) -> Iterator[Link]:
    """A link to the target, measured against its profile unless told otherwise.

    Without `implementation`: none for a profile that shapes nothing, namespaces where root allows,
    else the proxy. Raises LinkUnavailableError.
    """
    chosen = implementation or _best(profile)
    if chosen is Implementation.NONE:
        if profile.is_shaped:
            raise LinkUnavailableError(f"{profile.name} is shaped: it needs a link")
        yield Direct(profile, target_host, target_port)
        return
    if chosen is Implementation.PROXY and profile.loses:
        raise LinkUnavailableError(
            f"{profile.name} loses packets, and a TCP proxy cannot: network namespaces are needed"
            f"{'; ' + why_not() if why_not() else ''}"
        )
    if chosen is Implementation.NAMESPACES:
        with _namespace_link(profile, target_host, target_port, check=check) as link:
            yield link
        return
    with open_proxy(profile, target_host, target_port, check=check) as link:
        yield link


def _best(profile: LinkProfile) -> Implementation:
    if not profile.is_shaped:
        return Implementation.NONE
    return Implementation.PROXY if why_not() else Implementation.NAMESPACES


@contextmanager
def _namespace_link(
    profile: LinkProfile, target_host: str, target_port: int, *, check: bool
) -> Iterator[Link]:
    """A namespace's link, or LinkUnavailableError with what is missing."""
    missing = why_not()
    if missing:
        raise LinkUnavailableError(f"{profile.name}: {missing}")
    with open_namespace(profile, target_host, target_port, check=check) as link:
        yield link


class Direct:
    """No link: straight to the target."""

    def __init__(self, profile: LinkProfile, target_host: str, target_port: int) -> None:
        self._profile = profile
        self._target = Address(target_host, target_port)

    @property
    def profile(self) -> LinkProfile:
        """What was asked for."""
        return self._profile

    @property
    def host(self) -> str:
        """The target's."""
        return self._target.host

    @property
    def port(self) -> int:
        """The target's."""
        return self._target.port

    @property
    def inside_host(self) -> str:
        """Loopback."""
        return "127.0.0.1"

    def forward(self, target_host: str, target_port: int) -> Address:
        """The target itself."""
        return Address(target_host, target_port)

    def expose(self, port: int) -> Address:
        """This machine's own port."""
        return Address("127.0.0.1", port)

    def command_prefix(self) -> list[str]:
        """Nothing."""
        return []

    def describe(self) -> LinkReport:
        """Says that there is no link."""
        return LinkReport(
            profile=self._profile, implementation=Implementation.NONE, how="no link in between"
        )

    def counters(self) -> LinkCounters:
        """Nothing is counted here."""
        return LinkCounters(0, 0, 0, 0)

    def cut(self, way: Way = Way.BOTH) -> None:
        """There is nothing to cut."""
        raise LinkUnavailableError(f"{self._profile.name}: no link to cut ({way})")

    def restore(self) -> None:
        """Nothing was cut."""
