"""Each defence of the transfer does its work in the world made for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.wire_protocol.scenarios import SCENARIOS


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.__name__)
def test_that(scenario: Callable[[], None]) -> None:
    scenario()
