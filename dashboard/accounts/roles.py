"""What each role may see and do, in one literal table; what is not in it is refused."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """Whose part somebody plays."""

    HEMATOLOGIST = "hematologist"
    LAB_OPERATOR = "lab_operator"
    ENGINEER = "engineer"
    ADMINISTRATOR = "administrator"


class May(StrEnum):
    """One thing that can be seen or done."""

    #: Cases with what the AI and people say of them.
    SEE_CASES = "see_cases"
    #: The pictures themselves.
    SEE_IMAGES = "see_images"
    #: Fields that are to be taken again, and why; no result.
    SEE_RETAKES = "see_retakes"
    #: Sign, amend, take back, refer.
    REVIEW = "review"
    ASK_RETAKE = "ask_retake"
    EXPORT = "export"
    #: Latencies, devices, workers; no case.
    SEE_OPERATIONS = "see_operations"
    #: Agreement of the AI and people, drift: figures without cases.
    SEE_FIGURES = "see_figures"
    MANAGE_ACCOUNTS = "manage_accounts"
    SEE_AUDIT = "see_audit"


PERMISSIONS: Final[dict[Role, frozenset[May]]] = {
    Role.HEMATOLOGIST: frozenset(
        {
            May.SEE_CASES,
            May.SEE_IMAGES,
            May.SEE_RETAKES,
            May.REVIEW,
            May.ASK_RETAKE,
            May.EXPORT,
            May.SEE_FIGURES,
        }
    ),
    Role.LAB_OPERATOR: frozenset({May.SEE_RETAKES, May.SEE_IMAGES}),
    Role.ENGINEER: frozenset({May.SEE_OPERATIONS, May.SEE_FIGURES}),
    Role.ADMINISTRATOR: frozenset(
        {May.MANAGE_ACCOUNTS, May.SEE_AUDIT, May.SEE_OPERATIONS, May.SEE_FIGURES}
    ),
}


class NotAllowedError(Exception):
    """The role may not do this."""

    def __init__(self, actor: Actor, what: May) -> None:
        role = actor.role.value if actor.role else "nobody"
        super().__init__(f"{actor.account or 'nobody'} ({role}) may not {what.value}")
        self.what = what


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, and from where."""

    account: str
    role: Role | None
    #: The site whose cases may be seen; None: every site.
    site: str | None = None
    address: str = ""
    #: Answers before the AI's answer is shown.
    reads_before_ai: bool = False

    def may(self, what: May) -> bool:
        """Whether the role allows it."""
        return self.role is not None and what in PERMISSIONS[self.role]

    def require(self, what: May) -> None:
        """Raises NotAllowedError."""
        if not self.may(what):
            raise NotAllowedError(self, what)

    def may_see_site(self, site: str) -> bool:
        """Whether cases of this site are this person's."""
        return self.site is None or self.site == site


#: The operating system's user at a terminal: no account of ours.
def at_terminal(user: str) -> Actor:
    """Whoever runs a command on the server."""
    return Actor(f"terminal:{user}"[:64], None, address="terminal")
