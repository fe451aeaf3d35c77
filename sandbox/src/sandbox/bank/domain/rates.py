"""Currencies, their decimals, and the bank's true rates."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency: ``units_per_eur`` is the true rate, ``share`` how often of a thousand SWIFT uses it."""

    code: str
    decimals: int
    units_per_eur: Decimal
    share: int


def _of(code: str, decimals: int, units_per_eur: str, share: int) -> Currency:
    return Currency(code, decimals, Decimal(units_per_eur), share)


CURRENCIES = (
    _of("EUR", 2, "1", 340), _of("USD", 2, "1.0864", 230), _of("GBP", 2, "0.8573", 110),
    _of("CHF", 2, "0.9641", 50), _of("JPY", 0, "162.35", 40), _of("SEK", 2, "11.3210", 30),
    _of("NOK", 2, "11.4050", 25), _of("DKK", 2, "7.4565", 25), _of("PLN", 2, "4.3215", 25),
    _of("CZK", 2, "25.1130", 15), _of("HUF", 2, "392.40", 10), _of("RON", 2, "4.9712", 10),
    _of("BGN", 2, "1.95583", 8), _of("HRK", 2, "7.53450", 8), _of("TRY", 2, "35.180", 10),
    _of("CAD", 2, "1.4725", 12), _of("SGD", 2, "1.4560", 12), _of("AED", 2, "3.9900", 8),
    _of("SAR", 2, "4.0740", 8), _of("KWD", 3, "0.33430", 8), _of("BHD", 3, "0.40960", 4),
    _of("ILS", 2, "4.0120", 6), _of("KZT", 2, "489.10", 6),
)  # fmt: skip
CODES = {currency.code: index for index, currency in enumerate(CURRENCIES)}
EUR, USD = CODES["EUR"], CODES["USD"]
MULTIPLY, QUOTED = "multiply", "quoted"
_PLACES = Decimal("1e-10")


def rate_rows(reading: str, *, usd_shift: Decimal = Decimal(1)) -> list[dict[str, str]]:
    """The table as it is handed out: ``currency``, ``eur_rate``, ``usd_rate``, as decimal texts.

    ``multiply``: EUR, and USD, a unit of the currency. ``quoted``: as some banks publish it, the columns
    mislabelled: ``usd_rate`` units a EUR, ``eur_rate`` USD a unit. ``usd_shift``: the dollar's price has
    changed by so much.
    """
    usd_per_eur = CURRENCIES[USD].units_per_eur * usd_shift
    rows = []
    for currency in CURRENCIES:
        per_eur = usd_per_eur if currency.code == "USD" else currency.units_per_eur
        usd = Decimal(1) if currency.code == "USD" else usd_per_eur / per_eur
        if reading == MULTIPLY:
            eur_rate, usd_rate = 1 / per_eur, usd
        else:
            # EUR's own is the other way round, as in what those banks publish.
            eur_rate, usd_rate = (1 / usd if currency.code == "EUR" else usd), per_eur
        rows.append({"currency": currency.code, "eur_rate": _text(eur_rate), "usd_rate": _text(usd_rate)})
    return rows


def _text(rate: Decimal) -> str:
    return f"{rate.quantize(_PLACES).normalize():f}"
