"""The payments of a window: each has its own chance, so it is the same whatever else is made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import numpy.typing as npt

from sandbox.bank.domain.accounts import INVALID, Accounts, Ints, generator
from sandbox.bank.domain.rates import CURRENCIES, EUR
from sandbox.bank.domain.sizes import DAY_S, SEPA, SOURCES, WINDOW_DAYS, WINDOW_S, Size, Span, day_of

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
BATCH_SHARE = 0.01  # of the payments: each comes two to four times
INVALID_SHARE = 0.005  # of SWIFT's rows
SAME_ID_SHARE = 0.001  # rows that have another payment's id and are no batch
_EQUAL_SHARE = 0.4
_HOT_SHARE = 0.1
_ONE_KNOWN, _NONE_KNOWN = 0.45, 0.95
_OWN_SHARE = 0.03
_TABLE = 1024
_CURRENCY_TABLE = np.repeat(
    np.arange(len(CURRENCIES), dtype=np.int64), [currency.share for currency in CURRENCIES]
)
_MINOR_PER_EUR = np.array([float(each.units_per_eur) * 10**each.decimals for each in CURRENCIES])


@dataclass(frozen=True, slots=True, eq=False)
class Payments:
    """Rows of one source and window, by time; ``payer`` and ``beneficiary`` number the accounts' texts.

    ``amount_minor`` is in the currency's minor unit, ``time_s`` counts since 1970. What is wrong, known to
    the maker alone: ``invalid``, and for each row how many rows its batch has (1: it is none).
    """

    id: Ints
    payer: Ints
    beneficiary: Ints
    amount_minor: Ints
    currency: Ints
    time_s: Ints
    invalid: Flags
    batch: Ints

    def __len__(self) -> int:
        """How many."""
        return len(self.id)


def payments_of(
    size: Size, accounts: Accounts, *, seed: int, source: str, window: int, span: Span | None = None
) -> Payments:
    """The payments of a window; where ``span`` is given, on its days only, as many as without."""
    rng = generator(seed, SOURCES.index(source), window)
    rows = size.rows(source, window)
    copies = _copies(rng, rows)
    base = len(copies)
    if source == SEPA:
        payer, beneficiary = _known_pair(rng, accounts, base)
        invalid, currency = np.zeros(base, dtype=bool), np.full(base, EUR)
        rhythm = accounts.rhythmic[payer]
    else:
        payer, beneficiary, rhythm = _swift_pair(rng, accounts, base)
        invalid = _invalidate(rng, accounts, payer, beneficiary)
        currency = _CURRENCY_TABLE[rng.integers(0, len(_CURRENCY_TABLE), base)]
    time_s = _times(rng, window, rhythm, span)
    worth_eur = np.exp(rng.standard_normal(base, dtype=np.float32) * 1.6 + 6.2)

    order = np.argsort(time_s, kind="stable")
    rank = np.repeat(np.arange(base), copies[order])
    taken = order[rank]
    first = np.concatenate(([True], taken[1:] != taken[:-1]))[:rows]
    made_currency, factor = _differing(rng, copies, taken, first, currency[taken], swift=source != SEPA)
    amount = worth_eur[taken] * factor * _MINOR_PER_EUR[made_currency]
    amount_minor = np.maximum(amount.astype(np.int64), 1)
    _keep_different(amount_minor, made_currency, factor, first)
    ids = size.rows_before(source, window) + rank
    _share_ids(rng, ids, copies[taken], payer[taken])
    return Payments(
        ids, payer[taken], beneficiary[taken], amount_minor, made_currency, time_s[taken],
        invalid[taken], copies[taken],
    )  # fmt: skip


def _copies(rng: np.random.Generator, rows: int) -> Ints:
    """How often each payment comes, so that all together are ``rows``."""
    groups = int(rows * BATCH_SHARE / (1 + 2 * BATCH_SHARE) + rng.random())
    sizes = rng.integers(2, 5, groups)
    while len(sizes) and int(sizes.sum()) > rows:
        sizes = sizes[:-1]
    copies = np.ones(rows - int((sizes - 1).sum()), dtype=np.int64)
    copies[: len(sizes)] = sizes
    return copies


def _skewed(rng: np.random.Generator, among: int, rows: int) -> Ints:
    """Numbers below ``among``, the low ones more often: some have much to do, most have little."""
    drawn = rng.random(rows)
    return (drawn * np.sqrt(drawn) * among).astype(np.int64)


def _known_pair(rng: np.random.Generator, accounts: Accounts, rows: int) -> tuple[Ints, Ints]:
    """Payer and beneficiary among the companies' accounts; some of one company, a few of one account."""
    payer, beneficiary = _skewed(rng, accounts.known, rows), _skewed(rng, accounts.known, rows)
    own = np.flatnonzero(rng.random(rows) < _OWN_SHARE)
    company = accounts.owner[payer[own]]
    beneficiary[own] = accounts.first[company] + (rng.random(len(own)) * accounts.count[company]).astype(int)
    return payer, beneficiary


def _swift_pair(rng: np.random.Generator, accounts: Accounts, rows: int) -> tuple[Ints, Ints, Flags]:
    """Payer, beneficiary, and whether the known side has a rhythm; 45 % know both, 50 % one, 5 % none."""
    payer, beneficiary = _known_pair(rng, accounts, rows)
    kind = rng.random(rows)
    hot = rng.random(rows) < _HOT_SHARE / _NONE_KNOWN
    payer[hot] = accounts.hot
    rhythm = accounts.rhythmic[payer]
    beneficiary[kind >= _ONE_KNOWN] = accounts.known + _skewed(
        rng, accounts.others, int((kind >= _ONE_KNOWN).sum())
    )
    none = np.flatnonzero(kind >= _NONE_KNOWN)
    payer[none] = accounts.known + _skewed(rng, accounts.others, len(none))
    rhythm[none] = False
    turned = rng.random(rows) < 0.5
    return np.where(turned, beneficiary, payer), np.where(turned, payer, beneficiary), rhythm


def _invalidate(rng: np.random.Generator, accounts: Accounts, payer: Ints, beneficiary: Ints) -> Flags:
    """Replace the unknown side of some rows by a text that is no IBAN."""
    open_payer, open_beneficiary = payer >= accounts.known, beneficiary >= accounts.known
    share = INVALID_SHARE / (1 - _ONE_KNOWN)
    invalid = (rng.random(len(payer)) < share) & (open_payer | open_beneficiary)
    rows = np.flatnonzero(invalid)
    texts = accounts.known + accounts.others + rng.integers(0, INVALID, len(rows))
    side = open_beneficiary[rows]
    beneficiary[rows[side]] = texts[side]
    payer[rows[~side]] = texts[~side]
    return invalid


def _times(rng: np.random.Generator, window: int, rhythm: Flags, span: Span | None) -> Ints:
    """When each payment is, in seconds since 1970."""
    allowed = np.array((True,) * WINDOW_DAYS if span is None else span.allows(window))
    plain = _day_table(allowed.astype(float))
    busy = _day_table(_busyness(window) * allowed)
    chance = rng.integers(0, _TABLE, len(rhythm))
    day = np.where(rhythm, busy[chance], plain[chance])
    drawn, second = rng.random((2, len(rhythm)))
    in_day = np.where(rhythm, 6 * 3600 + (drawn + second) * 7 * 3600, drawn * DAY_S).astype(np.int64)
    return window * WINDOW_S + day * DAY_S + in_day


def _busyness(window: int) -> Floats:
    """How much a company with a rhythm pays on each of a window's days."""
    days = [day_of(window * WINDOW_DAYS + offset) for offset in range(WINDOW_DAYS)]
    weights = []
    for day in days:
        weight = 1.0 if day.weekday() < 5 else 0.1
        if day.day == 25:
            weight += 2.5  # salaries
        if (day + timedelta(days=1)).day == 1:
            weight += 2.0
        weights.append(weight)
    return np.array(weights)


def _day_table(weights: Floats) -> Ints:
    """Day numbers in proportion to their weights, for drawing by index."""
    ends = np.cumsum(weights) / weights.sum() * _TABLE
    return np.searchsorted(ends, np.arange(_TABLE), side="right").astype(np.int64)


def _differing(
    rng: np.random.Generator, copies: Ints, taken: Ints, first: Flags, currency: Ints, *, swift: bool
) -> tuple[Ints, Floats]:
    """Currency and factor of the amount of each row: of most batches the later rows differ from the first."""
    factor = np.ones(len(taken))
    groups = int((copies > 1).sum())
    different = np.zeros(len(copies), dtype=bool)
    different[:groups] = rng.random(groups) >= _EQUAL_SHARE
    foreign = np.zeros(len(copies), dtype=bool)
    foreign[:groups] = different[:groups] & (rng.random(groups) < 0.2) & swift
    later = np.flatnonzero(~first)
    factor[later] = np.where(different[taken[later]], rng.uniform(0.2, 3.0, len(later)), 1.0)
    shift = rng.integers(1, len(CURRENCIES), len(later)) * foreign[taken[later]]
    currency[later] = (currency[later] + shift) % len(CURRENCIES)
    return currency, factor


def _keep_different(amount_minor: Ints, currency: Ints, factor: Floats, first: Flags) -> None:
    """Where rounding made a differing row equal to the one before it, one minor unit tells them apart."""
    for row in np.flatnonzero(~first & (factor != 1)):
        if amount_minor[row] == amount_minor[row - 1] and currency[row] == currency[row - 1]:
            amount_minor[row] += 1


def _share_ids(rng: np.random.Generator, ids: Ints, copies: Ints, payer: Ints) -> None:
    """Give a few payments the id of the one before, which has another payer: ids are not unique."""
    rows = np.flatnonzero(rng.random(len(ids)) < SAME_ID_SHARE)
    rows = rows[rows > 0]
    alone = (copies[rows] == 1) & (copies[rows - 1] == 1) & (payer[rows] != payer[rows - 1])
    ids[rows[alone]] = ids[rows[alone] - 1]
