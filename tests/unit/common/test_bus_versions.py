"""An event of a version to come is never guessed at."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from wattbook.bus import Message, require_version
from wattbook.errors import Unavailable

WHEN = datetime(2023, 2, 28, tzinfo=UTC)


def test_a_reader_of_an_earlier_version_stalls_and_says_so() -> None:
    event = Message("trade.booked", b"", WHEN, version=2)

    with pytest.raises(Unavailable, match=r"trade\.booked of version 2 cannot be read here, only up to 1"):
        require_version(event, newest=1)


@pytest.mark.parametrize("version", [1, 2])
def test_versions_that_are_known_are_read(version: int) -> None:
    require_version(Message("trade.booked", b"", WHEN, version=version), newest=2)
