"""The outside world of one start: an exchange and a market data provider, real, simulated, or none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlsplit

from wattbook_cli.domain.desk import (
    EXCHANGE,
    EXCHANGE_CONTROL,
    MARKET_DATA,
    MARKET_DATA_CONTROL,
    Addresses,
)
from wattbook_cli.domain.stops import Stop

EXCHANGE_URLS = "WATTBOOK_EXCHANGE_URLS"
MARKET_DATA_URL = "WATTBOOK_MARKET_DATA_URL"
CLOCK_START, CLOCK_SPEED, CLOCK_ANCHOR = (
    "WATTBOOK_CLOCK_START",
    "WATTBOOK_CLOCK_SPEED",
    "WATTBOOK_CLOCK_ANCHOR",
)


@dataclass(frozen=True, slots=True)
class Outside:
    """Whom a desk listens to and asks; ``""`` where there is none. ``clock`` is told to who reads it.

    Addresses are kept out of ``repr``: one may hold a password.
    """

    exchange_urls: str = field(default="", repr=False)
    market_data_url: str = field(default="", repr=False)
    has_sandbox: bool = False
    clock: Mapping[str, str] = field(default_factory=dict)

    def shown(self, addresses: Addresses) -> list[str]:
        """Lines that say who they are."""
        if self.has_sandbox:
            controls = (addresses.listen(EXCHANGE_CONTROL), addresses.listen(MARKET_DATA_CONTROL))
            exchange, provider = (f" (sandbox; control http://{control}/control)" for control in controls)
        else:
            exchange = provider = ""
        urls = [without_secrets(url) for url in self.exchange_urls.split(",") if url.strip()]
        lines = [f"  Exchange     {url}{exchange}" for url in urls]
        if self.market_data_url:
            lines.append(f"  Market data  {without_secrets(self.market_data_url)}{provider}")
        return lines


def outside(
    *, base: int, has_sandbox: bool, clock: Mapping[str, str], environment: Mapping[str, str]
) -> Outside:
    """The sandbox, or whatever the environment names.

    Raises:
        Stop: a simulated clock without a simulated world: the provider counts real minutes.
    """
    if has_sandbox:
        addresses = Addresses(base, has_sandbox=True)
        return Outside(
            exchange_urls=f"ws://{addresses.listen(EXCHANGE)}",
            market_data_url=f"http://{addresses.listen(MARKET_DATA)}",
            has_sandbox=True,
            clock=clock,
        )
    if clock:
        raise Stop(
            "a simulated clock is for the sandbox only: give --sandbox, or leave out --clock-start and "
            "--clock-speed (and the WATTBOOK_CLOCK_ variables)"
        )
    return Outside(
        exchange_urls=environment.get(EXCHANGE_URLS, "").strip(),
        market_data_url=environment.get(MARKET_DATA_URL, "").strip(),
    )


def simulated_clock(
    *, start: str | None, speed: float | None, environment: Mapping[str, str], now: datetime
) -> dict[str, str]:
    """The clock's settings, what was said before what the environment says; none where nobody wants one.

    The anchor is the same for all processes of a start, so that they tell the same time also after one of
    them is restarted.

    Raises:
        Stop: the start is no instant.
    """
    told = {
        CLOCK_START: (environment.get(CLOCK_START, "") if start is None else start).strip(),
        CLOCK_SPEED: environment.get(CLOCK_SPEED, "").strip() if speed is None else f"{speed:g}",
        CLOCK_ANCHOR: environment.get(CLOCK_ANCHOR, "").strip() or now.isoformat(),
    }
    if not (told[CLOCK_START] or told[CLOCK_SPEED]):
        return {}
    if told[CLOCK_START]:
        told[CLOCK_START] = _instant(told[CLOCK_START])
    return {name: value for name, value in told.items() if value}


def without_secrets(url: str) -> str:
    """An address without user, password and query."""
    parts = urlsplit(url.strip())
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _instant(text: str) -> str:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise Stop(f"{text!r} is no instant; say 2023-02-28T08:00+01:00") from None
    if instant.tzinfo is None:
        raise Stop(f"{text!r} does not say its offset from UTC; say {text}Z or {text}+01:00")
    return instant.isoformat()
