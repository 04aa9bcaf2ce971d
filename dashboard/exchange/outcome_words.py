"""A FHIR server's OperationOutcome in words for a person at a terminal or in a log; pure, no control character."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_MOST_ISSUES: Final = 4
_MOST_CHARACTERS: Final = 240
_BAD: Final = ("fatal", "error")


def outcome_words(answer: Any) -> str:
    """What the server complains of; "" where the answer is no OperationOutcome, nor holds one."""
    issues = [issue for issue in _issues(answer) if isinstance(issue, Mapping)]
    bad = [issue for issue in issues if issue.get("severity") in _BAD] or issues
    said = [words for words in map(_words, bad) if words]
    more = f"; and {len(said) - _MOST_ISSUES} more" if len(said) > _MOST_ISSUES else ""
    return "; ".join(said[:_MOST_ISSUES]) + more


def shown(text: object) -> str:
    """Somebody else's text, on one line and not too long."""
    plain = "".join(c if c.isprintable() else " " for c in str(text))
    words = " ".join(plain.split())
    return words if len(words) <= _MOST_CHARACTERS else words[: _MOST_CHARACTERS - 3] + "..."


def _issues(answer: Any) -> list[Any]:
    if not isinstance(answer, Mapping):
        return []
    if answer.get("resourceType") == "OperationOutcome":
        return _list(answer.get("issue"))
    if answer.get("resourceType") == "Bundle":
        outcomes = [
            entry["response"].get("outcome")
            for entry in _list(answer.get("entry"))
            if isinstance(entry, Mapping) and isinstance(entry.get("response"), Mapping)
        ]
        return [issue for outcome in outcomes for issue in _issues(outcome)]
    return []


def _words(issue: Mapping[str, Any]) -> str:
    details = issue.get("details")
    details = details if isinstance(details, Mapping) else {}
    codings = [one for one in _list(details.get("coding")) if isinstance(one, Mapping)]
    said = [
        details.get("text"),
        *(one.get("display") for one in codings),
        issue.get("diagnostics"),
        issue.get("code"),
    ]
    words = next((shown(one) for one in said if one), "")
    where = [shown(one) for one in _list(issue.get("expression")) or _list(issue.get("location"))]
    return f"{words} (at {', '.join(where[:3])})" if where else words


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
