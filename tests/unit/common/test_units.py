"""Exactness of money and energy."""

from __future__ import annotations

import time
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wattbook.units import (
    eur_from_ct_kw_min,
    exact_int,
    kw_from_mw,
    mw_from_kw,
    mwh_from_kw_min,
    plain,
    rounded,
)

LARGE = st.integers(-(2**96), 2**96)


@pytest.mark.parametrize(
    ("text", "kw"),
    [("12", 12_000), ("12.0", 12_000), ("1.2e1", 12_000), ("12.3", 12_300), ("0.001", 1), ("-0.1", -100),
     ("0", 0), ("-0.0", 0), ("0E-999999", 0), ("0E+999999", 0), ("0.100" + "0" * 500, 100)],
)  # fmt: skip
def test_quantities_become_whole_kw(text: str, kw: int) -> None:
    assert kw_from_mw(Decimal(text)) == kw


@pytest.mark.parametrize(
    "text",
    ["NaN", "sNaN", "Infinity", "-Infinity", "0.0001", "1e-999999999", "1e309", "1e999999",
     "1e999999999999999999", "0.1" + "0" * 150 + "1", "9" * 200],
)  # fmt: skip
def test_quantities_that_are_no_whole_kw_are_refused_at_once(text: str) -> None:
    began_s = time.process_time()

    with pytest.raises(ValueError, match="it is not a"):
        kw_from_mw(Decimal(text))

    assert time.process_time() - began_s < 0.5


@pytest.mark.parametrize(
    ("text", "number"), [("120", 120), ("120.0", 120), ("1.2E2", 120), ("-5", -5), ("0.00", 0)]
)
def test_whole_numbers_may_be_written_in_any_way(text: str, number: int) -> None:
    assert exact_int(Decimal(text)) == number


@pytest.mark.parametrize("text", ["1.5", "NaN", "inf", "1e400000000", "0." + "0" * 200 + "1"])
def test_what_is_no_whole_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="it is not a"):
        exact_int(Decimal(text))


@given(st.integers(-(10**15), 10**15))
def test_kw_survive_the_way_to_mw_and_back(kw: int) -> None:
    assert kw_from_mw(mw_from_kw(kw)) == kw
    assert "E" not in str(mw_from_kw(kw))


@given(st.lists(LARGE, max_size=50))
def test_a_sum_is_rounded_once_and_half_even(amounts: list[int]) -> None:
    shown = eur_from_ct_kw_min(sum(amounts))
    exact = Fraction(sum(amounts), 6_000_000)

    assert Fraction(shown) == Fraction(round(exact * 100), 100)  # round() of a Fraction is half even
    assert shown.as_tuple().exponent == -2


@given(LARGE)
def test_energy_is_rounded_half_even_and_shown_plainly(energy_kw_min: int) -> None:
    shown = mwh_from_kw_min(energy_kw_min)

    assert Fraction(shown) == Fraction(round(Fraction(energy_kw_min, 60)), 1000)
    assert "E" not in str(shown)


@pytest.mark.parametrize(
    ("amount_ct_kw_min", "eur"),
    [
        (0, "0.00"),
        (30_000, "0.00"),
        (90_000, "0.02"),
        (-30_000, "0.00"),
        (30_001, "0.01"),
        (6_000_000, "1.00"),
    ],
)
def test_half_a_cent_goes_to_the_even_cent_and_zero_has_no_sign(amount_ct_kw_min: int, eur: str) -> None:
    assert str(eur_from_ct_kw_min(amount_ct_kw_min)) == eur


def test_the_desks_example_is_exact() -> None:
    # One hour: sell 10 MW at 60, buy 4 MW at 45 (domain rules) gives a PnL of +420.
    pnl = 6000 * 10_000 * 60 - 4500 * 4_000 * 60

    assert str(eur_from_ct_kw_min(pnl)) == "420.00"


def test_figures_are_shown_without_needless_zeros() -> None:
    assert [str(mw_from_kw(kw)) for kw in (12_000, 12_300, 100, 0, -100)] == [
        "12",
        "12.3",
        "0.1",
        "0",
        "-0.1",
    ]
    assert str(plain(Decimal("1E+3"))) == "1000"
    assert str(rounded(Decimal("-0.001"), 2)) == "0.00"
    assert str(mwh_from_kw_min(100 * 15)) == "0.025"
