"""Each role can do exactly its part, on the real broker: every role against every topic."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import product

import pytest

from broker_config.local import LocalBroker, edge_username
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import (
    NOT_AUTHORISED,
    Connected,
    ConnectionLostError,
    Message,
    SessionOptions,
    Subscription,
)
from wire_protocol.access import BROKER_COUNTERS, RULES, Access, Role, rule_filter
from wire_protocol.topics import PATHS, Kind, Topics

TOPICS = Topics()
MINE, OTHER = "scope-1", "scope-2"
DEADLINE_S = 20.0


@dataclass(frozen=True, slots=True)
class Site:
    """Concrete levels for one complete set of topics."""

    site: str
    device: str
    worker: str = "w1"
    image_id: str = "a" * 32

    def topics(self) -> dict[Kind, list[str]]:
        """Every topic of the protocol with these levels; programs and peers of several names."""
        names = (self.device, "worker", "records", "hematologist")
        found: dict[Kind, list[str]] = {}
        for kind, path in PATHS.items():
            levels = {name: getattr(self, name, "") for name in _levels(path)}
            last = next((name for name in levels if name in ("program", "peer")), None)
            choices = [levels | {last: name} for name in names] if last else [levels]
            found[kind] = [TOPICS.build(kind, **choice) for choice in choices]
        return found


def _levels(path: str) -> list[str]:
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


#: The account's own site and device, another device of the site, and another site.
EVERY_TOPIC = sorted(
    topic
    for place in (Site("lab", MINE), Site("lab", OTHER), Site("clinic", "scope-9"))
    for topics in place.topics().values()
    for topic in topics
)


def allowed(broker: LocalBroker, username: str, access: Access) -> set[str]:
    """What RULES say, worked out without Mosquitto's own matching."""
    account = broker.accounts[username]
    filters = [
        rule_filter(TOPICS, rule, account.identity()).split("/")
        for rule in RULES[account.role]
        if rule.access is access
    ]
    return {topic for topic in EVERY_TOPIC if any(_matches(f, topic.split("/")) for f in filters)}


def _matches(wanted: list[str], topic: list[str]) -> bool:
    return len(wanted) == len(topic) and all(
        want in ("+", level) for want, level in zip(wanted, topic, strict=True)
    )


@asynccontextmanager
async def connected(broker: LocalBroker, username: str) -> AsyncIterator[MqttSession]:
    options = SessionOptions(f"matrix-{username}", backoff_s=(0.001, 0.002))
    session = MqttSession(broker.settings(username), options)
    life = asyncio.create_task(session.run())
    try:
        async with asyncio.timeout(DEADLINE_S):
            assert isinstance(await anext(aiter(session.events())), Connected)
        yield session
    finally:
        await session.close()
        await life


async def code_of(session: MqttSession, topic: str) -> int:
    """The PUBACK's code; Mosquitto 2.0.11 ends the connection after each denied publish."""
    while True:
        try:
            return await session.publish(topic, b"x")
        except ConnectionLostError:
            async for event in session.events():
                if isinstance(event, Connected):
                    break


USERNAMES = [edge_username(MINE), *(r.value for r in Role if r is not Role.EDGE)]


@pytest.mark.parametrize("username", USERNAMES)
def test_a_role_publishes_on_its_own_topics_and_on_no_other(
    broker: LocalBroker, username: str
) -> None:
    async def main() -> set[str]:
        async with connected(broker, username) as session:
            return {t for t in EVERY_TOPIC if await code_of(session, t) != NOT_AUTHORISED}

    assert asyncio.run(main()) == allowed(broker, username, Access.PUBLISH)


def test_a_role_reads_its_own_topics_and_no_other(broker: LocalBroker) -> None:
    """All roles listen to everything while those that may publish on each topic."""

    async def main() -> dict[str, set[str]]:
        publishers = _publishers(broker)
        async with AsyncExitStack() as stack:
            sessions = {
                name: await stack.enter_async_context(connected(broker, name))
                for name in {*USERNAMES, *publishers.values()}
            }
            for name in USERNAMES:
                await sessions[name].subscribe([Subscription("hemowire/v1/#", retain_handling=2)])
            for topic, name in publishers.items():
                assert await sessions[name].publish(topic, b"x") != NOT_AUTHORISED
            heard = {}
            for name in USERNAMES:
                # Its SUBACK comes after everything that the broker had for this client before.
                await sessions[name].subscribe([Subscription("hemowire/v1/fence")])
                heard[name] = {
                    event.topic
                    for event in [
                        await anext(aiter(sessions[name].events()))
                        for _ in range(sessions[name].waiting())
                    ]
                    if isinstance(event, Message)
                }
            return heard

    publishers = _publishers(broker)
    heard = asyncio.run(main())
    for username in USERNAMES:
        expected = allowed(broker, username, Access.READ) & publishers.keys()
        assert heard[username] == expected, username


def _publishers(broker: LocalBroker) -> dict[str, str]:
    """For each topic that anybody of these accounts may publish on, one who may."""
    found: dict[str, str] = {}
    for name in (*USERNAMES, edge_username(OTHER)):
        for topic in allowed(broker, name, Access.PUBLISH):
            found.setdefault(topic, name)
    return found


def test_a_device_cannot_publish_or_read_as_another(broker: LocalBroker) -> None:
    mine = edge_username(MINE)
    for access, topic in product(Access, EVERY_TOPIC):
        if OTHER in topic.split("/"):
            assert topic not in allowed(broker, mine, access)


def test_every_topic_has_a_publisher_and_a_reader() -> None:
    for kind, access in product(Kind, Access):
        roles = [
            role
            for role, rules in RULES.items()
            if any(rule.kind is kind and rule.access is access for rule in rules)
        ]
        assert roles, f"nobody may {access.value} {kind.value}"


def test_the_broker_s_counters_are_for_engineers_and_the_metrics_program(
    broker: LocalBroker,
) -> None:
    async def main() -> dict[str, bool]:
        heard = {}
        for name in USERNAMES:
            async with connected(broker, name) as session:
                await session.subscribe([Subscription(BROKER_COUNTERS)])
                await session.subscribe([Subscription("hemowire/v1/fence")])
                heard[name] = session.waiting() > 0
        return heard

    assert {name for name, has in asyncio.run(main()).items() if has} == {"engineer", "metrics"}


def test_workers_share_the_offers(broker: LocalBroker) -> None:
    async def main() -> list[int]:
        async with AsyncExitStack() as stack:
            edge = await stack.enter_async_context(connected(broker, edge_username(MINE)))
            workers = []
            for number in range(2):
                session = MqttSession(
                    broker.settings("worker"), SessionOptions(f"matrix-worker-{number}")
                )
                life = asyncio.create_task(session.run())
                stack.push_async_callback(_close, session, life)
                assert isinstance(await anext(aiter(session.events())), Connected)
                await session.subscribe([Subscription(TOPICS.shared_offers())])
                workers.append(session)
            topic = TOPICS.build(Kind.OFFER, site="lab", device=MINE)
            await asyncio.gather(*(edge.publish(topic, b"x") for _ in range(10)))
            for session in workers:
                await session.subscribe([Subscription("hemowire/v1/fence")])
            return [session.waiting() for session in workers]

    assert asyncio.run(main()) == [5, 5]


async def _close(session: MqttSession, life: asyncio.Task[None]) -> None:
    await session.close()
    await life
