"""The patient's copy and its links: the table `[patient]` of dashboard.toml; it holds no case."""

from __future__ import annotations

from pydantic import Field

from service_runtime.settings import Settings


class PatientSettings(Settings):
    """How a patient gets the copy of a signed result."""

    #: A link that nobody has opened ends after so many days.
    link_days: float = Field(default=7.0, gt=0, le=90)
    #: How a patient reaches the lab, on the copy: "Blood lab, phone 555 0100".
    contact: str = Field(default="", max_length=160)
