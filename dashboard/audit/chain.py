"""How an audit entry seals the entries before it, and how a book is checked; pure.

Each entry's hash covers its fields and the hash before: whoever changes, removes or inserts an entry
breaks every hash after it. The head (count and last hash) is sealed by HMAC with a key that is not in
the database: whoever cuts the end off, or writes the whole chain anew, cannot seal the head.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Final

START: Final = "0" * 64


@dataclass(frozen=True, slots=True)
class Entry:
    """What one line of the book says."""

    number: int
    at: str
    account: str
    role: str
    address: str
    action: str
    #: What it was done to: a case key, an image id, an account.
    subject: str
    #: JSON of some plain facts; never a comment's text, a password or a token.
    detail: str


@dataclass(frozen=True, slots=True)
class Sealed:
    """A line with its hashes, as it is kept."""

    entry: Entry
    previous: str
    hash: str


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the book."""

    number: int
    hash: str
    seal: str


@dataclass(frozen=True, slots=True)
class Finding:
    """The first thing that is wrong; `number` of the entry, 0 where it is the head."""

    number: int
    words: str


def hash_entry(entry: Entry, previous: str) -> str:
    """sha256 over the hash before and every field by name."""
    text = json.dumps(asdict(entry), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(f"{previous}\n{text}".encode()).hexdigest()


def seal_head(number: int, last_hash: str, key: bytes) -> str:
    """HMAC-SHA256 over count and last hash."""
    return hmac.new(key, f"{number}\n{last_hash}".encode(), hashlib.sha256).hexdigest()


def check(
    lines: Iterable[Sealed], head: Head | None, key: bytes, *, known: Head | None = None
) -> Finding | None:
    """The first broken entry, or None. `known` is a head that was written down before, elsewhere:
    the book must still hold it, or an older copy of the whole database was put in its place."""
    previous, count = START, 0
    for line in lines:
        entry = line.entry
        if entry.number != count + 1:
            return Finding(count + 1, f"entry {count + 1} is missing: {entry.number} follows")
        about = f"entry {entry.number} ({entry.at} {entry.account or 'nobody'} {entry.action})"
        if line.previous != previous:
            return Finding(entry.number, f"{about} does not follow the entry before it")
        if line.hash != hash_entry(entry, previous):
            return Finding(entry.number, f"{about} is not what was written")
        previous, count = line.hash, entry.number
        if known is not None and known.number == count and known.hash != previous:
            return Finding(count, f"{about} is not the one whose hash was written down")
    if head is None:
        return Finding(0, "the book has no head: it cannot be said whether its end is missing")
    if not hmac.compare_digest(head.seal, seal_head(head.number, head.hash, key)):
        return Finding(
            0, "the head's seal is not of this key: the book was rewritten, or the key is"
        )
    if head.number != count:
        first = min(head.number, count) + 1
        said = f"the book ends with {count}, its sealed head says {head.number}"
        what = "is missing" if count < head.number else "is not sealed"
        return Finding(first, f"entry {first} {what}: {said}")
    if head.hash != previous:
        return Finding(count, f"entry {count} is not the one that the head seals")
    if known is not None and known.number > count:
        said = f"the book ends with {count}, {known.number} were written down"
        return Finding(count + 1, f"entry {count + 1} is missing: {said}")
    return None
