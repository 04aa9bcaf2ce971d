"""Who asks for what, read from a request and checked; and how what is refused behind the page becomes an answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request

from dashboard.accounts.roles import Actor, NotAllowedError
from dashboard.blobs import ArchiveAway
from dashboard.cases.keys import parse_case_key
from dashboard.page.door import Person
from dashboard.page.models import NoMapError
from dashboard.page.pictures import NoPictureError
from dashboard.review.looking import NoSuchCaseError
from dashboard.review.machine import ReviewRefusedError
from dashboard.store import StoreAway
from service_runtime.log import get_log

T = TypeVar("T")


def is_image_id(text: str) -> bool:
    """Nothing else of an address reaches the archive or a query."""
    return len(text) == 32 and all(c in "0123456789abcdef" for c in text)


def person_of(request: Request) -> Person:
    """Whom the guard let pass."""
    person = request.scope["person"]
    assert isinstance(person, Person)
    return person


def actor_of(request: Request) -> Actor:
    """Who asks; this browser may wish to read before the AI where the account does not say so."""
    actor = person_of(request).actor
    wishes = request.query_params.get("blind") == "1"
    return replace(actor, reads_before_ai=actor.reads_before_ai or wishes)


def key_of(request: Request) -> str:
    """The case's key in the address; raises HTTPException for what is none."""
    key = parse_case_key(str(request.path_params["key"])[:200])
    if key is None:
        raise HTTPException(404, "there is no such case or field")
    return key.text


def number_of(request: Request, name: str, usual: int, most: int) -> int:
    """A whole number of the query, in plain digits; raises HTTPException."""
    text = request.query_params.get(name, str(usual))
    if not text.isascii() or not text.isdecimal() or len(text) > 9 or int(text) > most:
        raise HTTPException(400, f"{name}: a whole number, at most {most}")
    return int(text)


async def in_thread(act: Callable[[], T]) -> T:
    """Runs it in a worker thread; what is refused there becomes an answer."""
    try:
        return await run_in_threadpool(act)
    except NoSuchCaseError as error:
        raise HTTPException(404, "there is no such case or field") from error
    except NotAllowedError as error:
        get_log("dashboard").warning("not_allowed", problem=str(error))
        raise HTTPException(403, str(error)) from error
    except ReviewRefusedError as error:
        get_log("dashboard").warning("review_refused", code=error.code)
        raise HTTPException(409, str(error)) from error
    except (NoPictureError, NoMapError) as error:
        raise HTTPException(404, str(error)) from error
    except ArchiveAway as error:
        get_log("dashboard").error("archive_away", problem=str(error))
        raise HTTPException(503, "the archive cannot be read now") from error
    except StoreAway as error:
        get_log("dashboard").error("store_away", problem=str(error))
        raise HTTPException(503, "the store cannot be asked now: nothing was done") from error
