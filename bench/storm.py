"""The trader's live page under a storm of refreshes, while the provider is watched from its own side.

The desk's clock stands between two publications, all prices are there: whatever request reached the provider
during the storm would have been caused by it.
"""

from __future__ import annotations

import httpx

from bench import load
from bench.context import Context, Row, at_least, at_most, plain
from tests.support.live_desk import LiveDesk
from tests.support.pages import LIVE_PATH, PageReader
from tests.support.waiting import wait_until

CONNECTIONS = 64
GOAL_TAGGED_PER_S, GOAL_FULL_PER_S, GOAL_P99_MS = 2_000, 1_000, 80
DAY = "2026-03-10"
CLOCK = ("--clock-start", f"{DAY}T08:01:00+01:00")
PATH = LIVE_PATH.format(trader_id="trader_1", day=DAY)
TRADES = 2_000
BUSY_TRADES_PER_MIN = 1_000


def run(context: Context) -> list[Row]:
    seconds = context.sizes.seconds
    with context.live(*CLOCK) as desk:
        headers = prepared(desk)
        asked = desk.provider("stats")["requests"]["total"]
        tagged, full = load_of(desk, headers), load_of(desk, {**headers, "If-None-Match": ""})
        load.run(tagged, seconds=context.sizes.warm_up_s).clean()
        unchanged = load.run(tagged, seconds=seconds).clean()
        whole = load.run(full, seconds=seconds).clean()
        desk.exchange("POST", "rate", trades_per_min=BUSY_TRADES_PER_MIN)
        busy = load.run(full, seconds=seconds).clean()
        desk.exchange("POST", "pause")
        asked_meanwhile = desk.provider("stats")["requests"]["total"] - asked
    return [
        at_least(
            f"the live page refreshed with its ETag, {CONNECTIONS} connections, "
            f"{unchanged.unchanged / unchanged.requests:.1%} of them 304",
            unchanged.per_second, GOAL_TAGGED_PER_S, "/s",
        ),
        at_most("  p99", unchanged.p99_ms, GOAL_P99_MS, "ms"),
        at_least("  the whole page", whole.per_second, GOAL_FULL_PER_S, "/s"),
        at_most("  its p99", whole.p99_ms, GOAL_P99_MS, "ms"),
        plain(f"  the whole page while {BUSY_TRADES_PER_MIN:,} trades/min change it", busy.per_second, "/s"),
        plain("  its p99", busy.p99_ms, "ms", decimals=1),
        at_most("  requests of the storm to the provider", asked_meanwhile, 0, "", decimals=0),
    ]  # fmt: skip


def prepared(desk: LiveDesk) -> dict[str, str]:
    """A page with trades and every price, and the headers of a browser that has it already."""
    desk.emit(TRADES)
    wait_until(
        lambda: (told := desk.get("/v1/feed")["prices"])["periods_fresh"] == told["periods_tradable"] > 0,
        timeout_s=120, what="every hour has its price",
    )  # fmt: skip
    with PageReader(desk.pages_url, "admin", desk.admin_password) as reader:

        def settled() -> str:
            """The tag, once it stays the same."""
            first, second = (answer.headers["etag"] for answer in (page(reader), page(reader)))
            return first if first == second else ""

        tag = wait_until(settled, timeout_s=60, what="the page is settled", every_s=0.2)
        return {"Cookie": reader.cookie, "If-None-Match": tag, "Accept-Encoding": "gzip"}


def page(reader: PageReader) -> httpx.Response:
    return reader.http.get(PATH).raise_for_status()


def load_of(desk: LiveDesk, headers: dict[str, str]) -> load.Load:
    return load.Load(
        desk.pages_url, CONNECTIONS, paths=(PATH,),
        headers={name: value for name, value in headers.items() if value},
    )  # fmt: skip
