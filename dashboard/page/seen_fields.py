"""Which fields a person has been shown, and what is needed to give out their pictures; bounded, and in memory only.

A case is written into the audit book when it is opened; its pictures and crops are parts of that view
and are not asked of the desk one by one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from threading import Lock
from typing import Final

from dashboard.accounts.roles import Actor
from dashboard.review.desk import Desk
from dashboard.review.views import FieldDetail

_KEPT: Final = 20_000


class SeenFields:
    """Safe to use from several threads."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._lock = Lock()
        self._fields: OrderedDict[tuple[str, str], FieldDetail] = OrderedDict()

    def note(self, actor: Actor, fields: Iterable[FieldDetail]) -> None:
        """This person was shown these."""
        with self._lock:
            for field in fields:
                self._fields[actor.account, field.image_id] = field
                self._fields.move_to_end((actor.account, field.image_id))
            while len(self._fields) > _KEPT:
                self._fields.popitem(last=False)

    def field(self, actor: Actor, image_id: str) -> FieldDetail:
        """One that was shown, else the desk is asked (a view); raises NoSuchCaseError."""
        with self._lock:
            found = self._fields.get((actor.account, image_id))
        if found is None or not actor.may_see_site(found.site):
            found = self._desk.field(image_id, actor)
            self.note(actor, [found])
        return found
