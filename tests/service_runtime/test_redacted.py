"""No password of a URL stays in a text, and what is no account stays as it is."""

from __future__ import annotations

import pytest

from service_runtime.redacted import without_password


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgres://u:secretpw@h/db", "postgres://***@h/db"),
        ("not 'postgresql+psycopg://u:se/cr@et@h:5432/db'.", "not 'postgresql+psycopg://***@h:5432/db'."),
        ("postgres://u:two words@h/db", "postgres://***@h/db"),
        ("x://:pw@h and y://a:pw@h", "x://***@h and y://***@h"),
        ("postgres://h/db?user=u&password=pw&x=1", "postgres://h/db?user=u&password=***&x=1"),
        ("postgresql://user@host/db", "postgresql://user@host/db"),
        ("s3://bucket/prefix at host:9000", "s3://bucket/prefix at host:9000"),
        ("sqlite:///var/records.sqlite", "sqlite:///var/records.sqlite"),
    ],
)  # fmt: skip
def test_accounts_go_and_the_rest_stays(text: str, shown: str) -> None:
    assert without_password(text) == shown
