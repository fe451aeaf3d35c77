"""Exchange rates: which way a table is meant, and exact sums in one currency."""

from __future__ import annotations

from fractions import Fraction

import pytest
from cash_service.domain.rates import TOO_FEW, UNSURE, Conversion, Reading, read_rates
from hypothesis import given
from hypothesis import strategies as st

# As published: usd_rate is units a EUR, eur_rate is USD a unit.
QUOTED = [
    ("EUR", "0.92", "1"), ("USD", 1, "1.09"), ("JPY", "0.0082", "133.18"), ("GBP", 1.2634, "0.8641"),
    ("CHF", "1.1233", "0.9712"), ("SEK", "0.0961", "11.35"),
]  # fmt: skip
MULTIPLIED = [
    ("EUR", "1", "1.09"), ("USD", "0.9174", "1"), ("JPY", "0.00751", "0.0082"), ("GBP", "1.1573", "1.2634"),
    ("CHF", "1.0297", "1.1233"), ("SEK", "0.0881", "0.0961"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "reading", "warning"),
    [
        (QUOTED, Reading.QUOTED, ""),
        (MULTIPLIED, Reading.MULTIPLY, ""),
        ([*QUOTED, ("SGP", "3", "100")], Reading.QUOTED, ""),
        (QUOTED[:4], Reading.MULTIPLY, TOO_FEW),
        ([], Reading.MULTIPLY, TOO_FEW),
        ([("JPY", 1, 100), ("GBP", 1, 10), ("CHF", 1, 1)], Reading.MULTIPLY, UNSURE),
        ([("JPY", 1, 1.1), ("GBP", 1, 1.1), ("CHF", 1, 1.1)], Reading.MULTIPLY, UNSURE),
    ],
)
def test_the_reading_is_the_one_by_which_most_currencies_agree(
    rows: list, reading: Reading, warning: str
) -> None:
    table = read_rates(rows)

    assert (table.reading, table.warning) == (reading, warning)


@pytest.mark.parametrize(
    ("rows", "currency", "target", "factor"),
    [
        (MULTIPLIED, "JPY", "EUR", Fraction("0.00751")),
        (MULTIPLIED, "EUR", "USD", Fraction("1.09")),
        (MULTIPLIED, "EUR", "EUR", 1),
        (QUOTED, "JPY", "EUR", 1 / Fraction("133.18")),
        (QUOTED, "JPY", "USD", Fraction("0.0082")),
        (QUOTED, "EUR", "USD", Fraction("1.09")),
        (QUOTED, "USD", "EUR", 1 / Fraction("1.09")),
        (QUOTED, "EUR", "EUR", 1),
        (QUOTED, "USD", "USD", 1),
        (QUOTED, "KWD", "EUR", None),
    ],
)
def test_a_currency_into_itself_is_one_and_euros_become_dollars_by_the_dollars_row(
    rows: list, currency: str, target: str, factor: Fraction | None
) -> None:
    assert read_rates(rows).factor(currency, target) == factor


@pytest.mark.parametrize("rate", [0, "-1", "NaN", "", None, "Infinity", "1e999999", True, "abc"])
def test_a_rate_that_is_not_above_zero_is_no_rate(rate: object) -> None:
    table = read_rates([*MULTIPLIED, ("KWD", rate, rate)])

    assert table.factor("KWD", "EUR") is None
    assert not Conversion(table, "EUR").has_rate("KWD")


def test_a_currency_without_a_rate_is_never_taken_one_to_one() -> None:
    conversion = Conversion(read_rates([]), "EUR")

    assert [conversion.has_rate(code) for code in ("EUR", "USD", "GBP")] == [True, False, False]


@pytest.mark.parametrize(
    ("minor", "text"),
    [(1, "0.00"), (-1, "0.00"), (2, "0.01"), (3, "0.02"), (5, "0.02"), (-3, "-0.02"), (-300, "-1.50")],
)
def test_a_sum_is_rounded_once_half_even(minor: int, text: str) -> None:
    conversion = Conversion(read_rates([("GBP", "0.5", "0.5")], reading=Reading.MULTIPLY), "EUR")

    assert conversion.text(conversion.part("GBP", minor)) == text


def test_decimals_of_each_currency_count() -> None:
    rows = [("JPY", "0.01", "0.01"), ("KWD", "3", "3")]
    conversion = Conversion(read_rates(rows, reading=Reading.MULTIPLY), "EUR")

    assert conversion.text(conversion.part("JPY", 1250)) == "12.50"
    assert conversion.text(conversion.part("KWD", 1234)) == "3.70"


@given(st.lists(st.tuples(st.sampled_from([row[0] for row in QUOTED]), st.integers(-(10**18), 10**18))))
def test_a_converted_sum_is_exact_in_any_order(amounts: list[tuple[str, int]]) -> None:
    table = read_rates(QUOTED)
    conversion = Conversion(table, "EUR")
    decimals = {"JPY": 0}

    exact = Fraction(0)
    for code, minor in amounts:
        exact += Fraction(minor, 10 ** decimals.get(code, 2)) * (table.factor(code, "EUR") or 0)

    assert conversion.shown_minor(sum(conversion.part(*each) for each in amounts)) == round(exact * 100)
