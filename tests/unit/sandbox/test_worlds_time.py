"""The chance in simulated worlds, and their settings."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from sandbox.chance import bell, between, mixed
from sandbox.changes import changes_from_text
from sandbox.exchange import app as exchange_app
from sandbox.exchange.domain.faults import Faults
from sandbox.hosting import address_of, is_loopback
from sandbox.market_data import app as market_data_app
from sandbox.market_data.domain.faults import Faults as ProviderFaults
from wattbook.errors import InvalidInput
from wattbook.settings import SettingsError, load


def test_chance_repeats_itself_and_is_spread() -> None:
    assert mixed(1, 2, 3) == mixed(1, 2, 3) != mixed(1, 3, 2)
    drawn = [between(1, 6, 9, number) for number in range(6000)]
    assert all(800 < drawn.count(face) < 1200 for face in range(1, 7))
    bells = [bell(100, 9, number) for number in range(5000)]
    assert abs(sum(bells)) < 5000 * 5
    assert 80 < (sum(each * each for each in bells) / 5000) ** 0.5 < 120
    assert max(map(abs, bells)) < 400


def test_faults_are_given_as_text_at_the_start() -> None:
    changes = changes_from_text(" split=true, duplicate_rate=0.25 ,drop_times=3,drop_how=close,")

    faults = Faults().changed(changes)

    assert (faults.split, faults.duplicate_rate, faults.drop_times, faults.drop_how) == (
        True,
        0.25,
        3,
        "close",
    )


@pytest.mark.parametrize("text", ["split", "split=maybe", "nothing=1", "drop_times=1.5", "drop_how=softly"])
def test_a_fault_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        Faults().changed(changes_from_text(text))


@pytest.mark.parametrize("listen", ["8080", ":80", "host:", "host:99999", "host:x"])
def test_what_is_no_address_is_refused(listen: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        address_of(listen)


def test_loopback_is_recognised() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1:1", "[::1]:1", "localhost:1")] == [True] * 3
    assert [is_loopback(host) for host in ("0.0.0.0:1", "10.0.0.1:1", "example.org:1")] == [False] * 3


EXCHANGE = "WATTBOOK_SANDBOX_EXCHANGE_"
PROVIDER = "WATTBOOK_SANDBOX_MARKET_DATA_"


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (exchange_app.Settings, "WATTBOOK_CLOCK_START", "yesterday"),
        (exchange_app.Settings, "WATTBOOK_CLOCK_START", "2023-02-06T09:00:00"),
        (exchange_app.Settings, "WATTBOOK_CLOCK_SPEED", "0"),
        (exchange_app.Settings, f"{EXCHANGE}LISTEN", "8095"),
        (exchange_app.Settings, f"{EXCHANGE}CONTROL_LISTEN", "0.0.0.0:8096"),
        (exchange_app.Settings, f"{EXCHANGE}TRADES_PER_MIN", "-1"),
        (exchange_app.Settings, f"{EXCHANGE}ENVELOPE", "trade"),
        (exchange_app.Settings, f"{EXCHANGE}TIME_STYLE", "utc"),
        (exchange_app.Settings, f"{EXCHANGE}FRACTION_DIGITS", "2"),
        (exchange_app.Settings, f"{EXCHANGE}TRADERS", ","),
        (exchange_app.Settings, f"{EXCHANGE}FAULTS", "duplicate_rate=2"),
        (market_data_app.Settings, f"{PROVIDER}CONTROL_LISTEN", "10.0.0.1:1"),
        (market_data_app.Settings, f"{PROVIDER}PER_MINUTE", "0"),
        (market_data_app.Settings, f"{PROVIDER}LATEST_S", "nan"),
        (market_data_app.Settings, f"{PROVIDER}BASE", "v2"),
        (market_data_app.Settings, f"{PROVIDER}UNIT", "usd"),
        (market_data_app.Settings, f"{PROVIDER}NO_PRICE", "500"),
        (market_data_app.Settings, f"{PROVIDER}FAULTS", "fail_status=200"),
    ],
)
def test_a_wrong_setting_stops_the_start_and_is_named(kind: type[Any], name: str, value: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(kind, {f"{EXCHANGE}FILES": "somewhere", name: value})

    assert name.removeprefix("WATTBOOK_CLOCK") in str(refused.value)
    assert len(refused.value.problems) == 1


def test_the_readme_names_every_setting_and_every_fault() -> None:
    text = (Path(__file__).parents[3] / "sandbox" / "README.md").read_text()
    settings = [*fields(exchange_app.Settings), *fields(market_data_app.Settings)]

    assert set(re.findall(r"^\| `(WATTBOOK_\w+)` \|", text, flags=re.MULTILINE)) == {
        setting.metadata["env"] for setting in settings
    }
    for fault in (*fields(Faults), *fields(ProviderFaults)):
        assert f"`{fault.name}`" in text
