"""What the page refuses: forged sessions, other origins, hostile ids and words, deeds on what is not there.

(Over 250 lines: every address with everything it refuses, in one table.)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from dashboard.accounts.roles import Actor, Role
from tests.dashboard.page.page_house import KIM, PageHouse, page_house

CASE = "/api/cases/lab.C7F3K2"


class Client:
    """A browser's requests, or what no browser would send."""

    def __init__(self, house: PageHouse, actor: Actor | None = KIM) -> None:
        self.house = house
        self.http = httpx.Client(base_url=house.url, timeout=20)
        self.token = ""
        if actor is not None:
            self.http.cookies.set("hemowire", house.session(actor))
            self.token = self.get("/api/me").json()["token"]

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.http.get(path, headers=headers)

    def post(self, path: str, body: Any, **changes: str) -> httpx.Response:
        """As the page itself posts, but for `changes`; a header of "" is left out."""
        headers = {
            "origin": self.house.url,
            "content-type": "application/json",
            "x-hemowire-token": self.token,
        } | {name.replace("_", "-"): value for name, value in changes.items()}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        kept = {name: value for name, value in headers.items() if value}
        return self.http.post(path, content=content, headers=kept)


Visit = Callable[[Actor | None], Client]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageHouse]:
    with page_house(tmp_path_factory.mktemp("page")) as served:
        served.image_id = served.field("C7F3K2", "aml")
        yield served


@pytest.fixture
def visit(house: PageHouse) -> Iterator[Visit]:
    """Makes clients that are closed in the end."""
    made: list[Client] = []

    def new(actor: Actor | None) -> Client:
        made.append(Client(house, actor))
        return made[-1]

    yield new
    for client in made:
        client.http.close()


@pytest.fixture
def client(visit: Visit) -> Client:
    return visit(KIM)


@pytest.mark.parametrize(
    "path",
    [
        "/api/me",
        "/api/worklist",
        CASE,
        "/api/events",
        f"/api/fields/{'0' * 32}/picture",
        "/page.js",
        "/case.js",
    ],
)
@pytest.mark.parametrize("session", ["", "forged", "a" * 4000, "x;y=z"])
def test_without_a_session_there_is_nothing(house: PageHouse, path: str, session: str) -> None:
    cookie = {"cookie": f"hemowire={session}"} if session else {}
    answer = httpx.get(house.url + path, headers=cookie)
    assert answer.status_code == 401
    assert "C7F3K2" not in answer.text


def test_without_a_session_a_browser_is_sent_to_sign_in(house: PageHouse) -> None:
    answer = httpx.get(house.url + "/case/lab.C7F3K2", headers={"accept": "text/html"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")


def test_a_session_that_was_ended_is_none(client: Client) -> None:
    session = client.http.cookies["hemowire"]
    assert client.post("/logout", {}).status_code == 200
    client.http.cookies.set("hemowire", session)
    assert client.get("/api/me").status_code == 401


def test_a_link_lets_in_once(house: PageHouse, visit: Visit) -> None:
    link, client = house.door.new_link(KIM), visit(None)
    assert client.post("/enter", {"link": link}).status_code == 200
    again = client.post("/enter", {"link": link})
    assert again.status_code == 403
    assert "used already" in again.json()["error"]


def test_the_session_cookie_is_not_for_scripts_nor_for_other_sites(
    house: PageHouse, visit: Visit
) -> None:
    answer = visit(None).post("/enter", {"link": house.door.new_link(KIM)})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "path=/" in cookie


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"origin": "https://evil.example"}, 403),
        ({"origin": ""}, 403),
        ({"origin": "null"}, 403),
        ({"x_hemowire_token": ""}, 403),
        ({"x_hemowire_token": "0" * 32}, 403),
        ({"content_type": "text/plain"}, 415),
        ({"content_type": "application/x-www-form-urlencoded"}, 415),
        ({"host": "evil.example"}, 421),
    ],
)
def test_what_another_site_makes_a_browser_send_changes_nothing(
    house: PageHouse, client: Client, changes: dict[str, str], status: int
) -> None:
    answer = client.post(f"{CASE}/sign", {"version": 0}, **changes)
    assert answer.status_code == status
    assert house.desk.case("lab.C7F3K2", KIM).review.held is None


@pytest.mark.parametrize(
    "path",
    [
        "/api/cases/lab.NONE1",
        "/api/cases/lab.C7F3K2'--",
        "/api/cases/..%2F..%2Fetc%2Fpasswd",
        "/api/cases/lab.%3Cscript%3E",
        "/api/cases/" + "A" * 3000,
        "/api/fields/..%2F..%2Frecords.sqlite/picture",
        "/api/fields/%2e%2e/picture",
        f"/api/fields/{'0' * 32}/picture",
        f"/api/fields/{'g' * 32}/small",
        "/..%2f..%2fprogram.py",
        "/static/app.py",
        "/sw.js/../app.py",
    ],
)
def test_an_id_that_is_none_reaches_no_file_and_no_query(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert "SQLite" not in answer.text
    assert "import" not in answer.text


@pytest.mark.parametrize("query", ["x=-1", "x=1e9", "side=99999", "x=%D9%A1", "y=0&side=abc", "x="])
def test_a_crop_is_asked_for_in_whole_pixels(house: PageHouse, client: Client, query: str) -> None:
    image_id = house.image_id
    assert client.get(f"/api/fields/{image_id}/cell?{query}").status_code == 400


def test_a_deed_on_a_case_that_is_not_there_is_refused(client: Client) -> None:
    for deed in ("sign", "amend", "undo", "refer", "withdraw"):
        assert client.post(f"/api/cases/lab.NONE1/{deed}", {"version": 0}).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{" * 1000,
        b'{"version": 0, "finding": "healthy"}',
        b'{"version": 0, "extra": 1}',
        b'{"version": -1}',
        b'{"version": 1e99}',
        b'{"version": 0, "comment": 7}',
        b'{"version": 0, "finding": "cll", "fab": "L2"}',
    ],
)
def test_a_body_that_is_not_meant_is_refused(house: PageHouse, client: Client, body: bytes) -> None:
    assert client.post(f"{CASE}/sign", body).status_code in (400, 409)
    assert house.desk.case("lab.C7F3K2", KIM).review.held is None


def test_an_oversized_comment_is_refused_and_not_cut(house: PageHouse, client: Client) -> None:
    long = client.post(f"{CASE}/sign", {"version": 0, "finding": "aml", "comment": "x" * 501})
    assert long.status_code == 409
    assert "at most 500" in long.json()["error"]
    huge = client.post(f"{CASE}/sign", {"version": 0, "comment": "x" * 20_000})
    assert huge.status_code == 413
    assert house.desk.case("lab.C7F3K2", KIM).review.held is None


def test_who_may_not_sign_does_not(house: PageHouse, visit: Visit) -> None:
    for role in (Role.LAB_OPERATOR, Role.ENGINEER, Role.ADMINISTRATOR):
        client = visit(Actor("olga", role))
        assert client.post(f"{CASE}/sign", {"version": 0, "finding": "aml"}).status_code == 403
        assert client.get(CASE).status_code == 403
    assert house.desk.case("lab.C7F3K2", KIM).review.held is None


def test_cases_of_another_site_are_not_there(house: PageHouse, visit: Visit) -> None:
    client = visit(Actor("ida", Role.HEMATOLOGIST, site="elsewhere"))
    image_id = house.image_id
    assert client.get("/api/worklist").json()["total"] == 0
    assert client.get(CASE).status_code == 404
    assert client.get(f"/api/fields/{image_id}/picture").status_code == 404


def test_a_second_reader_is_told_who_was_faster(house: PageHouse, visit: Visit) -> None:
    house.field("T2WO", "aml")
    first, second = visit(KIM), visit(Actor("bert", Role.HEMATOLOGIST))
    wish = {"version": 0, "finding": "aml"}
    assert first.post("/api/cases/lab.T2WO/sign", wish).status_code == 200
    late = second.post("/api/cases/lab.T2WO/sign", wish | {"finding": "all"})
    assert late.status_code == 409
    assert "kim" in late.json()["error"]


def test_every_answer_forbids_what_comes_from_elsewhere(client: Client) -> None:
    for path in ("/", "/login", CASE, "/api/none", "/sw.js"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
    assert client.get(CASE).headers["cache-control"] == "no-store"


def test_bytes_that_are_not_the_recorded_ones_are_not_shown(
    house: PageHouse, client: Client
) -> None:
    image_id = house.field("D4MG", "all", 2)
    case = client.get("/api/cases/lab.D4MG").json()
    sha256 = case["fields"][0]["sha256"]
    assert client.get(f"/api/fields/{image_id}/picture").headers["etag"] == f'"{sha256}"'
    path = next(house.archive.rglob(sha256))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    answer = client.get(f"/api/fields/{image_id}/picture")
    assert answer.status_code == 404
    assert "not the recorded ones" in answer.json()["error"]


def test_too_many_open_pages_are_told(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.page.app.MAX_STREAMS", 1)
    with client.http.stream("GET", "/api/events") as first:
        assert first.status_code == 200
        chunks = first.iter_raw()
        next(chunks)
        assert client.get("/api/events").status_code == 503
