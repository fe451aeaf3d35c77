"""The live desk over the really started product and its sandbox: what the exchange sends is booked once."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.e2e.test_report_everywhere import sign_in
from tests.support.engines import is_production
from tests.support.live_desk import BOOKED_S, LiveDesk, running
from tests.support.trades import BERLIN, as_csv, figures_of_day, report_figures, trade, unique
from tests.support.waiting import wait_until

BEFORE_SIX = datetime(2023, 2, 6, 4, 30, tzinfo=UTC)
QUIET = {"WATTBOOK_SANDBOX_EXCHANGE_TRADES_PER_MIN": "0", "WATTBOOK_INGEST_SETTLE_S": "0.2"}
# The drivers of PostgreSQL and RabbitMQ take their share.
MOST_MEMORY_BYTES = (1_100 if is_production() else 1_000) * 1024 * 1024


@pytest.fixture
def live(desk: LiveDesk) -> LiveDesk:
    """The shared desk, whose sandbox trades only when it is told to."""
    return desk


def test_the_sandbox_is_part_of_the_desk(live: LiveDesk) -> None:
    told = json.loads(live.run("status", "--data", str(live.data), "--json").stdout)

    names = [process["name"] for process in told["processes"]]
    assert names == [
        "supervisor", "trade-service", "pricing-service", "cash-service", "report-service", "gateway",
        "meter-service", "ingest-service", "sandbox-market-data", "sandbox-bank", "sandbox-exchange",
    ]  # fmt: skip
    assert told["healthy"] is True
    greeting = live.log.read_text()
    assert "  World        simulated by the sandbox; --no-sandbox goes without\n" in greeting
    assert f"  Exchange     ws://127.0.0.1:{live.port + 15} (sandbox; control" in greeting
    assert not (live.data / "stores" / "real-world").exists()


@pytest.mark.flow("Live trade")
def test_what_the_exchange_sends_is_booked_exactly_once_and_as_it_said(live: LiveDesk) -> None:
    ids = live.emit(300)

    booked = live.wait_booked(ids)

    sent = {trade["id"]: trade for trade in live.exchange("GET", "sent?limit=10000")["trades"]}
    for trade_id, served in booked.items():
        assert Decimal(served["price"]) == Decimal(str(sent[trade_id]["price"]))
        assert Decimal(served["quantity"]) == Decimal(str(sent[trade_id]["quantity"]))
        assert served["trader_id"] == sent[trade_id]["trader_id"]
        assert served["delivery_day"] == sent[trade_id]["delivery_day"]
    assert_reports_agree_with_trades(
        live, {(trade["trader_id"], trade["delivery_day"]) for trade in booked.values()}
    )
    shown = live.run("feed")
    assert shown.returncode == 0, shown
    assert f"ws://127.0.0.1:{live.port + 15}" in shown.stdout
    assert live.get("/v1/feed")["quarantined"] == 0


def assert_reports_agree_with_trades(live: LiveDesk, asked: set[tuple[str, str]]) -> None:
    """Every report equals a recomputation from the trades that are served."""
    with live.client() as admin:
        for trader_id, day in sorted(asked):
            trades = admin.trades(trader_id=trader_id, delivery_day=day)
            expected = figures_of_day(trades, date.fromisoformat(day))

            def agrees(asked_for: tuple[str, str] = (trader_id, day), expected: Any = expected) -> bool:
                return report_figures(admin.report(*asked_for)) == expected

            wait_until(agrees, timeout_s=BOOKED_S, what=f"the report of {trader_id}, {day} agrees")


@pytest.mark.flow("Reference price")
def test_what_was_traded_gets_the_prices_of_the_provider(live: LiveDesk) -> None:
    (trade,) = live.wait_booked(live.emit(1)).values()
    asked = {"trader_id": trade["trader_id"], "delivery_day": trade["delivery_day"]}

    def references(hours: list[dict[str, Any]], name: str) -> dict[str, Any]:
        return {each["delivery_start"]: each[name] for each in hours if each[name] is not None}

    def shown_beside_trades() -> bool:
        owned = live.get("/v1/reference-prices", delivery_day=trade["delivery_day"])["prices"]
        shown = live.get("/v1/reports/performance", **asked)["hours"]
        prices = references(owned, "value_eur_per_mwh")
        return bool(prices) and prices == references(shown, "reference_eur_per_mwh")

    wait_until(shown_beside_trades, timeout_s=60, what="the report has the reference prices")


@pytest.mark.flow("Live trade")
def test_a_dropped_connection_is_made_again_and_nothing_counts_twice(live: LiveDesk) -> None:
    before = live.get("/v1/feed")["listeners"][0]["connects"]
    first = live.emit(20)
    live.wait_booked(first)

    assert live.exchange("POST", "drop", who="all", how="abort")["connections"] == 1
    wait_until(
        lambda: live.get("/v1/feed")["listeners"][0]["connects"] == before + 1,
        timeout_s=BOOKED_S, what="ingest-service has connected again",
    )  # fmt: skip
    live.wait_listeners(1)

    live.wait_booked(first + live.emit(20))


@pytest.mark.flow("Live trade")
def test_an_unreadable_frame_is_kept_shown_and_dropped_by_name(live: LiveDesk) -> None:
    live.exchange("POST", "frame", text='{"weather": "fine"}')
    (item,) = wait_until(
        lambda: live.get("/v1/quarantine", state="open")["items"],
        timeout_s=BOOKED_S,
        what="it is quarantined",
    )

    number = str(item["id"])
    assert number in live.run("quarantine", "list").stdout
    assert '{"weather": "fine"}' in live.run("quarantine", "show", number).stdout
    assert live.run("quarantine", "replay", number).returncode == 2  # there is nothing to mend
    dropped = live.run("quarantine", "drop", number, "--reason", "no trade")
    assert dropped.returncode == 0, dropped
    assert live.get("/v1/quarantine", state="open") == {"items": [], "open": 0, "nodes_away": []}
    assert live.get(f"/v1/quarantine/{number}")["decided_by"] == "admin"
    live.wait_booked(live.emit(1))  # the connection went on


@pytest.mark.flow("Nightly file")
def test_the_nightly_file_recovers_what_the_feed_did_not_bring_and_says_so(live: LiveDesk) -> None:
    heard = live.emit(30)
    live.wait_booked(heard)
    withheld = live.emit(4, withhold=True)

    written = live.exchange("POST", "nightly-file")
    live.wait_archived(written["name"])

    live.wait_booked(heard + withheld)
    found = wait_until(
        lambda: (told := live.get(f"/v1/reconciliations/{written['day']}"))["reconciled"] and told,
        timeout_s=BOOKED_S, what="the day is tied out",
    )  # fmt: skip
    assert (found["recovered"], found["feed_only"], found["differing"]) == (4, 0, 0)
    assert found["in_both"] == written["rows"] - 4
    assert {(each["trade_id"], each["kind"]) for each in found["differences"]} == {
        (trade_id, "recovered") for trade_id in withheld
    }
    shown = live.run("reconcile", written["day"])
    assert shown.returncode == 0, shown
    assert "       4  recovered from the file" in shown.stdout


@pytest.mark.flow("Nightly file")
def test_a_file_that_says_something_else_is_shown_beside_what_was_heard_and_booked(live: LiveDesk) -> None:
    """Through the real gateway and book: odd spellings match, an open quote spoils no row but its own."""
    booked = live.wait_booked(live.emit(3))
    other, spelled, plain = booked.values()
    clients, off_tick = (trade(**{**plain, "id": unique()}) for _ in range(2))
    alone = trade(execution_time=plain["execution_time"])
    with live.client() as admin:
        admin.added(alone)
        assert admin.http.post("/v1/trades", json={**clients, "quantity": 0.1, "price": 7}).status_code == 200
    spelled |= {
        "price": f"{spelled['price']}.0",
        "execution_time": spelled["execution_time"].replace("Z", "+0000"),
    }
    rows = [
        {**other, "price": other["price"] + 1}, spelled,
        {**plain, "trader_id": '"trader_x', "id": unique("open")},
        plain, clients, {**off_tick, "quantity": "12.34"},
    ]  # fmt: skip

    name = f"epex_trades_{unique('x')}.csv"
    live.drop(name, as_csv(rows))
    live.wait_archived(name)

    day = datetime.fromisoformat(plain["execution_time"]).astimezone(BERLIN).date().isoformat()
    found = live.get(f"/v1/reconciliations/{day}")
    assert (found["file_name"], found["in_both"]) == (name, 2)
    said = {each["trade_id"]: each for each in found["differences"] if each["kind"] != "feed_only"}
    assert {trade_id: each["kind"] for trade_id, each in said.items()} == {
        other["id"]: "differs", clients["id"]: "corrected", off_tick["id"]: "recovered", "": "file_only",
    }  # fmt: skip
    differs = said[other["id"]]
    fields = ("trader_id", "delivery_day", "delivery_hour", "direction", "quantity", "execution_time")
    for side, price in (("file", other["price"] + 1), ("feed", other["price"])):
        assert differs[side]["price"] == price
        assert {name: differs[side][name] for name in fields} == {name: other[name] for name in fields}
    assert "row 3 is refused: not CSV" in said[""]["detail"]
    unconfirmed = {each["trade_id"] for each in found["unconfirmed_trades"]}
    assert alone["id"] in unconfirmed
    assert unconfirmed.isdisjoint([clients["id"], off_tick["id"], *booked])
    assert found["unconfirmed"] == len(unconfirmed)
    now = live.wait_booked([other["id"], clients["id"], off_tick["id"]])
    assert now[other["id"]]["price"] == other["price"]
    assert now[clients["id"]]["corrected"] is True
    assert {name: now[clients["id"]][name] for name in clients} == clients
    assert now[off_tick["id"]]["quantity"] == Decimal("12.34")
    shown = live.run("reconcile", day)
    assert shown.returncode == 2, shown
    assert "1  different" in shown.stdout
    assert alone["id"] in shown.stdout
    assert other["trader_id"] in shown.stdout


@pytest.mark.flow("Nightly file")
def test_a_file_that_comes_again_tells_what_it_corrected_and_what_the_book_has_otherwise(
    live: LiveDesk,
) -> None:
    """As after a kill amid the import, and of trades that the feed never heard."""
    day = live.get("/v1/feed")["last_trade"][:10]
    clients, unheard = (trade(id=unique(), execution_time=f"{day}T10:00:00Z") for _ in range(2))
    with live.client() as admin:
        admin.added(clients)
    corrected = {**clients, "price": clients["price"] + 1}
    first, second = [corrected, unheard], [corrected, {**unheard, "price": 1}]
    for rows in (first, second):
        name = f"epex_trades_{unique('x')}.csv"
        live.drop(name, as_csv(rows))
        live.wait_archived(name)

    found = live.get(f"/v1/reconciliations/{day}")

    said = {each["trade_id"]: each for each in found["differences"] if each["kind"] != "feed_only"}
    assert {trade_id: each["kind"] for trade_id, each in said.items()} == {
        clients["id"]: "corrected", unheard["id"]: "differs",
    }  # fmt: skip
    assert (found["corrected"], found["recovered"], found["differing"]) == (1, 0, 1)
    differs = said[unheard["id"]]
    assert (differs["booked"]["price"], differs["file"]["price"], differs["feed"]) == (
        unheard["price"],
        1,
        None,
    )


@pytest.mark.slow
@pytest.mark.flow("Reference price")
def test_a_killed_poller_comes_back_with_its_prices_and_what_is_left_of_its_budget(live: LiveDesk) -> None:
    day = live.provider("stats")["now"][:10]  # the hours that are tradable now may be tomorrow's only
    days = (day, (date.fromisoformat(day) + timedelta(days=1)).isoformat())

    def known() -> list[str]:
        asked = [live.get("/v1/reference-prices", delivery_day=each)["prices"] for each in days]
        return [price["delivery_start"] for prices in asked for price in prices]

    before = wait_until(known, timeout_s=BOOKED_S, what="there are prices")
    for _ in range(2):
        killed = live.pid_of("pricing-service")
        psutil.Process(killed).kill()
        wait_until(
            lambda died=killed: live.pid_of("pricing-service") not in {None, died}
            and live.get("/v1/feed")["prices"]["leader"],
            timeout_s=60, what="pricing-service polls again",
        )  # fmt: skip

    assert set(before) <= set(known())
    assert live.provider("stats")["violations"] == 0


@pytest.mark.slow
@pytest.mark.flow("Live trade")
def test_a_desk_without_the_sandbox_listens_to_what_the_environment_names(
    live: LiveDesk, tmp_path: Path
) -> None:
    outside = {
        "WATTBOOK_EXCHANGE_URLS": f"ws://127.0.0.1:{live.port + 15}",
        "WATTBOOK_MARKET_DATA_URL": f"http://127.0.0.1:{live.port + 17}/v1",
        "WATTBOOK_MARKET_DATA_MINUTE_LIMIT": "8",
    }
    with running(LiveDesk(tmp_path, environment=outside)) as other:
        live.wait_listeners(2)

        ids = live.emit(25)

        assert live.wait_booked(ids) == other.wait_booked(ids)
        assert other.get("/v1/feed")["listeners"][0]["frames"] == 25
        assert other.get("/v1/feed")["prices"]["last_success"]
        assert "  World        real\n" in other.log.read_text()
    assert (other.data / "stores" / "real-world").exists()  # so that no later start makes up trades
    live.wait_listeners(1)
    assert live.provider("stats")["violations"] == 0


@pytest.mark.slow
@pytest.mark.flow("Reference price")
def test_prices_arrive_each_cycle_without_one_request_too_many(tmp_path: Path) -> None:
    """Three cycles of ten minutes, a hundred and twenty times as fast."""
    clock = ("--clock-start", "2026-03-10T08:07:00+01:00", "--clock-speed", "120")
    with running(LiveDesk(tmp_path, *clock, environment=QUIET)) as desk:
        processes = json.loads(desk.run("status", "--data", str(desk.data), "--json").stdout)["processes"]
        assert sum(process["memory_bytes"] for process in processes) <= MOST_MEMORY_BYTES
        stats = wait_until(
            lambda: (said := desk.provider("stats")) and len(said["publications"]) >= 4 and said,
            timeout_s=60, what="four publications", every_s=0.5,
        )  # fmt: skip
        published = {each["cycle"] for each in stats["publications"]}

        def prices_of(day: str) -> list[dict[str, Any]]:
            return list(desk.get("/v1/reference-prices", delivery_day=day)["prices"])

        history = wait_until(
            lambda: _with_values(desk, prices_of("2026-03-11"), 2), timeout_s=60, what="prices of two cycles"
        )
        assert len({each["last_update"] for each in history}) >= 2
        assert len(published) >= 4
        last = desk.provider("stats")
        assert (last["violations"], last["minute"]["violations"], last["hour"]["violations"]) == (0, 0, 0)
        assert last["requests"]["by_status"].get("429", 0) == 0
        shown = desk.run("prices", "--day", "2026-03-11")
        assert "EUR/MWh" in shown.stdout, shown

        def shown_beside_trades() -> bool:
            """What the report measures against is what the owner of the prices says."""
            asked = {"trader_id": "trader_1", "delivery_day": "2026-03-11"}
            hours = desk.get("/v1/reports/performance", **asked)["hours"]
            known = {hour["delivery_start"]: hour["reference_eur_per_mwh"] for hour in hours}
            said = {each["delivery_start"]: each["value_eur_per_mwh"] for each in prices_of("2026-03-11")}
            return bool(said) and {start: known[start] for start in said} == said

        wait_until(shown_beside_trades, timeout_s=BOOKED_S, what="the report has the reference prices")
        live_report = desk.run("report", "trader_1", "--live", "--day", "2026-03-11")
        assert "How are we doing so far" in live_report.stdout, live_report
        assert "● no trades" in live_report.stdout


def _with_values(desk: LiveDesk, prices: list[dict[str, Any]], least: int) -> list[dict[str, Any]]:
    """The history of the first hour that had so many values."""
    for price in prices:
        history = desk.get(f"/v1/reference-prices/{price['delivery_start']}/history")["prices"]
        if len(history) >= least:
            return list(history)
    return []


@pytest.mark.slow
@pytest.mark.flow("Live trade")
def test_a_simulated_day_is_today_everywhere(tmp_path: Path) -> None:
    """An early morning, sixty times as fast: what is shown as now, today, age, lag and complete."""
    clock = ("--clock-start", BEFORE_SIX.isoformat(), "--clock-speed", "60")
    busy = {**QUIET, "WATTBOOK_SANDBOX_EXCHANGE_TRADES_PER_MIN": "20"}
    with running(LiveDesk(tmp_path, *clock, environment=busy)) as desk:

        def known() -> dict[str, Any] | None:
            """How the feed is, once a stretch of the day was heard without a gap."""
            found = {**desk.get("/v1/feed"), **desk.get("/v1/reconciliations/2023-02-06")}
            return found if found["last_trade"] and found["complete_to"] else None

        found = wait_until(known, timeout_s=BOOKED_S, what="trades of the simulated day")
        now = datetime.fromisoformat(desk.get("/healthz")["now"])
        assert BEFORE_SIX <= now < BEFORE_SIX + timedelta(hours=12)
        listener = found["listeners"][0]
        instants = {name: listener[name] for name in ("since", "last_frame")}
        instants |= {name: found[name] for name in ("last_trade", "complete_to")}
        for name, instant in instants.items():
            assert BEFORE_SIX <= datetime.fromisoformat(instant) <= now, name
        assert 0 <= found["lag_us"] < 60 * 10_000_000  # ten real seconds, on a busy machine
        today = desk.run("report", "trader_1", "--live", "--json")
        assert json.loads(today.stdout)["delivery_day"] == "2023-02-06"
        last = desk.run("feed").stdout.partition("Last trade ")[2]
        assert re.match(r"\d+ (s|min) ago", last), last
        with httpx.Client(base_url=desk.pages_url, timeout=20, trust_env=False) as pages:
            sign_in(pages, "admin", desk.admin_password)
            assert pages.get("/desk").headers["location"].startswith("/desk/2023-02-06")
            page = pages.get("/desk/2023-02-06").text
        course = re.search(r'data-course="(\d+) (\d+) 60"', page)
        assert course, page[:500]
        assert int(course[2]) == BEFORE_SIX.timestamp() * 1000
