"""Brings the tables of an older records store up to this program's version; refuses one that is newer.

It runs in the transaction that opens the store: an old store is changed whole or not at all.
"""

from __future__ import annotations

import json

from sqlalchemy import Connection, select, text, update

from dashboard.cases.case_rows import make_all_cases
from dashboard.cases.feed import last_change, mark_told
from dashboard.cases.settings import CaseSettings
from dashboard.engine import StoreError
from dashboard.schema import SCHEMA_VERSION, DiagnosisRow, StoreRow


def migrate(connection: Connection, version: int, cases: CaseSettings, at: str) -> None:
    """From `version` to SCHEMA_VERSION, whose new tables are there; raises StoreError where there
    is no way."""
    if version == SCHEMA_VERSION:
        return
    if not 1 <= version < SCHEMA_VERSION:
        raise StoreError(
            f"records database {connection.engine.url} has schema version {version}; "
            f"this program speaks {SCHEMA_VERSION}"
        )
    if version < 2:
        _add_overrides(connection)
    if version < 3:
        make_all_cases(connection, cases, at)
        mark_told(connection, last_change(connection))  # what is old is no news on the broker
    connection.execute(update(StoreRow).values(schema_version=SCHEMA_VERSION))


def _add_overrides(connection: Connection) -> None:
    """Version 2: the gate's override in columns; version 1 has it only in the kept messages."""
    for column in (
        "gate_override BOOLEAN NOT NULL DEFAULT FALSE",
        "override_reason VARCHAR(32) NOT NULL DEFAULT ''",
    ):
        connection.execute(text(f"ALTER TABLE diagnosis ADD COLUMN {column}"))
    overridden = [
        row.id
        for row in connection.execute(
            select(DiagnosisRow.id, DiagnosisRow.body).where(
                DiagnosisRow.body.contains('"gate_override": true', autoescape=True)
            )
        )
        if json.loads(row.body).get("gate_override") is True
    ]
    for row_id in overridden:
        connection.execute(
            update(DiagnosisRow).where(DiagnosisRow.id == row_id).values(gate_override=True)
        )
