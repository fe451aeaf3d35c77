"""pricing-service as a process against the sandbox's provider, both in one simulated time."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pricing_service.app import Settings, build
from wattbook import rpc
from wattbook.bus import Message, open_bus
from wattbook.bus.topology import PRICING_SERVICE
from wattbook.errors import InvalidInput
from wattbook_proto import events_pb2, prices_pb2, prices_pb2_grpc, trades_pb2

from tests.integration.pricing_process import (
    FIRST_HOUR_S,
    PricingProcess,
    ProviderProcess,
    Time,
    closing,
)
from tests.integration.trade_process import Caller, TradeProcess, stated
from tests.support import engines
from tests.support.ports import free_port
from tests.support.waiting import wait_until

HOURS = [FIRST_HOUR_S + 3600 * index for index in range(24)]


def cycles_out(provider: ProviderProcess) -> int:
    return len(provider.stats()["publications"])


def wait_cycles(provider: ProviderProcess, count: int, *, time: Time) -> None:
    """Until so many more cycles are out."""
    goal = cycles_out(provider) + count
    timeout_s = 650 * count / time.speed + 20
    wait_until(lambda: cycles_out(provider) >= goal, timeout_s=timeout_s, what="cycles are out", most_s=0.2)


def assert_within_limits(provider: ProviderProcess) -> None:
    stats = provider.stats()
    assert stats["violations"] == 0, stats["minute"]
    assert stats["minute"]["most_asked_in_any"] <= 50
    assert stats["hour"]["most_asked_in_any"] <= 1000


@pytest.mark.slow
@pytest.mark.parametrize("base", ["", "/v1"])
def test_prices_are_fetched_kept_and_told(tmp_path: Path, base: str) -> None:
    time = Time(speed=120)
    provider = ProviderProcess(
        tmp_path, time, base="v1" if base else "bare", unit="mixed", time_style="mixed"
    )
    provider.start()
    service = PricingProcess(tmp_path, time, url=provider.url + base)
    bus = open_bus(service.bus_url)
    subscription = bus.subscribe(["price.updated"], group="test")
    with closing(service, provider):
        service.start()
        service.watch(*HOURS)
        wait_until(service.is_all_fresh, timeout_s=30, what="all is fetched once")
        wait_cycles(provider, 2, time=time)
        wait_until(lambda: len(service.history(HOURS[4])) >= 3, timeout_s=30, what="two more cycles are had")

        history, day, status = service.history(HOURS[4]), service.day(), service.status()
        published = {known["stamped"][:19] for known in provider.stats()["publications"]}
        assert_within_limits(provider)
        assert service.signal(signal.SIGTERM) == 0

    assert [price.delivery_start_s for price in history] == [HOURS[4]] * len(history)
    stamps = [price.last_update_us for price in history]
    assert stamps == sorted(set(stamps))
    for price in history:
        stamped = datetime.fromtimestamp(price.last_update_us // 1_000_000, UTC)
        assert stamped.isoformat()[:19] in published
        assert price.cycle_start_s % 600 == 0
        assert 0 <= price.last_update_us // 1_000_000 - price.cycle_start_s <= 31
        assert price.fetched_time_us > price.last_update_us
    assert [price.delivery_start_s for price in day.prices] == HOURS[:13]
    assert status.leader
    assert status.trouble == ""
    assert status.periods_tradable in {36, 37}
    assert status.minute_budget_left <= 50
    assert 700 < status.hour_budget_left < 1000

    told: list[Any] = []
    for deliveries in iter(lambda: subscription.receive(timeout_s=0.3), []):
        for delivery in deliveries:
            told += events_pb2.PricesUpdated.FromString(delivery.message.body).prices
        subscription.ack(deliveries)
    subscription.close()
    bus.close()
    assert [price.price_seq for price in told] == list(range(1, len(told) + 1))
    assert len(told) >= day.as_of_seq > 0
    log = service.log()
    assert "Traceback" not in log


@pytest.mark.slow
def test_a_kill_keeps_the_budget_spent_and_every_request_was_written_down_first(tmp_path: Path) -> None:
    time = Time(speed=120)
    provider = ProviderProcess(tmp_path, time).start()
    service = PricingProcess(tmp_path, time, url=f"{provider.url}/v1")
    rng = Random(3)
    with closing(service, provider):
        service.start()
        for _ in range(5):
            before = provider.stats()["requests"]["total"]
            wait_until(
                lambda before=before: provider.stats()["requests"]["total"] > before or rng.random() < 0.02,
                timeout_s=30,
                what="it asks",
            )
            service.signal(signal.SIGKILL)
            asked = provider.stats()["requests"]["total"]
            service.launch()
            spent = service.rows("SELECT last_request FROM polling")[0][0]
            assert asked <= spent
        service.signal(signal.SIGKILL)
        spent = service.rows("SELECT count(*) FROM spent")[0][0]

        service.start()
        left = service.status().hour_budget_left
        wait_until(service.is_all_fresh, timeout_s=60, what="all is fetched after all")

        assert left <= 1000 - spent + 5
        assert_within_limits(provider)
        assert service.signal(signal.SIGTERM) == 0


@pytest.mark.slow
def test_of_two_replicas_one_polls_and_the_other_takes_over(tmp_path: Path) -> None:
    time = Time(speed=120)
    provider = ProviderProcess(tmp_path, time).start()
    replicas = [PricingProcess(tmp_path, time, url=provider.url, name=f"pricing{index}") for index in (1, 2)]
    with closing(*replicas, provider):
        for replica in replicas:
            replica.start()
        replicas[1].watch(*HOURS)
        wait_until(replicas[0].is_all_fresh, timeout_s=30, what="all is fetched")
        assert sum(replica.status().leader for replica in replicas) == 1

        for how in (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP):
            leader = next(replica for replica in replicas if replica.status().leader)
            other = next(replica for replica in replicas if replica is not leader)
            assert leader.process is not None
            if how == signal.SIGSTOP:
                leader.process.send_signal(how)
            else:
                leader.signal(how)
            wait_until(lambda other=other: other.status().leader, timeout_s=20, what="the other polls")
            wait_cycles(provider, 1, time=time)
            wait_until(other.is_all_fresh, timeout_s=30, what="the other has the next cycle")
            if how == signal.SIGSTOP:
                leader.process.send_signal(signal.SIGCONT)
                wait_until(
                    lambda leader=leader: not leader.status().leader,
                    timeout_s=20,
                    what="it knows that it is deposed",
                )
                assert other.status().leader
            else:
                leader.start()
        wait_cycles(provider, 1, time=time)

        assert_within_limits(provider)
        assert [replica.signal(signal.SIGTERM) for replica in replicas] == [0, 0]


@pytest.mark.slow
def test_whatever_the_provider_does_prices_stay_and_limits_hold(tmp_path: Path) -> None:
    """Down for 20 minutes, wrong units, nulls, a storm of 429, garbage, a clock a minute off, in turn."""
    time = Time(speed=120)
    provider = ProviderProcess(tmp_path, time).start()
    service = PricingProcess(tmp_path, time, url=provider.url)
    with closing(service, provider):
        service.start()
        service.watch(*HOURS)
        wait_until(service.is_all_fresh, timeout_s=30, what="all is fetched")
        before = {price.delivery_start_s: price for price in service.day().prices}

        def endure(cycles: int, **faults: Any) -> str:
            provider.faults(**faults)
            wait_cycles(provider, cycles, time=time)
            trouble = service.status().trouble
            kept = {price.delivery_start_s: price for price in service.day().prices}
            assert kept.keys() >= before.keys(), "never blanked"
            provider.faults()
            return trouble

        assert "503" in endure(2, fail_rate=1.0)
        assert "unit" in endure(1, wrong_unit="ct/kwh")
        newest_us = max(price.last_update_us for price in service.day().prices)
        assert endure(1, null_rate=1.0) == ""
        wait_until(
            lambda: max(price.last_update_us for price in service.day().prices) > newest_us,
            timeout_s=30,
            what="the price is there again",
        )
        endure(1, fail_rate=0.5, fail_status=429)
        endure(1, garbage_rate=0.5, break_rate=0.2)
        for skew_s in (60.0, -60.0):
            provider.faults(skew_s=skew_s)
            wait_cycles(provider, 2, time=time)
        provider.faults()
        wait_cycles(provider, 1, time=time)

        wait_until(service.is_all_fresh, timeout_s=60, what="all is fetched after all")
        assert service.status().trouble == ""
        told = provider.requests()
        values = service.rows("SELECT DISTINCT value_eur_per_mwh FROM prices")
        assert_within_limits(provider)
        assert service.signal(signal.SIGTERM) == 0

    assert all(abs(float(value)) < 10_000 for (value,) in values)
    assert sum(asked["status"] == 429 for asked in told if asked["note"] == "over the limit") == 0


@pytest.mark.slow
def test_a_provider_that_is_gone_and_comes_back_is_asked_again_soon(tmp_path: Path) -> None:
    time = Time(speed=60)
    provider = ProviderProcess(tmp_path, time).start()
    service = PricingProcess(tmp_path, time, url=provider.url)
    with closing(service, provider):
        service.start()
        wait_until(service.is_all_fresh, timeout_s=30, what="all is fetched")
        seen = service.status().cycle_start_s
        provider.signal(signal.SIGKILL)
        wait_until(lambda: service.status().trouble, timeout_s=30, what="the trouble is known")

        provider.start()

        wait_until(
            lambda: service.status().cycle_start_s > seen and service.is_all_fresh(),
            timeout_s=40,
            what="a newer cycle is had",
        )
        assert service.status().trouble == ""


@pytest.mark.slow
def test_what_is_traded_is_learned_from_the_bus_and_fetched_first(tmp_path: Path) -> None:
    time = Time(speed=60)
    provider = ProviderProcess(tmp_path, time).start()
    service = PricingProcess(tmp_path, time, url=provider.url)
    with closing(service, provider):
        service.start()
        last_hour_s = HOURS[0] + 36 * 3600
        trade = trades_pb2.BookedTrade(
            booking_seq=1, area="DE", delivery_start_s=last_hour_s, delivery_minutes=60
        )
        bus = open_bus(service.bus_url)
        bus.declare([PRICING_SERVICE])  # the service is ready before its consumer has subscribed
        body = events_pb2.TradesBooked(trades=[trade]).SerializeToString()
        bus.publish([Message(type="trade.booked", body=body, occurred_at=datetime.now(UTC))])
        bus.close()

        wait_until(
            lambda: service.rows("SELECT * FROM wishes WHERE is_traded") == [(last_hour_s, 1, 0)],
            timeout_s=20,
            what="it is known to be traded",
        )
        wait_until(service.is_all_fresh, timeout_s=30, what="all is fetched once")
        known = provider.stats()["requests"]["total"]
        wait_cycles(provider, 1, time=time)
        wait_until(service.is_all_fresh, timeout_s=30, what="the next cycle is had")

        first = provider.requests(after_seq=known)[0]
        assert first["delivery_hour"] == "23-24", "the traded hour is looked at for the next cycle"


@pytest.mark.slow
def test_what_was_traded_before_is_learned_from_trade_service(tmp_path: Path) -> None:
    """Booked before, since no event of it comes any more; and its owner away when the service starts."""
    time = Time(speed=60)
    target = f"127.0.0.1:{free_port()}"
    service = PricingProcess(
        tmp_path, time, url=f"http://127.0.0.1:{free_port()}", WATTBOOK_TRADE_TARGET=target
    )
    another = engines.bus_url(tmp_path / "another")
    trades = TradeProcess(tmp_path, WATTBOOK_TRADE_LISTEN=target, WATTBOOK_BUS_URL=another)
    trades.target = target
    with closing(service, trades):
        trades.start()
        caller = Caller(target)
        caller.book(stated("t_1", delivery_day="2023-02-07", delivery_hour=0))
        caller.close()
        trades.signal(signal.SIGKILL)
        service.start()
        wait_until(lambda: "a first step waits" in service.log(), timeout_s=60, what="it asked in vain")

        trades.start()

        wait_until(
            lambda: service.rows("SELECT delivery_start_s FROM wishes") == [(FIRST_HOUR_S + 13 * 3600,)],
            timeout_s=60,
            what="trade-service was asked once it was there",
        )


@pytest.fixture
def caller(tmp_path: Path) -> Iterator[Any]:
    app = build(
        Settings(
            store_url=engines.store_url(tmp_path, "pricing"),
            bus_url=engines.bus_url(tmp_path),
            market_data_url=f"http://127.0.0.1:{free_port()}",
            listen="127.0.0.1:0",
            open_walls=True,
        )
    )
    channel = rpc.channel(f"127.0.0.1:{app.start()}")
    yield prices_pb2_grpc.PricesStub(channel)
    channel.close()
    app.stop()


def test_questions_that_make_no_sense_are_refused_and_others_answered_empty(caller: Any) -> None:
    for day in ("", "2023-2-6", "20230206", "2023-02-30", "1700-01-01"):
        with pytest.raises(InvalidInput):
            rpc.call(caller.Day, prices_pb2.DayRequest(delivery_day=day))
    with pytest.raises(InvalidInput):
        rpc.call(caller.Day, prices_pb2.DayRequest(delivery_day="2023-02-06", area="XX"))
    with pytest.raises(InvalidInput):
        rpc.call(caller.History, prices_pb2.HistoryRequest(area="XX"))
    for starts in ([FIRST_HOUR_S + 1], [2**62], [FIRST_HOUR_S] * 201):
        with pytest.raises(InvalidInput):
            rpc.call(caller.Watch, prices_pb2.WatchRequest(delivery_start_s=starts))

    assert (
        rpc.call(caller.Day, prices_pb2.DayRequest(delivery_day="2023-02-06", area="FR"))
        == prices_pb2.DayReply()
    )
    assert (
        rpc.call(caller.History, prices_pb2.HistoryRequest(delivery_start_s=5)) == prices_pb2.HistoryReply()
    )
    assert rpc.call(caller.Watch, prices_pb2.WatchRequest(delivery_start_s=HOURS)) == prices_pb2.WatchReply()
    wait_until(
        lambda: "reached" in rpc.call(caller.Status, prices_pb2.StatusRequest()).trouble,
        timeout_s=20,
        what="it is known that the provider is not there",
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"WATTBOOK_MARKET_DATA_URL": ""}, "WATTBOOK_MARKET_DATA_URL"),
        ({"WATTBOOK_MARKET_DATA_URL": "ftp://x"}, "WATTBOOK_MARKET_DATA_URL"),
        ({"WATTBOOK_PRICING_STORE_URL": ""}, "WATTBOOK_PRICING_STORE_URL"),
        ({"WATTBOOK_MARKET_DATA_MINUTE_LIMIT": "0"}, "WATTBOOK_MARKET_DATA_MINUTE_LIMIT"),
        ({"WATTBOOK_MARKET_DATA_HOUR_LIMIT": "many"}, "WATTBOOK_MARKET_DATA_HOUR_LIMIT"),
        ({"WATTBOOK_CLOCK_SPEED": "-1"}, "WATTBOOK_CLOCK"),
        ({"WATTBOOK_CLOCK_START": "2023-02-06"}, "WATTBOOK_CLOCK"),
    ],
)
def test_a_wrong_setting_stops_the_start_and_is_named(
    tmp_path: Path, changes: dict[str, str], named: str
) -> None:
    service = PricingProcess(tmp_path, Time(speed=1), url="http://127.0.0.1:9", **changes)
    with closing(service):
        assert service.launch().wait(30) == 78
        assert named in service.log()
        assert "Traceback" not in service.log()


@pytest.mark.slow
def test_a_port_in_use_or_a_store_that_cannot_be_opened_is_one_clear_line(tmp_path: Path) -> None:
    service = PricingProcess(tmp_path, Time(speed=1), url="http://127.0.0.1:9")
    host, _, port = service.target.rpartition(":")
    with closing(service), socket.create_server((host, int(port))):
        assert service.launch().wait(30) == 1
        assert (
            service.log()
            .strip()
            .splitlines()[-1]
            .startswith(f"pricing-service: cannot listen on {service.target}")
        )

    (tmp_path / "file").write_text("")
    elsewhere = {"WATTBOOK_PRICING_STORE_URL": f"sqlite:///{tmp_path}/file/pricing.db"}
    other = PricingProcess(tmp_path, Time(speed=1), url="http://127.0.0.1:9", name="other", **elsewhere)
    with closing(other):
        assert other.launch().wait(30) == 1
        assert "cannot be opened" in other.log()
        assert "Traceback" not in other.log()
