"""The exchange misbehaves and processes die: what a listener was handed is booked once, and shown.

One desk with its sandbox, two hundred times as fast as real time, and a second node that listens too, as in
production. Each test ends with everything that the exchange ever handed to a listener counted through to
the pages, so what one test breaks the next ones find.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from tests.integration.feed_world import FeedIngest
from tests.support import engines
from tests.support.live_desk import LiveDesk, running
from tests.support.live_faults import SETTINGS, assert_whole
from tests.support.pages import LIVE_PATH, TOTAL_SLOTS, figure
from tests.support.trades import as_csv, trade, unique
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.flow("Live trade"), pytest.mark.timeout(240)]
SPEED = 200
FILED: set[str] = set()  # booked from a nightly file, though no listener was handed them
DAY = "2026-03-10"
CLOCK = ("--clock-start", f"{DAY}T00:30:00+01:00", "--clock-speed", str(SPEED))
TEN_THOUSAND_A_REAL_MINUTE = 10_000 / SPEED  # trades a simulated minute


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDesk]:
    with running(
        LiveDesk(tmp_path_factory.mktemp("live"), "--sandbox", *CLOCK, environment=SETTINGS)
    ) as desk:
        yield desk


@pytest.fixture(scope="module")
def second(live: LiveDesk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeedIngest]:
    """Another node's listener, with a spool of its own."""
    node = FeedIngest(
        tmp_path_factory.mktemp("second"), SimpleNamespace(url=live.exchange_url), bus_url=live.bus_url,
        listeners=1, WATTBOOK_FEED_PING_S="0.5",
    )  # fmt: skip
    node.start()
    yield node
    node.close()


@pytest.fixture(autouse=True)
def mended(live: LiveDesk, second: FeedIngest) -> Iterator[None]:
    """Both listen when a test begins, and no fault is left of the one before."""
    live.faults()
    live.wait_listeners(2)
    yield
    live.exchange("POST", "pause")
    live.faults()


def heard(live: LiveDesk) -> int:
    return int(live.exchange("GET", "stats")["heard"])


def listening(live: LiveDesk) -> int:
    """The connections that the exchange has now."""
    return int(live.exchange("GET", "stats")["listeners"])


def wait_heard(live: LiveDesk, more: int, *, than: int | None = None) -> None:
    enough = (heard(live) if than is None else than) + more
    wait_until(lambda: heard(live) >= enough, timeout_s=90, what=f"{more} more trades are heard")


def test_two_listeners_that_each_miss_half_lose_nothing(live: LiveDesk) -> None:
    live.faults(split=True)
    live.emit(1000)

    assert {trade["listeners"] for trade in live.sent()[-1000:]} == {1}
    assert_whole(live)


def test_duplicated_and_reordered_frames_count_once(live: LiveDesk) -> None:
    before = live.exchange("GET", "stats")
    live.faults(duplicate_rate=0.3, reorder_rate=0.3, reorder_by=7)
    live.emit(1000)
    wait_until(lambda: live.exchange("GET", "stats")["held"] == 0, timeout_s=30, what="none is held back")

    after = live.exchange("GET", "stats")
    assert after["duplicated"] - before["duplicated"] > 200
    assert_whole(live)


def test_one_frame_in_a_hundred_malformed_is_set_aside_and_counted(
    live: LiveDesk, second: FeedIngest
) -> None:
    """Each node sets aside what it heard; what only the owner can refuse it refuses to each of them."""
    nodes_before = (live.get("/v1/feed")["quarantined"], second.status().quarantined)
    before = live.exchange("GET", "stats")["malformed"]
    live.faults(malformed_rate=0.01)
    live.emit(4000)
    noise = live.exchange("GET", "stats")["malformed"] - before
    assert noise >= 20

    def nodes() -> tuple[int, int]:
        return live.get("/v1/feed")["quarantined"], second.status().quarantined

    expected = tuple(count + noise for count in nodes_before)
    wait_until(lambda: nodes() == expected, timeout_s=30, what="all noise is set aside")
    assert_whole(live)
    assert nodes() == expected


def test_frozen_sockets_are_replaced(live: LiveDesk, second: FeedIngest) -> None:
    def connects() -> tuple[int, int]:
        return live.get("/v1/feed")["listeners"][0]["connects"], second.status().listeners[0].connects

    expected = tuple(count + 1 for count in connects())
    live.emit(100)
    live.exchange("POST", "freeze", who="all", pongs=False)
    wait_until(lambda: connects() == expected, timeout_s=30, what="both have connected again")

    ids = live.emit(100)

    live.exchange("POST", "thaw")
    by_id = {trade["id"]: trade["listeners"] for trade in live.sent()[-100:]}
    assert set(by_id) == set(ids)
    assert set(by_id.values()) == {2}
    assert_whole(live)


def test_a_hundred_drops_in_an_hour_of_trading_cost_nothing_that_was_heard(live: LiveDesk) -> None:
    before = live.exchange("GET", "stats")
    live.faults(drop_every_s=36, drop_times=100)
    live.exchange("POST", "rate", trades_per_min=100)
    wait_until(
        lambda: live.exchange("GET", "stats")["drops_left"] == 0,
        timeout_s=150, what="100 drops", most_s=0.2,
    )  # fmt: skip
    live.exchange("POST", "pause")
    wait_until(lambda: listening(live) == 2, timeout_s=60, what="both have connected again")

    after = live.exchange("GET", "stats")
    assert after["drops"] - before["drops"] == 100
    assert (
        after["connections_dropped"]
        == after["connections"] - before["connections"] + before["connections_dropped"]
    )
    assert after["heard"] - before["heard"] > 2000
    assert_whole(live)


def test_killed_processes_cost_nothing_that_was_heard(live: LiveDesk, second: FeedIngest) -> None:
    """Each service twice, in a random order at random moments; of the listeners one is always there."""
    chance = random.Random(5)
    victims = ["ingest-service", "trade-service", "report-service", "pricing-service", "second"] * 2
    chance.shuffle(victims)
    live.exchange("POST", "rate", trades_per_min=TEN_THOUSAND_A_REAL_MINUTE)
    for victim in victims:
        wait_heard(live, chance.randint(20, 150))
        if victim == "second":
            second.kill()
            second.start()
        else:
            live.kill(victim)
        if victim in {"ingest-service", "second"}:
            wait_until(
                lambda: live.exchange("GET", "stats")["listeners"] == 2, timeout_s=60, what="both listen"
            )
    wait_heard(live, 150)
    live.exchange("POST", "pause")

    live.wait_ready()
    assert_whole(live)


def test_a_bus_that_takes_nothing_delays_and_loses_nothing(live: LiveDesk) -> None:
    live.emit(10)
    with engines.held(live.bus_url):
        booked = len(booked_ids(live))
        live.emit(500)
        wait_until(
            lambda: live.get("/v1/feed")["outbox_depth"] > 0 and not live.get("/v1/feed")["spool_depth"],
            timeout_s=30, what="the outbox holds",
        )  # fmt: skip
        assert len(booked_ids(live)) <= booked + 10

    assert_whole(live)


def booked_ids(live: LiveDesk) -> list[str]:
    with live.client() as admin:
        return [trade["id"] for trade in admin.trades()]


@pytest.mark.flow("Nightly file")
def test_a_kill_amid_the_tie_out_changes_nothing_of_its_result(live: LiveDesk) -> None:
    """Rows that the owner refuses are no trades that the file recovered."""
    spooled = live.get("/v1/feed")["frames"]
    heard_ids = live.emit(6000)
    wait_until(
        lambda: live.get("/v1/feed")["frames"] == spooled + 6000, timeout_s=60, what="all frames are on disk"
    )
    withheld = live.emit(40, withhold=True)
    of_file = {*heard_ids, *withheld}
    rows = [trade for trade in live.sent() if trade["id"] in of_file]
    other_content = [trade(id=unique("c"), price=100) for _ in range(3)]
    with live.client() as admin:
        for each in other_content:
            admin.added(each)
    corrected = [{**each, "price": 101} for each in other_content]
    refused = [
        trade(delivery_day="2026-03-29", delivery_hour=2),  # no such hour
        {**trade(), "quantity": 0},
    ]
    name = f"epex_trades_{unique('20260310')}.csv"

    live.drop(name, as_csv([*rows[:3000], *corrected, *refused, *rows[3000:]]))
    kill_amid_tie_out(live)
    live.wait_archived(name, timeout_s=60)

    found = wait_until(
        lambda: (told := live.get(f"/v1/reconciliations/{DAY}"))["reconciled"] and told,
        timeout_s=60, what="the day is tied out",
    )  # fmt: skip
    assert (found["in_both"], found["recovered"], found["corrected"], found["differing"]) == (6000, 40, 3, 0)
    from_file = {
        each["trade_id"] for each in found["differences"] if each["kind"] in ("recovered", "corrected")
    }
    assert from_file == {*withheld, *(each["id"] for each in corrected)}
    assert (live.rejected / name).read_text().count("\n") == 1 + len(refused)
    FILED.update(withheld)
    assert_whole(live, filed=FILED)


def kill_amid_tie_out(live: LiveDesk) -> None:
    """``kill -9`` of ingest-service when it has compared some of a file's rows and not all."""
    store = live.store_url("ingest")
    query = (
        "SELECT EXISTS (SELECT 1 FROM feed_trades WHERE tied_run > 0)"
        " AND NOT EXISTS (SELECT 1 FROM reconciliations)"
    )

    def is_amid() -> bool:
        return bool(engines.stored_rows(store, query)[0][0])

    def held_up() -> bool:
        """Holds the comparison up, so that the kill is amid it however slow this machine is."""
        if not is_amid():
            return False
        with engines.locked(store):
            is_still = is_amid()
            if is_still:
                live.kill("ingest-service")
        return is_still

    wait_until(held_up, timeout_s=60, what="the file is being compared", every_s=0.001, most_s=0.002)


def test_a_browser_that_was_offline_while_reports_died_shows_what_is_booked(
    live: LiveDesk, page: Page
) -> None:
    trade_day = live.sent()[-1]
    trader_id, day = trade_day["trader_id"], trade_day["delivery_day"]
    page.goto(f"{live.pages_url}/sign-in")
    page.fill("#username", "admin")
    page.fill("#password", live.admin_password)
    page.click("form.card button")
    page.wait_for_url(lambda url: "/sign-in" not in url)
    page.add_init_script("delete window.SharedWorker;")  # whose network a test cannot cut
    page.goto(live.pages_url + LIVE_PATH.format(trader_id=trader_id, day=day))
    page.wait_for_selector("body.live")
    page.evaluate("window.sameDocument = true")

    page.context.set_offline(True)
    live.emit(200)
    live.kill("report-service")
    live.emit(200)
    live.wait_ready()
    page.context.set_offline(False)

    def shown() -> dict[str, object]:
        texts = {
            name: page.inner_text(f'[data-slot="{slot}"]', timeout=5_000)
            for name, slot in TOTAL_SLOTS.items()
        }
        return {name: figure(text) for name, text in texts.items()}

    def reported() -> dict[str, object]:
        total = live.get("/v1/reports/performance", trader_id=trader_id, delivery_day=day)["total"]
        return {name: total[name] for name in TOTAL_SLOTS}

    assert_whole(live, filed=FILED)
    wait_until(lambda: shown() == reported(), timeout_s=60, what="the page shows what is reported")
    assert page.evaluate("window.sameDocument") is True
