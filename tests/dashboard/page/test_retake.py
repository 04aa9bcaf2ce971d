"""A retake goes to the microscope over the real broker; its answer, or that there is none, is shown and kept."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx

from broker_config.local import OPERATOR, LocalBroker, edge_username
from tests.dashboard.clients import TOPICS, Client, client
from tests.dashboard.page.page_house import KIM, PageHouse, page_house
from wire_protocol.json_messages import Command, Reply
from wire_protocol.topics import Kind

WISH = {"version": 0, "reason": "focus", "comment": "the lower half"}


def ask(house: PageHouse) -> dict[str, Any]:
    """A retake as the page asks for it."""
    with httpx.Client(base_url=house.url, timeout=30) as http:
        http.cookies.set("hemowire", house.session())
        token = http.get("/api/me").json()["token"]
        # The session with the broker is made beside the page: it may come a moment later.
        headers = {"origin": house.url, "x-hemowire-token": token}
        answer = http.post("/api/cases/lab.C7F3K2/retake", json=WISH, headers=headers)
        return {"status": answer.status_code, **answer.json()}


async def device(broker: LocalBroker, house: PageHouse, answers: list[Command]) -> dict[str, Any]:
    """A microscope that answers the first command, while the page asks."""
    name = edge_username("scope-1")
    topic = TOPICS.build(Kind.COMMAND, site="lab", device="scope-1")
    async with client(broker, name, topic) as here:
        asking = asyncio.create_task(asyncio.to_thread(ask, house))
        await here.until(lambda received: len(received) == 1)
        command = Command.from_bytes(here.received[0].payload)
        answers.append(command)
        await reply(here, command)
        return await asking


async def reply(here: Client, command: Command) -> None:
    """Shown at the microscope."""
    told = Reply(
        command_id=command.command_id,
        name=command.name,
        ok=True,
        result={"words": "shown at the microscope; its case is open."},
    )
    topic = TOPICS.build(Kind.REPLY, site="lab", device="scope-1")
    await here.session.publish(topic, told.to_bytes())


def test_the_microscopes_answer_comes_back_and_the_comment_does_not_travel(
    broker: LocalBroker, tmp_path: Path
) -> None:
    with page_house(tmp_path, broker=broker.settings(OPERATOR)) as house:
        house.field("C7F3K2", "aml")
        commands: list[Command] = []
        found = asyncio.run(asyncio.wait_for(device(broker, house, commands), 40))
        review = house.desk.case("lab.C7F3K2", KIM).review
    assert found["status"] == 200 and found["ok"]
    assert found["words"] == "scope-1: shown at the microscope; its case is open."
    assert commands[0].name == "retake"
    assert commands[0].arguments == {"case_id": "C7F3K2", "reason": "focus", "operator": "kim"}
    assert review.retake is not None and review.retake.comment == "the lower half"
    assert review.retake_answer is not None and review.retake_answer.ok


def test_a_microscope_that_is_not_there_is_said_to_be_away(
    broker: LocalBroker, tmp_path: Path
) -> None:
    with page_house(tmp_path, broker=broker.settings(OPERATOR)) as house:
        house.field("C7F3K2", "aml", device="scope-4")
        found = ask(house)
        review = house.desk.case("lab.C7F3K2", KIM).review
    assert found["status"] == 200 and not found["ok"]
    assert "nothing was asked" in found["words"]
    assert review.retake_answer is not None and not review.retake_answer.ok


def test_without_an_account_on_the_broker_nothing_is_asked(tmp_path: Path) -> None:
    with page_house(tmp_path) as house:
        house.field("C7F3K2", "aml")
        assert ask(house)["status"] == 501
        assert house.desk.case("lab.C7F3K2", KIM).review.retake is None
