"""Topics: built and parsed alike, under any root of one to three levels, and never from a malformed level."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire_protocol.access import RULES, Access, Role, Rule, rule_filter
from wire_protocol.ids import LEVEL_PATTERN
from wire_protocol.topics import PATHS, Kind, ParsedTopic, Topics

LEVELS = st.from_regex(LEVEL_PATTERN, fullmatch=True)
ROOTS = st.lists(LEVELS, min_size=1, max_size=3).map("/".join)


def level_names(kind: Kind) -> list[str]:
    return [part[1:-1] for part in PATHS[kind].split("/") if part.startswith("{")]


def matches(topic_filter: str, topic: str) -> bool:
    """MQTT's own rule, for filters with + only."""
    parts, levels = topic_filter.split("/"), topic.split("/")
    return len(parts) == len(levels) and all(
        p in ("+", level) for p, level in zip(parts, levels, strict=True)
    )


@given(root=ROOTS, kind=st.sampled_from(list(Kind)), data=st.data())
def test_what_is_built_is_parsed_back(root: str, kind: Kind, data: st.DataObject) -> None:
    topics = Topics(root)
    levels = {name: data.draw(LEVELS) for name in level_names(kind)}
    topic = topics.build(kind, **levels)
    assert topics.parse(topic) == ParsedTopic(kind, levels)
    assert matches(topics.every(kind), topic)


def test_no_topic_matches_the_filter_of_another_kind() -> None:
    topics = Topics()
    for kind in Kind:
        topic = topics.build(kind, **dict.fromkeys(level_names(kind), "x1"))
        for other in Kind:
            assert matches(topics.every(other), topic) is (other is kind)


@pytest.mark.parametrize(
    "root",
    ["", "/", "a/", "/a", "a//b", "a/b/c/d", "a/+", "#", "a b", "ä", "a\n", "x" * 65, "$SYS"],
)
def test_a_malformed_root_is_refused(root: str) -> None:
    with pytest.raises(ValueError, match="root topic"):
        Topics(root)


@pytest.mark.parametrize("value", ["", "a/b", "#", "a+", "a b", "ä", "a\n", "x" * 65, "$share"])
def test_a_malformed_level_is_refused_by_name(value: str) -> None:
    with pytest.raises(ValueError, match="device"):
        Topics().build(Kind.TRANSFER, device=value)


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "hemowire/v1",
        "hemowire/v1/",
        "hemowire/v2/transfer/d",
        "hemowire/v1/transfer",
        "hemowire/v1/transfer/",
        "hemowire/v1/transfer/d/x",
        "hemowire/v1/transfer/d e",
        "hemowire/v1/device/s/d/other",
        "hemowire/v1/worker/w/wealth",
        "hemowire/v1/records/other",
        "hemowire/v1x/transfer/d",
        "x/hemowire/v1/transfer/d",
        "$SYS/broker/uptime",
    ],
)
def test_a_foreign_topic_is_none(topic: str) -> None:
    assert Topics().parse(topic) is None


@given(topic=st.text(max_size=80))
def test_any_text_is_parsed_without_an_error(topic: str) -> None:
    assert Topics("a").parse(topic) is None or topic.startswith("a/")


def test_offers_are_shared() -> None:
    assert Topics("lab/x").shared_offers() == "$share/workers/lab/x/offer/+/+"


def allowed(role: Role, access: Access, kind: Kind) -> list[Rule]:
    return [rule for rule in RULES[role] if rule.access is access and rule.kind is kind]


@pytest.mark.parametrize(
    ("kind", "publishers", "readers"),
    [
        (Kind.OFFER, {Role.EDGE}, {Role.WORKER}),
        (Kind.INGEST, {Role.EDGE}, {Role.WORKER}),
        (Kind.TRANSFER, {Role.WORKER}, {Role.EDGE}),
        (Kind.INQUIRY, {Role.EDGE}, {Role.RECORDS}),
        (Kind.RECORDED, {Role.RECORDS}, {Role.EDGE}),
        (Kind.DIAGNOSIS, {Role.WORKER}, {Role.HEMATOLOGIST, Role.RECORDS}),
        (Kind.COMMAND, {Role.OPERATOR}, {Role.EDGE}),
        (Kind.REPLY, {Role.EDGE}, {Role.OPERATOR}),
        (Kind.REJECTION, {Role.EDGE}, {Role.RECORDS, Role.OPERATOR}),
        (Kind.REFILE, {Role.EDGE}, {Role.RECORDS, Role.OPERATOR, Role.HEMATOLOGIST}),
        (Kind.REVIEW, {Role.RECORDS}, {Role.HEMATOLOGIST}),
        (Kind.REPORT, {Role.RECORDS}, {Role.HEMATOLOGIST}),
    ],
)
def test_each_topic_has_its_two_ends(kind: Kind, publishers: set[Role], readers: set[Role]) -> None:
    assert {role for role in Role if allowed(role, Access.PUBLISH, kind)} == publishers
    assert {role for role in Role if allowed(role, Access.READ, kind)} == readers


def test_every_topic_can_be_published_and_read_by_somebody() -> None:
    rules = [rule for role in Role for rule in RULES[role]]
    for access in Access:
        assert {rule.kind for rule in rules if rule.access is access} == set(Kind)


def test_a_device_speaks_only_as_itself() -> None:
    topics = Topics()
    me = {"site": "lab-1", "device": "scope-1", "program": "edge", "peer": "scope-1"}
    for rule in RULES[Role.EDGE]:
        topic_filter = rule_filter(topics, rule, me)
        named = set(level_names(rule.kind)) & {"site", "device"}
        foreign = {name: "another" for name in level_names(rule.kind)}
        if named:
            assert not matches(topic_filter, topics.build(rule.kind, **foreign))
        elif rule.access is Access.PUBLISH:
            assert "+" not in topic_filter, f"{rule.kind} is open to every device"


def test_an_account_without_a_site_reads_all_sites() -> None:
    rule = allowed(Role.HEMATOLOGIST, Access.READ, Kind.DIAGNOSIS)[0]
    assert rule_filter(Topics(), rule, {}) == "hemowire/v1/diagnosis/+/+"
    assert rule_filter(Topics(), rule, {"site": "lab-1"}) == "hemowire/v1/diagnosis/lab-1/+"


def test_a_pinned_device_cannot_be_left_out() -> None:
    rule = allowed(Role.EDGE, Access.READ, Kind.TRANSFER)[0]
    with pytest.raises(KeyError):
        rule_filter(Topics(), rule, {"site": "lab-1"})
