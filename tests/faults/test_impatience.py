"""Fifteen impatient people: a minute's sign-ins and refreshes at once, while the exchange trades.

The desk's clock stands between two publications of the provider, so that each request that reached it during
the storm would be one that a person caused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.live_desk import LiveDesk, running
from tests.support.live_faults import SETTINGS, assert_whole
from tests.support.pages import LIVE_PATH, PageReader
from tests.support.trades import unique
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.flow("Report"), pytest.mark.timeout(180)]
DAY = "2026-03-10"
CLOCK = ("--clock-start", f"{DAY}T08:01:00+01:00")
PEOPLE, SIGN_INS, REFRESHES = 15, 200, 2_000
PASSWORD = "impatient, not careless"


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveDesk]:
    with running(LiveDesk(tmp_path, "--sandbox", *CLOCK, environment=SETTINGS)) as desk:
        desk.wait_listeners(1)
        yield desk


def test_a_minutes_sign_ins_and_refreshes_are_answered_and_ask_the_provider_nothing(live: LiveDesk) -> None:
    names = [unique("p") for _ in range(PEOPLE)]
    traders = [f"trader_{number % 6 + 1}" for number in range(PEOPLE)]
    with live.client() as admin:
        for name, trader_id in zip(names, traders, strict=True):
            assert admin.add_user(name, PASSWORD, "trader", trader_id=trader_id).status_code in (200, 201)
    live.emit(300)
    wait_until(
        lambda: (told := live.get("/v1/feed")["prices"])["periods_fresh"] == told["periods_tradable"] > 0,
        timeout_s=60, what="every hour has its price",
    )  # fmt: skip
    asked = live.provider("stats")["requests"]["total"]
    live.exchange("POST", "rate", trades_per_min=1_000)

    def storm(number: int) -> Counter[int]:
        """One person's share of the sign-ins, and refreshes with the last answer's tag after each."""
        statuses: Counter[int] = Counter()
        for turn in range(number, SIGN_INS, PEOPLE):
            with PageReader(live.pages_url, names[number], PASSWORD) as reader:
                tag = ""
                for _ in range(REFRESHES // SIGN_INS):
                    answer = reader.http.get(
                        LIVE_PATH.format(trader_id=traders[number], day=DAY), headers={"If-None-Match": tag}
                    )
                    assert answer.headers["X-Request-Id"], turn
                    tag = answer.headers.get("ETag", tag)
                    statuses[answer.status_code] += 1
        return statuses

    with ThreadPoolExecutor(PEOPLE) as pool:
        answered = sum(pool.map(storm, range(PEOPLE)), Counter[int]())

    live.exchange("POST", "pause")
    assert answered.total() == REFRESHES
    assert set(answered) <= {200, 304}
    assert live.provider("stats")["requests"]["total"] == asked
    assert_whole(live)
