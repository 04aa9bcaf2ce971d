"""Small things that the outbox remembers beside images: replies to commands, and which records store answered."""

from __future__ import annotations

from edge_device.outbox.outbox import Outbox

#: Replies to commands are remembered this long (ARCHITECTURE.md "Topics").
REPLY_KEPT_S = 24 * 3600.0


def stored_reply(outbox: Outbox, command_id: str) -> bytes | None:
    """The reply that this command got within the last 24 h of running time."""
    found = outbox.db.execute(
        "SELECT payload FROM replies WHERE command_id = ?", (command_id,)
    ).fetchone()
    return None if found is None else found[0]


def remember_reply(outbox: Outbox, command_id: str, payload: bytes) -> None:
    """Keeps the reply for a repeat of the command, and forgets the old ones."""
    with outbox.transaction():
        clock_s: float = outbox.one("SELECT clock_s FROM meta")[0]
        outbox.db.execute("DELETE FROM replies WHERE clock_s < ?", (clock_s - REPLY_KEPT_S,))
        outbox.db.execute(
            "INSERT OR IGNORE INTO replies VALUES (?, ?, ?)", (command_id, payload, clock_s)
        )


def known_store(outbox: Outbox) -> str:
    """The records store that answered last, "" if none ever did."""
    found: str = outbox.one("SELECT store_id FROM meta")[0]
    return found


def remember_store(outbox: Outbox, store_id: str) -> None:
    """Keeps the id of the records store."""
    with outbox.transaction():
        outbox.db.execute("UPDATE meta SET store_id = ?", (store_id,))
