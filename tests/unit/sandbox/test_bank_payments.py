"""Made cash-flow data: how much, the same again, and what is wrong with it on purpose."""

from __future__ import annotations

from datetime import date
from functools import cache
from itertools import pairwise

import numpy as np
import pycountry
import pytest
import schwifty
from sandbox.bank.domain.accounts import Accounts, accounts_of
from sandbox.bank.domain.companies import companies_of
from sandbox.bank.domain.payments import Payments, payments_of
from sandbox.bank.domain.rates import CURRENCIES, rate_rows
from sandbox.bank.domain.sizes import (
    DAY_S,
    DEFAULT_FROM,
    DEFAULT_TO,
    SEPA,
    SIZES,
    SOURCES,
    SWIFT,
    WINDOW_S,
    Span,
)

SMALL, MEDIUM = SIZES["small"], SIZES["medium"]
SPAN = Span.of(DEFAULT_FROM, DEFAULT_TO)
COUNTRIES = {country.alpha_2 for country in pycountry.countries} | {"XK"}


@cache
def accounts() -> Accounts:
    return accounts_of(SMALL, seed=7)


@cache
def all_payments(source: str) -> Payments:
    """Everything of the default range."""
    parts = [
        payments_of(SMALL, accounts(), seed=7, source=source, window=window, span=SPAN)
        for window in SPAN.windows
    ]
    names = Payments.__dataclass_fields__
    return Payments(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


@cache
def groups(source: str) -> list[list[int]]:
    """Row numbers that belong together by id, payer, beneficiary and time: the rule for a batch."""
    made = all_payments(source)
    _, group = np.unique(
        np.stack((made.id, made.payer, made.beneficiary, made.time_s)), axis=1, return_inverse=True
    )
    order = np.argsort(group, kind="stable")
    ends = np.flatnonzero(np.diff(group[order])) + 1
    return [rows.tolist() for rows in np.split(order, ends)]


@pytest.mark.parametrize("size", SIZES.values(), ids=lambda size: size.name)
@pytest.mark.parametrize("source", SOURCES)
def test_the_default_range_has_exactly_a_sizes_payments(size: object, source: str) -> None:
    assert sum(size.rows(source, window) for window in SPAN.windows) == size.payments[source]  # type: ignore[attr-defined]


@pytest.mark.parametrize("source", SOURCES)
def test_payments_come_by_time_within_the_days_asked_for(source: str) -> None:
    made = all_payments(source)

    assert len(made) == SMALL.payments[source]
    assert (np.diff(made.time_s) >= 0).all()
    assert SPAN.first_day * DAY_S <= made.time_s[0]
    assert made.time_s[-1] < SPAN.end_day * DAY_S
    assert made.amount_minor.min() >= 1


def test_a_window_is_the_same_whatever_else_is_made() -> None:
    def made(window: int, seed: int = 7) -> Payments:
        return payments_of(MEDIUM, accounts_of(MEDIUM, seed=seed), seed=seed, source=SWIFT, window=window)

    once, again = made(3700), made(3700)

    assert all((getattr(once, name) == getattr(again, name)).all() for name in Payments.__dataclass_fields__)
    assert not (once.amount_minor == made(3700, seed=8).amount_minor).all()
    assert set(once.id.tolist()).isdisjoint(made(3701).id.tolist())
    assert (once.time_s // WINDOW_S == 3700).all()


@pytest.mark.parametrize("source", SOURCES)
def test_what_is_labelled_a_batch_is_one_and_nothing_else_is(source: str) -> None:
    made = all_payments(source)
    found = groups(source)

    assert all((made.batch[rows] == len(rows)).all() for rows in found)
    batches = [rows for rows in found if len(rows) > 1]
    assert 0.008 < len(batches) / len(found) < 0.012
    assert {len(rows) for rows in batches} == {2, 3, 4}
    equal = sum(len({(made.amount_minor[r], made.currency[r]) for r in rows}) == 1 for rows in batches)
    assert 0.3 < equal / len(batches) < 0.5
    foreign = sum(len({int(made.currency[r]) for r in rows}) > 1 for rows in batches)
    assert (foreign == 0) if source == SEPA else (0.05 < foreign / len(batches) < 0.2)


def test_some_payments_share_an_id_without_being_a_batch() -> None:
    made = all_payments(SWIFT)

    assert len(groups(SWIFT)) - len(set(made.id.tolist())) > 50


def test_invalid_ibans_are_those_labelled() -> None:
    texts = accounts().texts
    bad = np.array([text[:2].decode() not in COUNTRIES for text in texts.tolist()])
    swift, sepa = all_payments(SWIFT), all_payments(SEPA)

    assert ((bad[swift.payer] | bad[swift.beneficiary]) == swift.invalid).all()
    assert 0.004 < swift.invalid.mean() < 0.006
    assert not sepa.invalid.any()
    assert not (bad[sepa.payer] | bad[sepa.beneficiary]).any()


def test_swift_knows_both_sides_or_one_or_none_as_often_as_agreed() -> None:
    made = all_payments(SWIFT)
    known = (made.payer < accounts().known).astype(int) + (made.beneficiary < accounts().known)

    none, one, both = np.bincount(known) / len(made)
    assert 0.04 < none < 0.06
    assert 0.48 < one < 0.52
    assert 0.43 < both < 0.47
    hot = ((made.payer == accounts().hot) | (made.beneficiary == accounts().hot)).mean()
    assert 0.09 < hot < 0.12


def test_sepa_moves_euros_between_companies() -> None:
    made = all_payments(SEPA)

    assert {CURRENCIES[code].code for code in set(made.currency.tolist())} == {"EUR"}
    assert max(made.payer.max(), made.beneficiary.max()) < accounts().known
    assert (made.payer == made.beneficiary).any()
    owner = accounts().owner
    assert ((owner[made.payer] == owner[made.beneficiary]) & (made.payer != made.beneficiary)).any()


def test_companies_with_a_rhythm_rest_on_weekends_and_pay_salaries() -> None:
    made = all_payments(SEPA)
    rhythm = accounts().rhythmic[made.payer]
    days = made.time_s // DAY_S
    weekend = (days + 3) % 7 >= 5  # 1970-01-01 was a Thursday

    assert weekend[rhythm].mean() < 0.1
    assert 0.25 < weekend[~rhythm].mean() < 0.32
    assert 0.5 < rhythm.mean() < 0.85


def test_accounts_are_what_they_look_like() -> None:
    known = [text.decode() for text in accounts().texts[: accounts().known].tolist()]
    others = [text.decode() for text in accounts().texts[accounts().known : -64].tolist()]

    for text in known:
        schwifty.IBAN(text)
    assert len({*known, *others}) == len(known) + len(others)
    wrong = sum(1 for text in others if not schwifty.IBAN(text, allow_invalid=True).is_valid)
    without = sum(text[:2] in {"US", "CA", "JP"} for text in others)
    assert 0 < without < wrong < without + 20
    many = {t[:2] for t in map(bytes.decode, accounts_of(MEDIUM, seed=7).texts.tolist())} & COUNTRIES
    assert len(many - {"US", "CA", "JP"}) >= 25


def test_most_companies_have_one_account_and_one_has_fifty() -> None:
    count = accounts().count

    assert count.min() == 1
    assert count.max() == 50
    assert (count == 1).mean() > 0.5


def test_companies_are_the_same_again_and_look_like_some() -> None:
    made = companies_of(accounts(), seed=7)

    assert made == companies_of(accounts(), seed=7)
    assert [company.id for company in made] == list(range(100))
    assert all(a.ibans != b.ibans for a, b in pairwise(made))
    assert all(company.name and company.owner and "\n" in company.address for company in made)


def test_both_readings_of_the_rates_agree_about_the_dollar() -> None:
    for row in rate_rows("multiply"):
        assert abs(float(row["usd_rate"]) / float(row["eur_rate"]) / 1.0864 - 1) < 0.001
    for row in rate_rows("quoted"):
        if row["currency"] in ("EUR", "USD"):  # said of themselves, in the original as it comes
            continue
        assert abs(float(row["usd_rate"]) * float(row["eur_rate"]) / 1.0864 - 1) < 0.001
    assert {"JPY", "KWD"} <= {row["currency"] for row in rate_rows("multiply")}


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (date(2022, 1, 1), date(2022, 1, 1)),
        (date(2022, 1, 2), date(2022, 1, 1)),
        (date(1969, 1, 1), date(1971, 1, 1)),
        (date(2100, 1, 1), date(2101, 1, 2)),
    ],
)
def test_a_range_without_days_is_refused(start: date, end: date) -> None:
    with pytest.raises(ValueError, match="no range of days"):
        Span.of(start, end)
