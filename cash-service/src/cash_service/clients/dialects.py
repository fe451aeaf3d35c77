"""Reading what the bank says, in either dialect; an answer counts whole or not at all."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec
from wattbook.strict_json import RepeatedKey, unique_keys

from cash_service.clients.bank import Failed
from cash_service.domain.cleaning import Rows
from cash_service.domain.companies import Company
from cash_service.domain.iban import MOST_CHARACTERS, normal_iban
from cash_service.domain.periods import read_time, window_of

WATTBOOK, ORIGINAL, ROWS = "wattbook", "original", "rows"  # the last one: rows that we joined ourselves
_MOST_SHOWN = 2_000
_MOST_COMPANY_ID = 2**53
_NULL = msgspec.Raw(b"null")


class _Row(msgspec.Struct, gc=False):
    id: str | int | None = None
    payer_iban: str | None = None
    beneficiary_iban: str | None = None
    amount: msgspec.Raw = _NULL
    currency: str | None = None
    timestamp: str | None = None


class _OriginalRow(msgspec.Struct, gc=False):
    id: str | int | None = None
    payer_iban: str | None = msgspec.field(name="sender", default=None)
    beneficiary_iban: str | None = msgspec.field(name="beneficiary", default=None)
    amount: msgspec.Raw = _NULL
    currency: str | None = None
    timestamp: str | None = msgspec.field(name="time", default=None)


class _Window(msgspec.Struct):
    start: str = msgspec.field(name="from")
    complete: bool
    rows: int | None = None
    sha256: str | None = None
    page: int = 1
    pages: int = 1


class _Envelope(msgspec.Struct):
    window: _Window
    transactions: msgspec.Raw
    next: str | None = None


class Page(NamedTuple):
    """A page of a window; ``sha256`` is that of its rows' text."""

    window: int
    is_complete: bool
    rows: Rows
    sha256: str
    next: str
    page: int
    pages: int


class RowKey(NamedTuple):
    """A payment as it was written, to count equal ones."""

    id: str | None
    payer: str | None
    beneficiary: str | None
    amount: bytes
    currency: str | None
    time: str | None
    unreadable: str


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])
_PLAIN = (msgspec.json.Decoder(list[_Row]), msgspec.json.Decoder(_Row))
_ORIGINAL = (msgspec.json.Decoder(list[_OriginalRow]), msgspec.json.Decoder(_OriginalRow))
_KEYS = ("id", "payer_iban", "beneficiary_iban", "amount", "currency", "timestamp")


def dialect_of(companies: bytes) -> str:
    """The dialect of a bank by its list of companies: an array, or a string within an object.

    Raises:
        Failed: it is neither.
    """
    first = companies.lstrip()[:1]
    if first not in (b"[", b"{"):
        raise Failed("json", "the list of companies is neither an array nor an object")
    return WATTBOOK if first == b"[" else ORIGINAL


def read_page(content: bytes) -> Page:
    """A page of the dialect ``wattbook``.

    Raises:
        Failed: it is not whole, or not what it says that it is.
    """
    try:
        envelope = _ENVELOPE.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Failed("json", f"the answer cannot be read: {error}") from error
    _require_unique(content, rows=None)
    array = bytes(envelope.transactions)
    rows = read_rows(array)
    said = envelope.window
    start_us = read_time(said.start)
    if start_us is None:
        raise Failed("json", f"the window begins at {said.start[:40]!r}, which is no time")
    if said.rows is not None and said.rows != len(rows):
        raise Failed("rows", f"the window says {said.rows} rows and has {len(rows)}")
    sha256 = hashlib.sha256(array).hexdigest()
    if said.sha256 is not None and said.sha256 != sha256:
        raise Failed("sha256", "the rows are not those that the window's sha256 is of")
    number = window_of(start_us)
    return Page(number, said.complete, rows, sha256, envelope.next or "", said.page, said.pages)


def read_rows(array: bytes) -> Rows:
    """Rows of a JSON array in our own words, as ``wattbook`` sends and :func:`packed_rows` makes them.

    Raises:
        Failed: it is no JSON array, or says a thing twice.
    """
    rows = _rows(array, _PLAIN)
    _require_unique(array, rows=len(rows))
    return rows


def read_original(content: bytes) -> dict[int, Rows]:
    """An answer of the dialect ``original`` by windows; rows without a time go with the others.

    Raises:
        Failed: it is not whole.
    """
    by_window: dict[int, list[RowKey]] = {}
    found: list[RowKey] = []
    for array in _inner_arrays(content):
        found.extend(row_keys(_rows(array, _ORIGINAL)))
    numbers = [None if (at := read_time(row.time or "")) is None else window_of(at) for row in found]
    usual = next((number for number in numbers if number is not None), None)
    if found and usual is None:
        raise Failed("times", "no payment of the answer has a time that can be read")
    for row, number in zip(found, numbers, strict=True):
        window = usual if number is None else number
        by_window.setdefault(window or 0, []).append(row)
    return {window: rows_of(rows) for window, rows in by_window.items()}


def joined(had: Rows, more: Rows) -> Rows:
    """Rows of two answers about the same time: of equal ones the larger count of both."""
    return rows_of((Counter(row_keys(had)) | Counter(row_keys(more))).elements())


def row_keys(rows: Rows) -> Iterator[RowKey]:
    """The rows, one by one."""
    columns = (rows.ids, rows.payers, rows.beneficiaries, rows.amounts, rows.currencies, rows.times)
    for place, row in enumerate(zip(*columns, strict=True)):
        yield RowKey._make((*row, rows.unreadable.get(place, "")))


def rows_of(keys: Iterable[RowKey]) -> Rows:
    """Columns of the rows."""
    rows = Rows()
    for place, key in enumerate(keys):
        _append(rows, key[:6])
        if key.unreadable:
            rows.unreadable[place] = key.unreadable
    return rows


def packed_rows(rows: Rows) -> bytes:
    """A JSON array that :func:`read_rows` reads as the same rows."""
    made: list[Any] = []
    for key in row_keys(rows):
        if key.unreadable:
            made.append(key.unreadable)  # a text is no payment, so it is unreadable again
            continue
        values = (*key[:3], msgspec.Raw(key.amount), *key[4:6])
        made.append(dict(zip(_KEYS, values, strict=True)))
    return msgspec.json.encode(made)


def read_companies(content: bytes) -> list[Company]:
    """The bank's companies, in either dialect; the same id twice: the first.

    Raises:
        Failed: it is no list of companies.
    """
    found: dict[int, Company] = {}
    for row in _listed(content):
        company = _company(row)
        found.setdefault(company.id, company)
    return list(found.values())


def read_rate_rows(content: bytes) -> list[tuple[str, str, str]]:
    """The bank's rates (currency, eur_rate, usd_rate) as texts; ``""`` where one is missing.

    Raises:
        Failed: it is no table of rates.
    """
    rows = []
    for row in _listed(content):
        if not isinstance(row, dict) or not isinstance(row.get("currency"), str):
            raise Failed("json", "a rate has no currency")
        eur_rate, usd_rate = (_rate(row.get(name)) for name in ("eur_rate", "usd_rate"))
        rows.append((row["currency"], eur_rate, usd_rate))
    return rows


def _rate(value: Any) -> str:
    return "" if value is None or isinstance(value, bool | list | dict) else str(value)[:100]


def _rows(array: bytes, decoders: tuple[Any, Any]) -> Rows:
    """Columns at once where every row is readable, else row by row."""
    many, one = decoders
    rows = Rows()
    try:
        read = many.decode(array)
    except msgspec.ValidationError:
        read = None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Failed("json", f"the rows cannot be read: {error}") from error
    if read is None:
        _one_by_one(array, one, rows)
        return rows
    rows.ids = [row.id if row.id is None else str(row.id) for row in read]
    rows.payers = [row.payer_iban for row in read]
    rows.beneficiaries = [row.beneficiary_iban for row in read]
    rows.amounts = [bytes(row.amount) for row in read]
    rows.currencies = [row.currency for row in read]
    rows.times = [row.timestamp for row in read]
    return rows


def _one_by_one(array: bytes, one: Any, rows: Rows) -> None:
    try:
        raws = _RAWS.decode(array)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Failed("json", f"the rows are no array: {error}") from error
    for place, raw in enumerate(raws):
        try:
            row = one.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            rows.unreadable[place] = _shown(bytes(raw))
            _append(rows, (None, None, None, b"", None, None))
            continue
        id_ = row.id if row.id is None else str(row.id)
        amount = bytes(row.amount)
        _append(rows, (id_, row.payer_iban, row.beneficiary_iban, amount, row.currency, row.timestamp))


def _append(rows: Rows, values: tuple[Any, ...]) -> None:
    columns: tuple[list[Any], ...] = (
        rows.ids, rows.payers, rows.beneficiaries, rows.amounts, rows.currencies, rows.times,
    )  # fmt: skip
    for column, value in zip(columns, values, strict=True):
        column.append(value)


def _shown(raw: bytes) -> str:
    """A row's text; of a row that is a text itself, that: so that it stays the same each time it is kept."""
    text = raw.decode(errors="replace")
    try:
        inner = json.loads(text)
    except ValueError:
        inner = None
    return (inner if isinstance(inner, str) else text)[:_MOST_SHOWN] or '""'


def _require_unique(content: bytes, *, rows: int | None) -> None:
    """Refuse JSON that gives a key twice; counting keys is quick and almost always enough."""
    keys = ("window", "transactions", "next") if rows is None else _KEYS
    most = 1 if rows is None else rows
    if b"\\u" not in content and all(content.count(b'"%s":' % key.encode()) <= most for key in keys):
        return
    try:
        json.loads(content, object_pairs_hook=unique_keys)
    except RepeatedKey as error:
        raise Failed("repeated_key", str(error)) from error
    except ValueError as error:
        raise Failed("json", f"the answer cannot be read: {error}") from error


def _inner_arrays(content: bytes) -> Iterator[bytes]:
    """The arrays, each in a string in an object; these may follow each other with nothing between."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise Failed("json", f"the answer is no text: {error}") from error
    decoder = json.JSONDecoder(object_pairs_hook=unique_keys)
    at = _after_blanks(text, 0)
    if at == len(text):
        raise Failed("json", "the answer is empty")
    while at < len(text):
        try:
            value, at = decoder.raw_decode(text, at)
        except RepeatedKey as error:
            raise Failed("repeated_key", str(error)) from error
        except ValueError as error:
            raise Failed("json", f"the answer cannot be read: {error}") from error
        if not isinstance(value, dict) or len(value) != 1:
            raise Failed("json", "the answer is no object with one key")
        (inner,) = value.values()
        yield inner.encode() if isinstance(inner, str) else msgspec.json.encode(inner)
        at = _after_blanks(text, at)


def _after_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _listed(content: bytes) -> list[Any]:
    """The rows of a list, in either dialect; numbers with fractions as their texts."""
    arrays = [content] if dialect_of(content) == WATTBOOK else list(_inner_arrays(content))
    rows: list[Any] = []
    for array in arrays:
        try:
            read = json.loads(array, object_pairs_hook=unique_keys, parse_float=str, parse_constant=str)
        except RepeatedKey as error:
            raise Failed("repeated_key", str(error)) from error
        except ValueError as error:
            raise Failed("json", f"the list cannot be read: {error}") from error
        if not isinstance(read, list):
            raise Failed("json", "the list is no array")
        rows.extend(read)
    return rows


def _company(row: Any) -> Company:
    if not isinstance(row, dict):
        raise Failed("json", "a company is no object")
    id_ = row.get("id", row.get("companyID"))
    id_ = int(id_) if isinstance(id_, str) and id_.isascii() and id_.isdecimal() else id_
    if not isinstance(id_, int) or isinstance(id_, bool) or not 0 <= id_ < _MOST_COMPANY_ID:
        raise Failed("json", f"a company's id is {str(id_)[:40]!r}, which is no number from 0 on")
    balance = row.get("balance")
    return Company(
        id=id_, name=_text(row.get("name")), owner=_text(row.get("owner")), address=_text(row.get("address")),
        stated_balance="" if balance is None else str(balance)[:40],
        ibans=_ibans(row.get("ibans", row.get("IBANs"))),
    )  # fmt: skip


def _ibans(value: Any) -> tuple[str, ...]:
    """A list of them, or text such as ``{NL…,DE…}``, ``['NL…', 'DE…']`` or one alone."""
    texts = re.split(r"[,;]", re.sub(r"[\[\]{}'\"]", "", value)) if isinstance(value, str) else value or []
    found = (normal_iban(text) for text in texts if isinstance(text, str))
    return tuple(dict.fromkeys(iban for iban in found if iban and len(iban) <= MOST_CHARACTERS))


def _text(value: Any) -> str:
    return ("" if value is None else str(value))[:1_000].replace("\0", "\ufffd")
