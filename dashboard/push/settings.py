"""When readers are notified, and through whom: the table `[push]` of dashboard.toml; it sends nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints

from service_runtime.settings import Settings

Host = Annotated[str, StringConstraints(pattern=r"^\*?[A-Za-z0-9.-]{1,253}$")]


class PushSettings(Settings):
    """Off until `contact` is given: push services want to know whom to write to."""

    #: mailto:somebody@example.org or https://...; sent to the push services with each message.
    contact: str = Field(default="", pattern=r"^$|^mailto:\S+@\S+$|^https://\S+$", max_length=200)
    #: The server's key; made at the first start. Browsers that subscribed know it.
    key_file: Path = Path("var/push.key")
    #: Cases of this rank or more urgent: 1 is acute leukemia suspected, 0 an emergency.
    rank: int = Field(default=1, ge=0, le=4)
    #: A reader gets at most one in so long; what comes meanwhile is told together.
    cooldown_s: float = Field(default=60.0, ge=0, le=3600)
    #: An urgent case that nobody has opened for so long is told again, once.
    escalate_after_s: float = Field(default=600.0, gt=0, le=86_400)
    #: Push services that browsers use; "*" in front stands for every name that ends so.
    services: tuple[Host, ...] = (
        "fcm.googleapis.com",
        "*.push.services.mozilla.com",
        "*.push.apple.com",
        "*.notify.windows.com",
    )

    @property
    def is_on(self) -> bool:
        """Whether anything is sent."""
        return bool(self.contact)
