"""The outside world of one start: an exchange, a market data provider, a bank: real, simulated, or none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlsplit

from wattbook.periods import FIRST_DAY, LAST_DAY

from wattbook_cli.domain.desk import (
    BANK,
    BANK_CONTROL,
    EXCHANGE,
    EXCHANGE_CONTROL,
    MARKET_DATA,
    MARKET_DATA_CONTROL,
    Addresses,
)
from wattbook_cli.domain.stops import Stop

EXCHANGE_URLS = "WATTBOOK_EXCHANGE_URLS"
MARKET_DATA_URL = "WATTBOOK_MARKET_DATA_URL"
BANK_URL = "WATTBOOK_BANK_URL"
CLOCK_START, CLOCK_SPEED, CLOCK_ANCHOR = (
    "WATTBOOK_CLOCK_START",
    "WATTBOOK_CLOCK_SPEED",
    "WATTBOOK_CLOCK_ANCHOR",
)


@dataclass(frozen=True, slots=True)
class Outside:
    """Whom a desk listens to and asks; ``""`` where there is none. ``clock`` is told to who reads it.

    Addresses are kept out of ``repr``: one may hold a password. ``note`` is what a person should know of it.
    """

    exchange_urls: str = field(default="", repr=False)
    market_data_url: str = field(default="", repr=False)
    has_sandbox: bool = False
    clock: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    bank_url: str = field(default="", repr=False)

    @property
    def is_real(self) -> bool:
        """Whether what comes in is meant to count."""
        return not self.has_sandbox and bool(self.exchange_urls or self.market_data_url or self.bank_url)

    def shown(self, addresses: Addresses) -> list[str]:
        """Lines that say which world it is, and who is in it."""
        lines = [f"  World        {self._world()}"]
        if self.note:
            lines.append(f"               {self.note}")
        if not (self.has_sandbox or self.is_real):
            return lines
        exchange = provider = bank = ""
        if self.has_sandbox:
            controls = (
                addresses.listen(each) for each in (EXCHANGE_CONTROL, MARKET_DATA_CONTROL, BANK_CONTROL)
            )
            exchange, provider, bank = (f" (sandbox; control http://{each}/control)" for each in controls)
        urls = [without_secrets(url) for url in self.exchange_urls.split(",") if url.strip()]
        lines += [f"  Exchange     {url}{exchange}" for url in urls or [f"none: {EXCHANGE_URLS} names one"]]
        url = without_secrets(self.market_data_url) or f"none: {MARKET_DATA_URL} names one"
        lines.append(f"  Market data  {url}{provider}")
        url = without_secrets(self.bank_url) or f"none: {BANK_URL} names one"
        return [*lines, f"  Bank         {url}{bank}"]

    def _world(self) -> str:
        if self.has_sandbox:
            return f"simulated by the sandbox{_course(self.clock)}; --no-sandbox goes without"
        return (
            "real"
            if self.is_real
            else "none: no exchange is listened to, nobody is asked for prices or payments"
        )


def outside(
    *,
    base: int,
    has_sandbox: bool | None,
    clock: Mapping[str, str],
    environment: Mapping[str, str],
    was_real: bool = False,
) -> Outside:
    """The sandbox, or whatever the environment names.

    ``has_sandbox`` None: the sandbox unless the environment names anybody, since prices made up beside real
    trades would mislead; and unless this desk had anything real before (``was_real``), since trades and
    payments made up must not get into its books by a variable forgotten.

    Raises:
        Stop: a simulated clock without a simulated world: the provider counts real minutes.
    """
    named = {name: environment.get(name, "").strip() for name in (EXCHANGE_URLS, MARKET_DATA_URL, BANK_URL)}
    is_named = any(named.values())
    if has_sandbox is None:
        has_sandbox = not (is_named or was_real)
    if has_sandbox:
        ignored = " and ".join(name for name, value in named.items() if value)
        return _simulated(base, clock, ignored=ignored, makes_payments=not was_real)
    if clock:
        raise Stop(
            "a simulated clock is for the sandbox only: give --sandbox, or leave out --clock-start and "
            "--clock-speed (and the WATTBOOK_CLOCK_ variables)"
        )
    return Outside(
        exchange_urls=named[EXCHANGE_URLS],
        market_data_url=named[MARKET_DATA_URL],
        bank_url=named[BANK_URL],
        note="" if is_named or not was_real else _WAS_REAL,
    )


def _simulated(base: int, clock: Mapping[str, str], *, ignored: str, makes_payments: bool) -> Outside:
    """``makes_payments`` False: nobody follows the bank; a balance cannot tell which payments are made up."""
    addresses = Addresses(base, has_sandbox=True)
    return Outside(
        exchange_urls=f"ws://{addresses.listen(EXCHANGE)}",
        market_data_url=f"http://{addresses.listen(MARKET_DATA)}",
        bank_url=f"http://{addresses.listen(BANK)}" if makes_payments else "",
        has_sandbox=True,
        clock=clock,
        note=f"{ignored} not used, since --sandbox was given" if ignored else "",
    )


_WAS_REAL = "an earlier start of this data folder had a real one; --sandbox simulates one all the same"


def _course(clock: Mapping[str, str]) -> str:
    """When a simulated day began, and how fast it runs."""
    start, speed = clock.get(CLOCK_START), clock.get(CLOCK_SPEED)
    began = f", which began at {start}" if start else ""
    return f"{began}, {speed} times as fast as real time" if speed and speed != "1" else began


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
    if not FIRST_DAY < instant.date() < LAST_DAY:
        raise Stop(f"{text!r} is not between {FIRST_DAY} and {LAST_DAY}")
    return instant.isoformat()
